"""The windows of each pair into its answer, all pairs together, as arrays. See `spans` for the formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.char_ranges import CharRanges
from bioqa_pipeline.records.scores import PassageAnswer, Places, SpanAnswer, Windows, WindowScores

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans as text, those of a pair together, best first.

    Attributes:
        first: (n_pairs + 1,) where those of each pair begin, and their number.
        texts: `texts[i] == passage[start[i]:end[i]]`.
        window: place of the window among the pair's.
    """

    first: Places
    texts: Sequence[str]
    start: Places
    end: Places
    score: Numbers
    log_prob: Numbers
    window: Places


@dataclass(frozen=True, slots=True)
class PairAnswers:
    """The answers of some pairs as columns; `answer` gives one as an object.

    Attributes:
        n_best: a pair's best span is the first of them; a pair without a valid span has none.
        score_diff: plus infinity where there is no valid span, and `margin` minus infinity.
        answerability: None without a calibration.
    """

    n_best: Spans
    null_score: Numbers
    null_log_prob: Numbers
    score_diff: Numbers
    margin: Numbers
    answerability: tuple[float, ...] | None
    is_answerable: npt.NDArray[np.bool_]
    n_windows: Places

    def answer(self, pair: int) -> PassageAnswer:
        """The answer of one pair."""
        best = self.n_best
        spans = tuple(
            SpanAnswer(
                text=best.texts[i],
                start=int(best.start[i]),
                end=int(best.end[i]),
                score=float(best.score[i]),
                log_prob=float(best.log_prob[i]),
                window_index=int(best.window[i]),
            )
            for i in range(int(best.first[pair]), int(best.first[pair + 1]))
        )
        return PassageAnswer(
            best=spans[0] if spans else None,
            n_best=spans,
            null_score=float(self.null_score[pair]),
            null_log_prob=float(self.null_log_prob[pair]),
            score_diff=float(self.score_diff[pair]),
            margin=float(self.margin[pair]),
            answerability=self.answerability[pair] if self.answerability else None,
            is_answerable=bool(self.is_answerable[pair]),
            n_windows=int(self.n_windows[pair]),
        )


def answer_pairs(
    windows: Windows,
    scores: WindowScores,
    texts: Sequence[str],
    ranges: CharRanges,
    read: Places,
    config: SpanConfig,
    *,
    threshold: float,
    calibration: Calibration | None,
) -> PairAnswers:
    """Makes the windows of each pair one answer.

    Args:
        windows: all of each pair, as `make_windows` gives them.
        texts, ranges: the passages.
        read: (n_pairs,) which of them each pair reads.
    """
    first = np.flatnonzero(windows.index == 0)
    n_windows = windows.n_windows[first]
    n_best = _n_best(windows, scores, texts, ranges, read, config)
    null_score = np.minimum.reduceat(scores.null_score, first).astype(np.float64)
    margin = np.maximum.reduceat(scores.margin, first).astype(np.float64)
    has_best = np.diff(n_best.first) > 0
    score_diff = np.full(len(first), math.inf)
    score_diff[has_best] = null_score[has_best] - n_best.score[n_best.first[:-1][has_best]]
    found = zip(margin.tolist(), n_windows.tolist(), strict=True) if calibration else ()
    return PairAnswers(
        n_best=n_best,
        null_score=null_score,
        null_log_prob=np.minimum.reduceat(scores.null_log_prob, first).astype(np.float64),
        score_diff=score_diff,
        margin=margin,
        answerability=tuple(calibration.probability(*pair) for pair in found) if calibration else None,
        is_answerable=has_best & (score_diff <= threshold),
        n_windows=n_windows,
    )


def _n_best(
    windows: Windows, scores: WindowScores, texts: Sequence[str], ranges: CharRanges, read: Places, config: SpanConfig
) -> Spans:
    """Best first; a span that overlaps a better one or has its wording (case folded) is left out, and white space."""
    window, rank = np.nonzero(scores.scores > -np.inf)
    # Stable: of equal ones that of the earlier window comes first.
    order = np.lexsort((-scores.scores[window, rank], windows.pair[window]))
    window, rank = window[order], rank[order]
    pair = windows.pair[window]
    tokens = scores.starts[window, rank], scores.ends[window, rank]
    start, end = ranges.of(read[pair], *tokens, whole_words=config.whole_words)
    kept, said = _kept(pair, start, end, texts, read, config.n_best)
    counts = np.bincount(pair[kept], minlength=len(read))
    return Spans(
        first=np.append(0, np.cumsum(counts)),
        texts=said,
        start=start[kept],
        end=end[kept],
        score=scores.scores[window, rank][kept].astype(np.float64),
        log_prob=scores.log_probs[window, rank][kept].astype(np.float64),
        window=windows.index[window][kept],
    )


def _kept(
    pair: Places, start: Places, end: Places, texts: Sequence[str], read: Places, most: int
) -> tuple[Places, list[str]]:
    """Which of the spans are kept, `most` a pair, and what they say; those of a pair stand together, best first."""
    numbers: dict[str, int] = {}
    said: dict[int, str] = {}
    # What was kept of each pair so far: no range overlaps, and no wording equals, what is not there.
    taken = np.full((3, len(read), most), -1, dtype=np.int64)
    n_taken = np.zeros(len(read), dtype=np.int64)
    place = np.arange(len(pair)) - np.searchsorted(pair, pair)
    by_place = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[by_place], np.arange(place.max(initial=-1) + 2))
    for at in range(len(bounds) - 1):
        spans = by_place[bounds[at] : bounds[at + 1]]
        spans = spans[n_taken[pair[spans]] < most]
        if not len(spans):
            break
        places = zip(read[pair[spans]].tolist(), start[spans].tolist(), end[spans].tolist(), strict=True)
        words = [texts[i][a:b] for i, a, b in places]
        wording = np.array([numbers.setdefault(text.casefold(), len(numbers)) for text in words], dtype=np.int64)
        starts, ends, wordings = taken[:, pair[spans]]
        overlaps = (start[spans, None] < ends) & (starts < end[spans, None])
        new = ~(overlaps | (wordings == wording[:, None])).any(axis=1)
        new &= np.array([bool(text.strip()) for text in words], dtype=np.bool_)
        spans, wording = spans[new], wording[new]
        own = pair[spans]
        taken[:, own, n_taken[own]] = start[spans], end[spans], wording
        n_taken[own] += 1
        said |= zip(spans.tolist(), compress(words, new.tolist()), strict=True)
    kept = sorted(said)
    return np.array(kept, dtype=np.int64), [said[i] for i in kept]
