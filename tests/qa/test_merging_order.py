"""Which of two answers comes first, by hand."""

from __future__ import annotations

import pytest

from bioqa_pipeline.qa.merging import Candidate, merge_answers
from bioqa_pipeline.records.texts import Question

QUESTION = Question(id="q1", text="Which drug?")


def candidate(pmid: int, answer: str, answerability: float = 0.8) -> Candidate:
    return Candidate(pmid, answer, margin=1.0, answerability=answerability)


def ranked(*candidates: Candidate) -> list[tuple[int, str | None, tuple[int, ...]]]:
    return [(m.rank, m.answer, m.support_pmids) for m in merge_answers(QUESTION, candidates)]


def test_of_answers_that_are_equally_sure_the_one_with_more_support_comes_first() -> None:
    found = ranked(candidate(1, "aspirin"), candidate(2, "quinine"), candidate(3, "quinine", 0.1))
    assert found == [(1, "quinine", (2, 3)), (2, "aspirin", (1,))]


def test_support_outweighs_a_surer_abstract() -> None:
    found = ranked(candidate(1, "aspirin", 0.81), *(candidate(pmid, "quinine") for pmid in (2, 3, 4)))
    assert found == [(1, "quinine", (2, 3, 4)), (2, "aspirin", (1,))]


def test_a_pmid_that_comes_twice_is_one_support() -> None:
    twice = [candidate(1, "aspirin"), candidate(1, "Aspirin", 0.3), candidate(1, "aspirin", 0.2)]
    found = ranked(*twice, candidate(2, "quinine"), candidate(3, "quinine", 0.1))
    assert found == [(1, "quinine", (2, 3)), (2, "aspirin", (1,))]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_ranks_count_from_1_without_gaps_up_to_the_limit(limit: int) -> None:
    words = ["aspirin", "quinine", "heparin"]
    merged = merge_answers(QUESTION, [candidate(i, word) for i, word in enumerate(words)], limit=limit)
    assert [m.rank for m in merged] == list(range(1, min(limit, 3) + 1))
