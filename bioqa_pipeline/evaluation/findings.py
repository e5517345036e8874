"""Judged questions into all that an evaluation tells beside its table of figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bioqa_pipeline.evaluation.judged import (
    SAMPLES,
    GroupFigures,
    Interval,
    JudgedQuestion,
    bootstrap,
    by_group,
    question_word,
    worst_errors,
)
from bioqa_pipeline.evaluation.silence import Silence, silence

# Points of the curve that a JSON file keeps.
CURVE_POINTS = 200


@dataclass(frozen=True, slots=True)
class Findings:
    """What the questions say together.

    Attributes:
        intervals: by the name of the figure, in the figure's own unit.
        grouped: what `groups` are, in a word.
    """

    intervals: Mapping[str, Interval]
    grouped: str
    groups: tuple[GroupFigures, ...]
    words: tuple[GroupFigures, ...]
    errors: tuple[JudgedQuestion, ...]
    silence: Silence | None

    def as_json(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "intervals": {name: [i.low, i.high] for name, i in self.intervals.items()},
            "intervals_by": f"95 %, bootstrap of {SAMPLES:,} resamples of the questions",
            f"by_{self.grouped.replace(' ', '_')}": [asdict(g) for g in self.groups],
            "by_question_word": [asdict(g) for g in self.words],
            "worst_errors": [asdict(q) for q in self.errors],
            "silence": _silence(self.silence),
        }


def find(
    judged: Sequence[JudgedQuestion], values: Mapping[str, Sequence[float | None]], *, grouped: str, certainty: str
) -> Findings:
    """All of it; nothing where no question has gold.

    Args:
        values: as of `bootstrap`.
        certainty: what the questions are certain by, in words.
    """
    return Findings(
        intervals=bootstrap(values),
        grouped=grouped,
        groups=by_group(judged, lambda q: q.group),
        words=by_group(judged, lambda q: question_word(q.question)),
        errors=worst_errors(judged),
        silence=silence(judged, by=certainty),
    )


def _silence(found: Silence | None) -> dict[str, Any] | None:
    if found is None:
        return None
    step = max(1, len(found.points) // CURVE_POINTS)
    return {
        "by": found.by,
        "answered_at": {str(aim.percent): aim.coverage for aim in found.aims},
        "from_certainty": {str(aim.percent): aim.point.certainty if aim.point else None for aim in found.aims},
        "area_under_risk": found.area,
        "questions_with_an_answer": found.best_coverage,
        "curve": [asdict(p) for p in (*found.points[:-1:step], found.points[-1])],
    }
