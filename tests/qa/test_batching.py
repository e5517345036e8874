"""Batches: every window once, padded by its own length alone and marked right, under the budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.qa.batching import BUCKET_TOKENS, padded_lengths
from bioqa_pipeline.records.scores import Batch, Window
from support.builders import SPECIAL, pair_windows, window_lists
from support.windows import make_batches, pack_windows, pad_batch


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


@given(
    windows=window_lists(),
    token_budget=st.integers(1, 200),
    pad_id=st.integers(0, 9),
    max_length=st.integers(16, 40),
    fixed_rows=st.booleans(),
)
def test_batches_hold_every_window_once_under_the_budget(
    windows: list[Window], token_budget: int, pad_id: int, max_length: int, fixed_rows: bool
) -> None:
    batches = list(
        make_batches(windows, token_budget=token_budget, pad_id=pad_id, max_length=max_length, fixed_rows=fixed_rows)
    )
    assert sorted(i for batch in batches for i in batch.order.tolist()) == list(range(len(windows)))
    lengths = [batch.input_ids.shape[1] for batch in batches]
    assert lengths == sorted(lengths, reverse=True)
    for batch, length, following in zip(batches, lengths, [*lengths[1:], 0], strict=True):
        sizes = np.array([len(windows[i]) for i in batch.order])
        assert set(padded_lengths(sizes, max_length=max_length)) == {length}
        full = max(1, token_budget // length)
        assert 1 <= len(batch.order) <= full
        assert len(batch.order) == full or following != length, "every batch but the last of a length is full"
        assert len(batch.input_ids) == (full if fixed_rows else len(batch.order))
        rows = [*batch.order, *[batch.order[-1]] * (len(batch.input_ids) - len(batch.order))]
        assert plain_rows(batch) == [padded(windows[i], length, pad_id) for i in rows]
        assert {a.dtype for a in (batch.input_ids, batch.token_type_ids, batch.attention_mask)} == {np.dtype(np.int64)}


@given(windows=window_lists(), token_budget=st.integers(1, 200), fixed_rows=st.booleans())
def test_order_puts_results_back(windows: list[Window], token_budget: int, fixed_rows: bool) -> None:
    out = np.zeros(len(windows), dtype=np.int64)
    for batch in make_batches(
        windows, token_budget=token_budget, pad_id=SPECIAL.pad, max_length=512, fixed_rows=fixed_rows
    ):
        out[batch.order] = (batch.input_ids[:, 1] * batch.attention_mask.sum(axis=1))[: len(batch.order)]
    assert out.tolist() == [int(w.input_ids[1]) * len(w) for w in windows]


@given(n_tokens=st.integers(1, 384), max_length=st.integers(384, 512))
def test_a_padded_length_is_the_next_multiple_within_what_the_network_takes(n_tokens: int, max_length: int) -> None:
    padded = int(padded_lengths(np.array(n_tokens), max_length=max_length))
    assert n_tokens <= padded <= max_length
    assert padded < n_tokens + BUCKET_TOKENS and (padded % BUCKET_TOKENS == 0 or padded == max_length)


def test_no_windows_make_no_batch() -> None:
    assert list(make_batches([], token_budget=10, pad_id=0, max_length=512)) == []


@given(windows=window_lists(), more=st.integers(0, 60), most_windows=st.integers(1, 5), pad_id=st.integers(0, 9))
def test_packed_windows_stand_one_behind_the_other(
    windows: list[Window], more: int, most_windows: int, pad_id: int
) -> None:
    token_budget = max(map(len, windows), default=0) + more
    batches = list(pack_windows(windows, token_budget=token_budget, most_windows=most_windows, pad_id=pad_id))
    assert [i for batch in batches for i in batch.order.tolist()] == list(range(len(windows)))
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        own = [windows[i] for i in batch.order]
        used = sum(map(len, own))
        assert 1 <= len(own) <= most_windows and used <= token_budget
        assert not following or len(own) == most_windows or used + len(windows[following.order[0]]) > token_budget
        filler = token_budget - used
        assert batch.input_ids.tolist() == [[i for w in own for i in w.input_ids.tolist()] + [pad_id] * filler]
        segments = [int(place >= w.passage_offset) for w in own for place in range(len(w))]
        assert batch.token_type_ids.tolist() == [segments + [0] * filler]
        numbers = [number for number, w in enumerate(own, start=1) for _ in range(len(w))]
        assert batch.attention_mask.tolist() == [numbers + [0] * filler]


@pytest.mark.parametrize("order", [[0], [2, 0], [1, 1]])
def test_a_batch_takes_the_rows_asked_for(order: list[int]) -> None:
    windows = [*pair_windows(2), *pair_windows(0), *pair_windows(9)]
    batch = pad_batch(windows, order, pad_id=7)
    assert batch.order.tolist() == order
    assert plain_rows(batch) == [padded(windows[i], max(len(windows[j]) for j in order), 7) for i in order]
