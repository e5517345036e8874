"""Windows into length-sorted batches under a token budget. Knows nothing about models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bioqa_pipeline.records.scores import Batch, Window


def make_batches(windows: Sequence[Window], *, token_budget: int, pad_id: int) -> Iterator[Batch]:
    """Batches of windows of like length, longest first.

    A batch holds at most `token_budget` tokens, padding included, and at least one window. `Batch.order` puts the
    results back: `out[batch.order] = rows`.
    """
    by_length = sorted(range(len(windows)), key=lambda i: len(windows[i]), reverse=True)
    start = 0
    while start < len(by_length):
        longest = len(windows[by_length[start]])
        count = max(1, token_budget // longest)
        yield pad_batch(windows, by_length[start : start + count], pad_id=pad_id)
        start += count


def pad_batch(windows: Sequence[Window], order: Sequence[int], *, pad_id: int) -> Batch:
    """The windows at the positions `order`, padded on the right to the longest of them."""
    shape = (len(order), max(len(windows[i]) for i in order))
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    token_type_ids = np.zeros(shape, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    for row, i in enumerate(order):
        window = windows[i]
        input_ids[row, : len(window)] = window.input_ids
        token_type_ids[row, window.passage_offset : len(window)] = 1
        attention_mask[row, : len(window)] = 1
    return Batch(
        input_ids=input_ids,
        token_type_ids=token_type_ids,
        attention_mask=attention_mask,
        order=np.asarray(order, dtype=np.int64),
    )
