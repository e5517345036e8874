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
from itertools import groupby

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.errors import NonFiniteLogitError
from bioqa_pipeline.records.scores import FloatArray, Places, Windows, WindowScores

# Far above any logit that a trained model gives, and far below where sums of two would overflow.
LARGEST_LOGIT = 1e6
NOT_FINITE = f"the model gave a logit that is not finite, or beyond {LARGEST_LOGIT:,.0f}"
# All spans of so many windows fit into a processor's second-level cache.
WINDOWS_IN_CACHE = 16

BoolArray = npt.NDArray[np.bool_]


def window_columns(windows: Windows) -> Places:
    """(n_windows, 5) what decoding needs to know of windows: positions of a window's end, of the first and the end of
    its max-context range, of its passage's end, and what a position is ahead of its token's number in the passage."""
    shifts = windows.shifts
    contexts = windows.context_start + shifts, windows.context_end + shifts
    return np.stack([windows.lengths, *contexts, windows.token_end + shifts, shifts], axis=1)


def decode(logits: Sequence[tuple[FloatArray, FloatArray]], columns: Places, config: SpanConfig) -> WindowScores:
    """Decodes some batches exactly: all valid spans are looked at, there is no beam.

    Kept are the best span, then the best of those that share no token with a kept one, and so on, so that n-best holds
    no near-duplicates. A row's bits depend on its own logits and their length alone.

    Args:
        logits: of starts and of ends, of each batch, (n_windows, length) float32; what is at and past a window's length
            is ignored.
        columns: `window_columns` of all the windows, in row order.

    Raises:
        NonFiniteLogitError: a logit of a real token is not finite.
    """
    width, longest = config.max_answer_length, max((start.shape[1] for start, _ in logits), default=0)
    # Minus infinity where no span starts or ends; spans are looked for on both sides of the tokens.
    starts, ends = np.full((2, len(columns), width + longest + width), -np.inf, dtype=np.float32)
    null_score, log_normaliser, span_logsumexp = np.empty((3, len(columns)), dtype=np.float32)
    blocks = []
    first = 0
    for length, same in groupby(logits, key=lambda pair: pair[0].shape[1]):
        start, end = (np.concatenate(side) for side in zip(*same, strict=True))
        rows = slice(first, first := first + len(start))
        positions = np.arange(length)
        size, context, behind, passage_end, _ = (columns[rows, i, None] for i in range(5))
        real = positions < size
        if not all(((np.abs(side) <= LARGEST_LOGIT) | ~real).all() for side in (start, end)):
            raise NonFiniteLogitError(NOT_FINITE)
        null_score[rows] = start[:, 0] + end[:, 0]
        log_normaliser[rows] = _logsumexp(start, real) + _logsumexp(end, real)
        tokens = slice(width, width + length)
        np.copyto(starts[rows, tokens], start, where=(positions >= context) & (positions < behind))
        np.copyto(ends[rows, tokens], end, where=positions < passage_end)
        blocks.append((rows, length))
    firsts, lasts, scores = _top_spans(starts, ends, width, config.n_best)
    for rows, length in blocks:
        span_logsumexp[rows] = _span_logsumexp(
            starts[rows, width:], ends[rows, width:], scores[rows, 0], columns[rows], length, width
        )
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
    best[:, : side - width + 1] += _sliding_max(ends, width)
    flat_best, flat_starts, flat_ends = best.reshape(-1), starts.reshape(-1), ends.reshape(-1)
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


def _sliding_max(values: FloatArray, width: int) -> FloatArray:
    """`[:, i]` = the largest of `values[:, i : i + width]`, as far as there are so many."""
    reach = 1
    while 2 * reach <= width:
        values = np.maximum(values[:, :-reach], values[:, reach:])
        reach *= 2
    rest = width - reach
    return np.maximum(values[:, : values.shape[1] - rest], values[:, rest:])


def _span_logsumexp(
    starts: FloatArray, ends: FloatArray, top: FloatArray, columns: Places, length: int, width: int
) -> FloatArray:
    """(n_windows,) over the scores of all valid spans; minus infinity for a window without any.

    Args:
        top: (n_windows,) the highest of them.
        length: of the batches, on which the order of the sum depends.
    """
    safe = np.where(np.isfinite(top), top, 0.0).astype(np.float32)
    total = np.empty(len(starts), dtype=np.float32)
    # Those with spans in like places together: the rest of the band stays zero, and in the sum.
    by_place = np.argsort(columns[:, 1], kind="stable")
    starts, ends, safest = starts[by_place, :length, None], ends[by_place], safe[by_place, None, None]
    spans = as_strided(ends, (len(ends), length, width), (*ends.strides, ends.strides[1]))
    band = np.empty((min(WINDOWS_IN_CACHE, len(starts)), length, width), dtype=np.float32)
    for at in range(0, len(by_place), WINDOWS_IN_CACHE):
        rows = slice(at, at + WINDOWS_IN_CACHE)
        contexts = columns[by_place[rows], 1:3]
        first, last = int(contexts[0, 0]), int(contexts.max())
        part = band[: len(contexts)]
        part[:, :first] = part[:, last:] = 0.0
        valid = part[:, first:last]
        np.add(starts[rows, first:last], spans[rows, first:last], out=valid)
        np.subtract(valid, safest[rows], out=valid)
        np.exp(valid, out=valid)
        total[by_place[rows]] = part.reshape(len(part), -1).sum(axis=1)
    with np.errstate(divide="ignore"):
        result: FloatArray = (np.log(total) + safe).astype(np.float32)
    return result


def _logsumexp(values: FloatArray, mask: BoolArray) -> FloatArray:
    """(n,) float32 over axis 1 where `mask` holds; at least one place a row."""
    masked = np.where(mask, values, -np.inf)
    top = masked.max(axis=1)
    total = np.exp(masked - top[:, None]).sum(axis=1)
    result: FloatArray = (np.log(total) + top).astype(np.float32)
    return result
