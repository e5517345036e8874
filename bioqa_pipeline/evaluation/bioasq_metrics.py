"""Answers to BioASQ's factoid and list questions into the challenge's official measures. Pure.

Those of the organisers' own program since BioASQ 5 (github.com/BioASQ/Evaluation-Measures, `EvaluatorTask1b -phaseB
-e 5`; later editions changed other tasks). An answer is right where it equals a synonym of the gold, capitals apart;
nothing else is forgiven. Of a given answer only its first form counts. Means go over all questions of the type that
have gold; one without an answer counts 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# One entry for each thing that is meant, with all its names.
Gold = Sequence[Sequence[str]]

MOST_FACTOID_ANSWERS = 5
MOST_LIST_ANSWERS, MOST_LIST_CHARS = 100, 100
MOST_IDEAL_WORDS = 200


@dataclass(frozen=True, slots=True)
class FactoidScore:
    """Whether the first answer is right, whether any is, and 1 / rank of the first right one (0 without)."""

    strict: float
    lenient: float
    reciprocal_rank: float


@dataclass(frozen=True, slots=True)
class ListScore:
    """Of the answers given, those that are right; of the gold, those that are given; their harmonic mean."""

    precision: float
    recall: float
    f1: float


def factoid_score(gold: Gold, answers: Sequence[str]) -> FactoidScore:
    """Of the ranked answers to one question; those behind the fifth are not read."""
    names = {name.lower() for synonyms in gold for name in synonyms}
    ranks = (rank for rank, answer in enumerate(answers[:MOST_FACTOID_ANSWERS], start=1) if answer.lower() in names)
    first = next(ranks, None)
    return FactoidScore(float(first == 1), float(first is not None), 1.0 / first if first else 0.0)


def list_score(gold: Gold, answers: Sequence[str]) -> ListScore:
    """Of the answers to one question.

    Each entry of the gold is found once: another name for the same thing is a wrong answer. An answer that was right
    for one entry stands for one more that has the same name, as in the official program.
    """
    if not answers:
        return ListScore(0.0, 0.0, 0.0)
    said = [answer.lower() for answer in answers]
    left = [{name.lower() for name in synonyms} for synonyms in gold]
    right = 0
    for answer in said:
        found = next((i for i, names in enumerate(left) if answer in names), None)
        if found is not None:
            del left[found]
            right += 1
    missed = 0
    for names in left:
        again = next((i for i, answer in enumerate(said) if answer in names), None)
        if again is None:
            missed += 1
        else:
            del said[again]
    precision = right / len(answers)
    recall = right / (right + missed) if right + missed else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision and recall else 0.0
    return ListScore(precision, recall, f1)
