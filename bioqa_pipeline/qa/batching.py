"""Windows into batches of one padded length each, under a token budget. Knows nothing about models.

A window is padded to its own length rounded up, never to its neighbours': so what the network sees of it, and with it
every bit of its logits, depends on nothing but the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from bioqa_pipeline.records.scores import Batch, Window

# Padded lengths are its multiples: half of it a window is padding (tests/benchmarks/NOTES.md).
BUCKET_TOKENS = 16


def padded_length(n_tokens: int, *, max_length: int, multiple: int = BUCKET_TOKENS) -> int:
    """The length to which a window of `n_tokens` is padded, wherever and with whomever it is scored.

    Args:
        max_length: tokens that the network takes at most.
    """
    return max(n_tokens, min(-(-n_tokens // multiple) * multiple, max_length))


def make_batches(
    windows: Sequence[Window], *, token_budget: int, pad_id: int, max_length: int, fixed_rows: bool = False
) -> Iterator[Batch]:
    """Batches of windows of one padded length, longest first.

    A batch holds at most `token_budget` tokens, padding included, and at least one window. `Batch.order` puts the
    results back: `out[batch.order] = rows[: len(batch.order)]`.

    Args:
        max_length: see `padded_length`.
        fixed_rows: fills the last batch of a length up with copies of its last window, so that all batches of that
            length have the same number of rows, in every job.
    """

    def length(i: int) -> int:
        return padded_length(len(windows[i]), max_length=max_length)

    for padded, same in groupby(sorted(range(len(windows)), key=length, reverse=True), key=length):
        order, count = list(same), max(1, token_budget // padded)
        for start in range(0, len(order), count):
            some = order[start : start + count]
            rows = count if fixed_rows else len(some)
            yield pad_batch(windows, some, pad_id=pad_id, length=padded, rows=rows)


def pad_batch(
    windows: Sequence[Window], order: Sequence[int], *, pad_id: int, length: int | None = None, rows: int | None = None
) -> Batch:
    """The windows at the positions `order`, padded on the right.

    Args:
        length: of every row; None takes that of the longest window.
        rows: filled up with copies of the last window; None adds none.
    """
    missing = (rows or len(order)) - len(order)
    filled = [*order, *[order[-1]] * missing]
    shape = (len(filled), length or max(len(windows[i]) for i in order))
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    token_type_ids = np.zeros(shape, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    for row, i in enumerate(filled):
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
