"""Start and end logits into spans and null scores, window by window. Pure and vectorised; `answers` goes on from here.

With start logits s and end logits e of one window, `[CLS]` at position 0:

    span_score(i, j) = s[i] + e[j]     i <= j < i + max_answer_length, both in the passage, i in its max-context range
    null_score       = s[0] + e[0]
    log_prob(i, j)   = log_softmax(s)[i] + log_softmax(e)[j]     softmax over the window's real tokens only
    margin           = logsumexp over the valid spans of span_score - null_score

Over the windows of a passage: the best span is the one with the highest span_score, null_score and null_log_prob are
the minima, margin is the maximum, and

    score_diff = null_score - best span_score     higher = less answerable; answerable iff score_diff <= threshold

as in run_squad's `compute_predictions_logits`. `score_diff` takes the null of one window and the span of another;
`margin` never does, so it alone compares across passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.errors import NonFiniteLogitError
from bioqa_pipeline.records.scores import FloatArray, Places, Windows, WindowScores

# Far above any logit that a trained model gives, and far below where sums of two would overflow.
LARGEST_LOGIT = 1e6
NOT_FINITE = f"the model gave a logit that is not finite, or beyond {LARGEST_LOGIT:,.0f}"
# Logarithms below their largest from where on exponentials vanish: so far that those beside them stay whole.
FAR = 600.0

Weights = npt.NDArray[np.float64]


def window_columns(windows: Windows) -> Places:
    """(n_windows, 5) what decoding needs to know of windows: positions of a window's end, of the first and the end of
    its max-context range, of its passage's end, and what a position is ahead of its token's number in the passage."""
    shifts = windows.shifts
    contexts = windows.context_start + shifts, windows.context_end + shifts
    return np.stack([windows.lengths, *contexts, windows.token_end + shifts, shifts], axis=1)


def decode(logits: Sequence[tuple[FloatArray, FloatArray]], columns: Places, config: SpanConfig) -> WindowScores:
    """Decodes some batches exactly: all valid spans are looked at, there is no beam.

    Kept are the best span, then the best of those that share no token with a kept one, and so on, so that n-best holds
    no near-duplicates. A row's bits depend on its own logits alone.

    Args:
        logits: of starts and of ends, of each batch, (n_windows, length) float32; what is at and past a window's length
            is ignored.
        columns: `window_columns` of all the windows, in row order.

    Raises:
        NonFiniteLogitError: a logit of a real token is not finite.
    """
    width, longest = config.max_answer_length, max((start.shape[1] for start, _ in logits), default=0)
    # Spans are looked for on both sides of the tokens.
    tokens = slice(width, width + longest)
    sides = np.full((2, len(columns), width + longest + width), -np.inf, dtype=np.float32)
    first = 0
    for pair in logits:
        rows = slice(first, first := first + len(pair[0]))
        for side, values in zip(sides, pair, strict=True):
            side[rows, width : width + values.shape[1]] = values
    size, context, behind, passage_end = columns[:, :4, None].astype(np.int32).swapaxes(0, 1)
    positions = np.arange(longest, dtype=np.int32)
    is_real = positions < size
    if not ((np.abs(sides[:, :, tokens]) <= LARGEST_LOGIT) | ~is_real).all():
        raise NonFiniteLogitError(NOT_FINITE)
    # Minus infinity where no token is, and below where no span starts or ends.
    np.copyto(sides[:, :, tokens], -np.inf, where=~is_real)
    null_score = sides[0, :, width] + sides[1, :, width]
    highest = sides.max(axis=2, keepdims=True).astype(np.float64)
    weights = sides[:, :, width:] - highest
    np.exp(weights, out=weights)
    log_normaliser = (np.log(_row_sums(weights, size)) + highest[:, :, 0]).sum(axis=0).astype(np.float32)
    no_span = ~np.array([(positions >= context) & (positions < behind), positions < passage_end])
    np.copyto(sides[:, :, tokens], -np.inf, where=no_span)
    np.copyto(weights[:, :, :longest], 0.0, where=no_span)
    firsts, lasts, scores = _top_spans(sides[0], sides[1], width, config.n_best)
    span_logsumexp = _span_logsumexp(sides, weights, highest.sum(axis=0)[:, 0], scores[:, 0], size, width)
    return WindowScores(
        null_score=null_score,
        null_log_prob=null_score - log_normaliser,
        span_logsumexp=span_logsumexp,
        margin=span_logsumexp - null_score,
        starts=firsts - columns[:, 4, None],
        ends=lasts - columns[:, 4, None],
        scores=scores,
        log_probs=scores - log_normaliser[:, None],
    )


def _top_spans(starts: FloatArray, ends: FloatArray, width: int, count: int) -> tuple[Places, Places, FloatArray]:
    """The `count` best spans of each window, best first: the earlier one where two are equal, then the shorter.

    Args:
        starts, ends: (n_windows, width + length + width), minus infinity where no span starts or ends.
    """
    n_windows, side = starts.shape
    # The highest score of a span from each place on.
    best = starts.copy()
    flat_best, flat_starts, flat_ends = best.reshape(-1), starts.reshape(-1), ends.reshape(-1)
    flat_best[: best.size - width + 1] += _sliding(np.maximum, flat_ends, width)
    row, ahead = side * np.arange(n_windows)[:, None], np.arange(width)
    firsts, lasts = np.zeros((2, n_windows, count), dtype=np.int64)
    scores = np.full((n_windows, count), -np.inf, dtype=np.float32)
    for k in range(count):
        first = best.argmax(axis=1)[:, None]
        scores[:, k] = flat_best[row + first][:, 0]
        if not np.isfinite(scores[:, k]).any():
            break
        is_before = firsts[:, :k] < first
        within = first + ahead
        at = row + within
        # Up to the next span that was taken.
        reach = np.where(is_before, side, firsts[:, :k]).min(axis=1, initial=side)[:, None]
        sums = flat_starts[row + first] + flat_ends.take(at, mode="clip")
        last = first + np.where(within < reach, sums, -np.inf).argmax(axis=1)[:, None]
        firsts[:, k], lasts[:, k] = first[:, 0], last[:, 0]
        flat_best[at[within <= last]] = -np.inf
        # Spans that would reach it from before end before it, if they begin behind the last one that was taken there.
        before = first - 1 - ahead[: width - 1]
        at = row + before
        shorter = flat_starts.take(at, mode="clip")
        shorter += np.maximum.accumulate(flat_ends.take(at, mode="clip"), axis=1)
        is_free = before > np.where(is_before, lasts[:, :k], -1).max(axis=1, initial=-1)[:, None]
        flat_best[at[is_free]] = shorter[is_free]
    return firsts - width, lasts - width, scores


def _span_logsumexp(
    sides: FloatArray, weights: Weights, highest: Weights, top: FloatArray, size: Places, width: int
) -> FloatArray:
    """(n_windows,) over the scores of all valid spans; minus infinity for a window without any.

    The sum of exp(start + end) over the ends of each start is exp(start) times a sum over a sliding window.

    Args:
        weights: (2, n_windows, length + width) exponentials of what `sides` has from the first token on.
        highest: (n_windows,) what was subtracted from a start and an end before.
        top: (n_windows,) the highest score of a span.
    """
    starts, ends = weights
    starts.reshape(-1)[: starts.size - width + 1] *= _sliding(np.add, ends.reshape(-1), width)
    with np.errstate(divide="ignore"):
        found = np.log(_row_sums(starts, size)) + highest
    # What is highest is no span, and all that are have vanished beside it.
    for row in np.flatnonzero(np.isfinite(top) & (highest - top > FAR)):
        start, end = sides[:, row, : width + size[row, 0] + width].astype(np.float64)
        spans = start[:-width, None] + sliding_window_view(end, width)[:-1]
        found[row] = np.log(np.exp(spans - top[row]).sum()) + top[row]
    return found.astype(np.float32)


def _row_sums(values: Weights, size: Places) -> Weights:
    """The sum of the first `size` values of each row, over more of which a row reaches; hangs on nothing else."""
    length = values.shape[-1]
    first = np.arange(0, values.size, length).reshape(values.shape[:-1])
    bounds = np.stack([first, first + size[:, 0]], axis=-1)
    sums: Weights = np.add.reduceat(values.reshape(-1), bounds.reshape(-1))[::2].reshape(first.shape)
    return sums


def _sliding(combine: np.ufunc, values: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """`[i]` = `values[i : i + width]` combined, as far as there are so many."""
    if width == 1:
        return values
    half = width // 2
    found = _sliding(combine, values, half)
    found = np.asarray(combine(found[:-half], found[half:]))
    return np.asarray(combine(found[:-1], values[width - 1 :])) if width % 2 else found
