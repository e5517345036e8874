"""Answers that have to be one and answers that must not: pairs that the merging gets right, of those in
data/merge_groups.toml. `pytest -s` prints the figures.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest

from bioqa_pipeline.abbreviations import defined_abbreviations
from bioqa_pipeline.qa.merging import Candidate, merge_answers
from bioqa_pipeline.records.texts import Question
from support.paths import ROOT

GROUPS: dict[str, list[Any]] = tomllib.loads((ROOT / "tests/data/merge_groups.toml").read_text("utf-8"))
LEAST_F1 = 0.97


@dataclass(frozen=True, slots=True)
class Group:
    """Answers of one question; `clusters` are positions in `candidates`."""

    kind: str
    candidates: tuple[Candidate, ...]
    clusters: tuple[frozenset[int], ...]


def groups() -> Iterator[Group]:
    for kind, members in GROUPS.items():
        for member in members:
            described = member if isinstance(member, dict) else {"clusters": member}
            abstracts, answers = described.get("abstracts", {}), described.get("answers", {})
            names = [name for cluster in described["clusters"] for name in cluster]
            candidates = tuple(
                Candidate(
                    i, answers.get(name, name), 0.0, 0.5, abbreviations=defined_abbreviations(abstracts.get(name, ""))
                )
                for i, name in enumerate(names)
            )
            places = iter(range(len(names)))
            clusters = tuple(frozenset(next(places) for _ in cluster) for cluster in described["clusters"])
            yield Group(kind, candidates, clusters)


def merged(group: Group) -> list[frozenset[int]]:
    found = merge_answers(Question("q", "q"), group.candidates, limit=len(group.candidates))
    return [frozenset(answer.support_pmids) for answer in found]


def pairs(clusters: list[frozenset[int]] | tuple[frozenset[int], ...]) -> set[tuple[int, ...]]:
    return {pair for cluster in clusters for pair in combinations(sorted(cluster), 2)}


def wordings(group: Group, wrong: set[tuple[int, ...]]) -> list[tuple[str | None, ...]]:
    return [tuple(group.candidates[i].answer for i in pair) for pair in sorted(wrong)]


@pytest.mark.parametrize("kind", GROUPS)
def test_no_two_different_answers_are_merged(kind: str) -> None:
    wrong = [w for g in groups() if g.kind == kind if (w := wordings(g, pairs(merged(g)) - pairs(g.clusters)))]
    assert not wrong


def test_pairwise_figures_of_the_groups() -> None:
    right = found = expected = n_groups = n_apart = 0
    missed = []
    for group in groups():
        is_one, should = pairs(merged(group)), pairs(group.clusters)
        right += len(is_one & should)
        found += len(is_one)
        expected += len(should)
        n_groups += 1
        n_apart += len(list(combinations(group.candidates, 2))) - len(should)
        missed += wordings(group, should - is_one)
    precision, recall = right / found, right / expected
    f1 = 2 * precision * recall / (precision + recall)
    figures = f"precision {precision:.4f}, recall {recall:.4f}, F1 {f1:.4f}"
    print(f"\n{n_groups} groups, {expected} pairs of one answer, {n_apart} of two: {figures}", *missed, sep="\n")  # noqa: T201
    assert n_groups >= 150
    assert f1 >= LEAST_F1
