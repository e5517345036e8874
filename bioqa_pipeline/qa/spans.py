"""Start and end logits into spans and null scores; the windows of a passage into one answer. Pure and vectorised.

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

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.errors import NonFiniteLogitError
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.windows import char_range
from bioqa_pipeline.records.scores import (
    FloatArray,
    PassageAnswer,
    Span,
    SpanAnswer,
    TokenizedText,
    Window,
    WindowScore,
)
from bioqa_pipeline.records.texts import Passage

# Far above any logit that a trained model gives, and far below where sums of two would overflow.
LARGEST_LOGIT = 1e6
NOT_FINITE = f"the model gave a logit that is not finite, or beyond {LARGEST_LOGIT:,.0f}"

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a batch of windows says, before token positions are made those of the passage.

    Attributes:
        null_score, null_log_prob, span_logsumexp, margin: (n_windows,) float32; the last two are minus infinity where a
            window has no valid span.
        starts, ends: (n_windows, k) int64 positions in `input_ids`, best first, both included.
        scores, log_probs: (n_windows, k) float32; minus infinity fills the rows with fewer than k spans.
    """

    null_score: FloatArray
    null_log_prob: FloatArray
    span_logsumexp: FloatArray
    margin: FloatArray
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    scores: FloatArray
    log_probs: FloatArray


def decode(start_logits: FloatArray, end_logits: FloatArray, windows: Sequence[Window], config: SpanConfig) -> Decoded:
    """Decodes one batch exactly: all valid spans are looked at, there is no beam.

    Kept are the best span, then the best of those that share no token with a kept one, and so on, so that n-best holds
    no near-duplicates.

    Args:
        start_logits, end_logits: (n_windows, length) float32; columns at and past a window's length are ignored.
        windows: the batch's windows, in row order.

    Raises:
        NonFiniteLogitError: a logit of a real token is not finite.
    """
    length = start_logits.shape[1]
    positions = np.arange(length)
    columns = window_columns(windows)
    real = positions < columns[:, 0, None]
    if not all((np.abs(logits[real]) <= LARGEST_LOGIT).all() for logits in (start_logits, end_logits)):
        raise NonFiniteLogitError(NOT_FINITE)

    log_normaliser = _logsumexp(start_logits, real) + _logsumexp(end_logits, real)
    null_score = start_logits[:, 0] + end_logits[:, 0]

    band = _span_band(start_logits, end_logits, columns, config.max_answer_length)
    flat = band.reshape(len(windows), -1)
    span_logsumexp = _logsumexp(flat, np.isfinite(flat))
    starts, ends, scores = _top_spans(band, config.n_best)
    return Decoded(
        null_score=null_score,
        null_log_prob=null_score - log_normaliser,
        span_logsumexp=span_logsumexp,
        margin=span_logsumexp - null_score,
        starts=starts,
        ends=ends,
        scores=scores,
        log_probs=scores - log_normaliser[:, None],
    )


def window_columns(windows: Sequence[Window]) -> npt.NDArray[np.int64]:
    """(n_windows, 4) columns of `input_ids`: a window's length, the first and the end of its max-context range, the end
    of its passage."""
    # The passage token t of a window stands at t - token_start + passage_offset.
    return np.array(
        [
            (len(w), w.context_start + shift, w.context_end + shift, w.token_end + shift)
            for w in windows
            for shift in (w.passage_offset - w.token_start,)
        ],
        dtype=np.int64,
    ).reshape(-1, 4)


def _span_band(start: FloatArray, end: FloatArray, columns: npt.NDArray[np.int64], width: int) -> FloatArray:
    """(n_windows, length, width) float32: `[b, i, d]` = span_score(i, i + d), minus infinity where it is not valid."""
    rows, length = start.shape
    positions = np.arange(length)
    _, first, last, passage_end = columns.T
    starts = np.where((positions >= first[:, None]) & (positions < last[:, None]), start, -np.inf)
    ends = np.full((rows, length + width - 1), -np.inf, dtype=np.float32)
    ends[:, :length] = np.where(positions < passage_end[:, None], end, -np.inf)
    band: FloatArray = starts[:, :, None].astype(np.float32) + np.lib.stride_tricks.sliding_window_view(
        ends, width, axis=1
    )
    return band


