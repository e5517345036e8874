"""How far one precision's or engine's scores are from another's, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bioqa_pipeline.qa.inference import Scorer
from bioqa_pipeline.records.scores import Window
from support.windows import Span, WindowScore, pad_batch


@dataclass(frozen=True, slots=True)
class Drift:
    """Of windows that hold a valid span.

    Attributes:
        changed_spans: windows with another best span.
        widest_tie: how much lower the reference scores another's best span than its own, at most.
        changed_decisions: windows on the other side of the threshold.
        score_diff, margin: largest changes.
    """

    windows: int
    changed_spans: int
    widest_tie: float
    changed_decisions: int
    score_diff: float
    margin: float


def drift(
    reference: Scorer,
    windows: Sequence[Window],
    exact: Sequence[WindowScore],
    other: Sequence[WindowScore],
    *,
    threshold: float,
) -> Drift:
    """Compares `other` with `exact`, the scores of `reference`.

    Args:
        threshold: on `score_diff`.
    """
    ties, diffs, margins = [], [], []
    n_windows = flipped = 0
    for window, a, b in zip(windows, exact, other, strict=True):
        if a.best is None or b.best is None:
            assert a.best is b.best is None
            continue
        n_windows += 1
        before, after = a.null_score - a.best.score, b.null_score - b.best.score
        diffs.append(abs(before - after))
        margins.append(abs(a.margin - b.margin))
        flipped += (before <= threshold) != (after <= threshold)
        if (a.best.token_start, a.best.token_end) != (b.best.token_start, b.best.token_end):
            ties.append(a.best.score - _score(reference, window, b.best))
    return Drift(n_windows, len(ties), max(ties, default=0.0), flipped, max(diffs), max(margins))


def _score(scorer: Scorer, window: Window, span: Span) -> float:
    start, end = scorer.logits(pad_batch([window], [0], pad_id=scorer.info.pad_id))
    shift = window.passage_offset - window.token_start
    return float(start[0, span.token_start + shift] + end[0, span.token_end + shift])
