"""Questions as they came out, one by one, into what they say together: intervals, groups, the worst errors. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bioqa_pipeline.text import sentences

SAMPLES, SEED = 1000, 20
WORST = 20
# Groups of fewer questions say little; the page tells how many they are.
MOST_GROUPS = 40
_WORDS = re.compile(r"\b(how (?:many|much|often|long)|what|which|whom?|whose|when|where|why|how)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """One question with gold, as it came out.

    Attributes:
        group: the article of a SQuAD file, the type of a BioASQ question.
        answer: what is given; None for silence.
        best: what would be given if nothing were passed over in silence.
        gold: None of them where the text has no answer.
        exact, f1: of `answer`, 0 to 1.
        best_exact: of `best`; 0 where there is no answer to give.
        certainty: what silence is decided by, higher for an answer; None where nobody knows it.
        probability: that there is an answer, 0 to 1; from the certainty's own scale where nothing is calibrated.
        evidence: the sentence that `best` stands in.
    """

    id: str
    question: str
    group: str
    answer: str | None
    best: str | None
    gold: tuple[str, ...]
    exact: float
    f1: float
    best_exact: float
    certainty: float | None
    probability: float | None
    evidence: str | None


@dataclass(frozen=True, slots=True)
class Interval:
    """Where 95 of 100 resamples of the questions lie."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """Questions that have something in common; `exact` and `f1` in percent."""

    name: str
    count: int
    answered: int
    exact: float
    f1: float


def question_word(text: str) -> str:
    """The first word that asks, in lower case; "other" without one. English only."""
    found = _WORDS.search(text)
    return found[1].lower() if found else "other"


def bootstrap(values: Mapping[str, Sequence[float | None]], *, samples: int = SAMPLES) -> dict[str, Interval]:
    """The interval of each mean, from questions drawn anew with replacement, the same draws for all; seeded.

    Args:
        values: one a question for each figure; None where the question has no part in it.
    """
    names = [name for name, own in values.items() if any(v is not None for v in own)]
    if not names:
        return {}
    matrix = np.array([[np.nan if v is None else v for v in values[name]] for name in names], dtype=np.float64).T
    counted = ~np.isnan(matrix)
    matrix = np.where(counted, matrix, 0.0)
    rng = np.random.default_rng(SEED)
    n = len(matrix)
    means = []
    for _ in range(samples):
        draws = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        weight = draws @ counted
        means.append(np.where(weight > 0, draws @ matrix / np.maximum(weight, 1.0), np.nan))
    low, high = np.nanpercentile(np.array(means), [2.5, 97.5], axis=0)
    return {name: Interval(float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def by_group(judged: Sequence[JudgedQuestion], name: Callable[[JudgedQuestion], str]) -> tuple[GroupFigures, ...]:
    """The figures of each group, the largest first; those beyond the first few together, as "others"."""
    groups: dict[str, list[JudgedQuestion]] = {}
    for question in judged:
        groups.setdefault(name(question), []).append(question)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    if len(ordered) > MOST_GROUPS:
        rest = ordered[MOST_GROUPS - 1 :]
        ordered = ordered[: MOST_GROUPS - 1]
        ordered.append((f"{len(rest)} others", [question for _, own in rest for question in own]))
    return tuple(
        GroupFigures(
            name=label,
            count=len(own),
            answered=sum(q.answer is not None for q in own),
            exact=100.0 * sum(q.exact for q in own) / len(own),
            f1=100.0 * sum(q.f1 for q in own) / len(own),
        )
        for label, own in ordered
    )


def worst_errors(judged: Sequence[JudgedQuestion], most: int = WORST) -> tuple[JudgedQuestion, ...]:
    """What was decided with most confidence and came out wrong: answers that share nothing with the gold first.

    Where nobody knows a probability, the place in the order of certainty stands for it.
    """
    order = sorted(q.certainty for q in judged if q.certainty is not None)

    def badness(question: JudgedQuestion) -> float:
        chance = question.probability
        if chance is None:
            chance = 0.5 if question.certainty is None else bisect_right(order, question.certainty) / len(order)
        return (1.0 - question.f1) * (chance if question.answer is not None else 1.0 - chance)

    wrong = [q for q in judged if q.f1 < 1.0]
    return tuple(sorted(wrong, key=lambda q: (-badness(q), q.id))[:most])


def evidence(text: str, start: int, end: int) -> str:
    """The sentences that the span [start, end) touches."""
    touched = [(a, b) for a, b in sentences(text) if a < end and start < b]
    return text[min(touched[0][0], start) : max(touched[-1][1], end)] if touched else text[start:end]