def _top_spans(band: FloatArray, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """The `count` best spans of each window, best first. Overwrites `band`."""
    rows, length, width = band.shape
    starts = np.zeros((rows, count), dtype=np.int64)
    ends = np.zeros((rows, count), dtype=np.int64)
    scores = np.full((rows, count), -np.inf, dtype=np.float32)
    row = np.arange(rows)
    span_start = np.arange(length)[None, :, None]
    span_end = span_start + np.arange(width)[None, None, :]
    flat = band.reshape(rows, -1)
    for k in range(count):
        best = flat.argmax(axis=1)
        scores[:, k] = flat[row, best]
        if not np.isfinite(scores[:, k]).any():
            break
        starts[:, k], offset = np.divmod(best, width)
        ends[:, k] = starts[:, k] + offset
        taken = (span_start <= ends[:, k, None, None]) & (span_end >= starts[:, k, None, None])
        band[taken] = -np.inf
    return starts, ends, scores


def _logsumexp(values: FloatArray, mask: BoolArray) -> FloatArray:
    """(n,) float32 over axis 1 where `mask` holds; minus infinity for a row without any."""
    masked = np.where(mask, values, -np.inf)
    top = masked.max(axis=1)
    safe = np.where(np.isfinite(top), top, 0.0).astype(np.float32)
    total = np.exp(masked - safe[:, None]).sum(axis=1)
    with np.errstate(divide="ignore"):
        result: FloatArray = (np.log(total) + safe).astype(np.float32)
    return result


def window_scores(decoded: Decoded, windows: Sequence[Window]) -> list[WindowScore]:
    """One `WindowScore` a row of the batch, positions turned into passage tokens."""
    scores = []
    for row, window in enumerate(windows):
        shift = window.token_start - window.passage_offset
        spans = tuple(
            Span(
                window_index=window.index,
                token_start=int(start) + shift,
                token_end=int(end) + shift,
                score=float(score),
                log_prob=float(log_prob),
            )
            for start, end, score, log_prob in zip(
                decoded.starts[row], decoded.ends[row], decoded.scores[row], decoded.log_probs[row], strict=True
            )
            if score > -np.inf
        )
        scores.append(
            WindowScore(
                null_score=float(decoded.null_score[row]),
                null_log_prob=float(decoded.null_log_prob[row]),
                span_logsumexp=float(decoded.span_logsumexp[row]),
                margin=float(decoded.margin[row]),
                best=spans[0] if spans else None,
                n_best=spans,
            )
        )
    return scores


def answer_passage(
    scores: Sequence[WindowScore],
    passage: Passage,
    tokens: TokenizedText,
    config: SpanConfig,
    *,
    threshold: float,
    calibration: Calibration | None,
) -> PassageAnswer:
    """Makes the windows of one pair one answer. `scores` holds every window of the pair, at least one."""
    n_best = _passage_n_best(scores, passage, tokens, config)
    best = n_best[0] if n_best else None
    null_score = min(s.null_score for s in scores)
    margin = max(s.margin for s in scores)
    score_diff = null_score - best.score if best else math.inf
    return PassageAnswer(
        best=best,
        n_best=n_best,
        null_score=null_score,
        null_log_prob=min(s.null_log_prob for s in scores),
        score_diff=score_diff,
        margin=margin,
        answerability=calibration.probability(margin, len(scores)) if calibration else None,
        is_answerable=best is not None and score_diff <= threshold,
        n_windows=len(scores),
    )


def _passage_n_best(
    scores: Sequence[WindowScore], passage: Passage, tokens: TokenizedText, config: SpanConfig
) -> tuple[SpanAnswer, ...]:
    """Best first; a span that overlaps a better one or has its wording (case folded) is left out, and white space."""
    answers: list[SpanAnswer] = []
    wordings: set[str] = set()
    for span in sorted((s for score in scores for s in score.n_best), key=lambda s: -s.score):
        start, end = char_range(passage.text, tokens, span.token_start, span.token_end, whole_words=config.whole_words)
        text = passage.text[start:end]
        if not text.strip() or text.casefold() in wordings or any(start < a.end and a.start < end for a in answers):
            continue
        wordings.add(text.casefold())
        answers.append(
            SpanAnswer(
                text=text,
                start=start,
                end=end,
                score=span.score,
                log_prob=span.log_prob,
                window_index=span.window_index,
            )
        )
        if len(answers) == config.n_best:
            break
    return tuple(answers)
