"""Batches: every window once, padded and marked right, under the budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.qa.batching import make_batches, pad_batch
from bioqa_pipeline.records.scores import Batch, Window
from support.builders import SPECIAL, pair_windows, window_lists


def plain_rows(batch: Batch) -> list[tuple[list[int], list[int], list[int]]]:
    return list(
        zip(batch.input_ids.tolist(), batch.token_type_ids.tolist(), batch.attention_mask.tolist(), strict=True)
    )


def padded(window: Window, length: int, pad_id: int) -> tuple[list[int], list[int], list[int]]:
    """Ids, segments and mask of one row, spelt out."""
    missing = length - len(window)
    passage = len(window) - window.passage_offset
    return (
        window.input_ids.tolist() + [pad_id] * missing,
        [0] * window.passage_offset + [1] * passage + [0] * missing,
        [1] * len(window) + [0] * missing,
    )


@given(windows=window_lists(), token_budget=st.integers(1, 200), pad_id=st.integers(0, 9))
def test_batches_hold_every_window_once_under_the_budget(windows: list[Window], token_budget: int, pad_id: int) -> None:
    batches = list(make_batches(windows, token_budget=token_budget, pad_id=pad_id))
    assert sorted(i for batch in batches for i in batch.order.tolist()) == list(range(len(windows)))
    lengths = [[len(windows[i]) for i in batch.order] for batch in batches]
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat, reverse=True)
    for batch, rows in zip(batches, lengths, strict=True):
        assert batch.input_ids.shape == (len(rows), max(rows))
        assert len(rows) == 1 or batch.input_ids.size <= token_budget
        assert plain_rows(batch) == [padded(windows[i], max(rows), pad_id) for i in batch.order]
        assert {a.dtype for a in (batch.input_ids, batch.token_type_ids, batch.attention_mask)} == {np.dtype(np.int64)}
    for rows in lengths[:-1]:
        assert (len(rows) + 1) * max(rows) > token_budget, "every batch but the last is full"


@given(windows=window_lists(), token_budget=st.integers(1, 200))
def test_order_puts_results_back(windows: list[Window], token_budget: int) -> None:
    out = np.zeros(len(windows), dtype=np.int64)
    for batch in make_batches(windows, token_budget=token_budget, pad_id=SPECIAL.pad):
        out[batch.order] = batch.input_ids[:, 1] * batch.attention_mask.sum(axis=1)
    assert out.tolist() == [int(w.input_ids[1]) * len(w) for w in windows]


def test_no_windows_make_no_batch() -> None:
    assert list(make_batches([], token_budget=10, pad_id=0)) == []


@pytest.mark.parametrize("order", [[0], [2, 0], [1, 1]])
def test_a_batch_takes_the_rows_asked_for(order: list[int]) -> None:
    windows = [*pair_windows(2), *pair_windows(0), *pair_windows(9)]
    batch = pad_batch(windows, order, pad_id=7)
    assert batch.order.tolist() == order
    assert plain_rows(batch) == [padded(windows[i], max(len(windows[j]) for j in order), 7) for i in order]
