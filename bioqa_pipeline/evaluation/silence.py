"""When to stay silent: answers in the order of their certainty into how right they are, however few are given. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bioqa_pipeline.evaluation.judged import JudgedQuestion

AIMS = (80, 90)


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """What comes of answering all questions from one certainty on.

    Attributes:
        certainty: of the last answer that is given.
        coverage: share of all questions that are answered, 0 to 1.
        exactness: share of the given answers that are exactly right, 0 to 1; an answer where there is none is wrong.
    """

    certainty: float
    coverage: float
    exactness: float


@dataclass(frozen=True, slots=True)
class Aim:
    """The most that can be answered while so many of the answers are exactly right; `point` None: nothing can."""

    percent: int
    point: CoveragePoint | None

    @property
    def coverage(self) -> float:
        """Share of all questions, 0 to 1."""
        return self.point.coverage if self.point else 0.0


@dataclass(frozen=True, slots=True)
class Silence:
    """Risk against coverage.

    Attributes:
        by: what the certainty is.
        points: from the surest answer on; answers of one certainty are given together.
        area: mean risk (1 - exactness) over the coverages, 0 to 1; lower is better.
        best_coverage: share of questions that have an answer at all.
    """

    by: str
    points: tuple[CoveragePoint, ...]
    aims: tuple[Aim, ...]
    area: float
    best_coverage: float


def silence(judged: Sequence[JudgedQuestion], *, by: str) -> Silence | None:
    """The curve over all questions with an answer to give; None where nobody knows how certain the answers are."""
    known = [(q.certainty, q.best_exact) for q in judged if q.certainty is not None and q.best is not None]
    if not known:
        return None
    known.sort(key=lambda pair: -pair[0])
    total, right = len(judged), 0.0
    points = []
    for n, (certainty, exact) in enumerate(known, start=1):
        right += exact
        if n == len(known) or known[n][0] != certainty:
            points.append(CoveragePoint(certainty, n / total, right / n))
    steps = zip([0.0, *(p.coverage for p in points)], points, strict=False)
    area = sum((point.coverage - before) * (1.0 - point.exactness) for before, point in steps)
    aims = tuple(Aim(p, next((x for x in reversed(points) if 100 * x.exactness >= p - 1e-9), None)) for p in AIMS)
    return Silence(by, tuple(points), aims, area / points[-1].coverage, sum(bool(q.gold) for q in judged) / total)
