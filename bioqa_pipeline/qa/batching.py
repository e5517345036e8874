"""Windows into batches of one padded length each, under a token budget. Knows nothing about models.

A window is padded to its own length rounded up, never to its neighbours': so what the network sees of it, and with it
every bit of its logits, depends on nothing but the window.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bioqa_pipeline.records.scores import Batch, Places, Windows

# Padded lengths are its multiples: half of it a window is padding (tests/benchmarks/NOTES.md).
BUCKET_TOKENS = 16
# Rows that are filled at once: a batch on a CPU has too few for the calls that this takes.
ROWS_AT_ONCE = 64


def padded_lengths(n_tokens: Places, *, max_length: int, multiple: int = BUCKET_TOKENS) -> Places:
    """The lengths to which windows of `n_tokens` are padded, wherever and with whomever they are scored.

    Args:
        max_length: tokens that the network takes at most.
    """
    return np.maximum(n_tokens, np.minimum(-(-n_tokens // multiple) * multiple, max_length))


def make_batches(
    windows: Windows, *, token_budget: int, pad_id: int, max_length: int, fixed_rows: bool = False
) -> Iterator[Batch]:
    """Batches of windows of one padded length, longest first.

    A batch holds at most `token_budget` tokens, padding included, and at least one window. `Batch.order` puts the
    results back: `out[batch.order] = rows[: len(batch.order)]`.

    Args:
        max_length: see `padded_lengths`.
        fixed_rows: fills the last batch of a length up with copies of its last window, so that all batches of that
            length have the same number of rows, in every job.
    """
    padded = padded_lengths(windows.lengths, max_length=max_length)
    order = np.argsort(-padded, kind="stable")
    lengths, firsts = np.unique(-padded[order], return_index=True)
    for length, same in zip((-lengths).tolist(), np.split(order, firsts[1:]) if len(order) else (), strict=True):
        count = max(1, token_budget // length)
        at_once = count * max(1, ROWS_AT_ONCE // count)
        for start in range(0, len(same), at_once):
            part = same[start : start + at_once]
            missing = -len(part) % count if fixed_rows else 0
            filled = pad_windows(windows, np.append(part, np.repeat(part[-1:], missing)), pad_id=pad_id, length=length)
            for row in range(0, len(part), count):
                rows = slice(row, row + count)
                yield Batch(
                    input_ids=filled.input_ids[rows],
                    token_type_ids=filled.token_type_ids[rows],
                    attention_mask=filled.attention_mask[rows],
                    order=part[rows],
                )


def pad_windows(windows: Windows, order: Places, *, pad_id: int, length: int | None = None) -> Batch:
    """The windows at the places `order` as one batch, padded on the right.

    Args:
        length: of every row; None takes that of the longest window.
    """
    lengths, offset = windows.lengths[order], windows.passage_offset[order, None]
    column = np.arange(lengths.max() if length is None else length)
    behind, real = column >= offset, column < lengths[:, None]
    place = np.where(behind, (windows.passage[order] - windows.shifts[order])[:, None], windows.head[order, None])
    place += column
    ids = windows.ids.take(place, mode="clip")
    ids[np.arange(len(order)), lengths - 1] = windows.sep
    return Batch(
        input_ids=np.where(real, ids, pad_id).astype(np.int64),
        token_type_ids=(behind & real).astype(np.int64),
        attention_mask=real.astype(np.int64),
        order=order,
    )


def pack_windows(windows: Windows, *, token_budget: int, most_windows: int, pad_id: int) -> Iterator[Batch]:
    """Batches of one row of `token_budget` tokens, in which windows stand one behind the other, in their order.

    `attention_mask` says of each token which of the batch's windows it belongs to, from 1 on; 0 is filler.

    Args:
        token_budget: at least the tokens of the longest window.
    """
    lengths, offset, text = windows.lengths, windows.passage_offset, windows.passage - windows.shifts
    ends = np.cumsum(lengths)
    first = 0
    while first < len(windows):
        before = ends[first - 1] if first else 0
        last = min(int(np.searchsorted(ends, before + token_budget, side="right")), first + most_windows)
        own = slice(first, last)
        bounds = ends[own] - before
        numbers = np.repeat(np.arange(last - first), lengths[own])
        column = np.arange(bounds[-1]) - (bounds - lengths[own])[numbers]
        behind = column >= offset[own][numbers]
        place = np.where(behind, text[own][numbers], windows.head[own][numbers]) + column
        ids = windows.ids.take(place, mode="clip")
        ids[bounds - 1] = windows.sep
        filler = (0, token_budget - bounds[-1])
        yield Batch(
            input_ids=np.pad(ids.astype(np.int64), filler, constant_values=pad_id)[None],
            token_type_ids=np.pad(behind.astype(np.int64), filler)[None],
            attention_mask=np.pad(numbers + 1, filler)[None],
            order=np.arange(first, last),
        )
        first = last
