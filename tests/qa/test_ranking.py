"""Votes of abstracts for answers: by hand, against a slow twin, and what they must not depend on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.qa.ranking import Voter, votes

KEYS = ("imatinib", "imatinib mesylate", "hydroxyurea", "mesylate salt of imatinib", "sun")


def by_hand(answers: Sequence[str], voters: Sequence[Voter]) -> dict[str, float]:
    """Straight from the definition."""
    result = {}
    for answer in answers:
        by_work: dict[object, float] = {}
        for voter in voters:
            weights = [math.exp(score / 2) for _, score in voter.spans]
            for (said, _), weight in zip(voter.spans, weights, strict=True):
                a, b = set(answer.split()), set(said.split())
                common = 1.0 if said == answer else min(len(a), len(b)) / max(len(a), len(b)) if a < b or b < a else 0.0
                vote = math.sqrt(voter.probability * common * weight / sum(weights))
                by_work[voter.work] = max(by_work.get(voter.work, 0.0), vote)
        result[answer] = sum(by_work.values())
    return result


def voter(work: int, probability: float, *spans: tuple[str, float]) -> Voter:
    return Voter(work, probability, spans)


def test_two_good_abstracts_outweigh_a_surer_one() -> None:
    found = votes(
        ["hydroxyurea", "imatinib"],
        [voter(1, 0.97, ("hydroxyurea", 3.0)), voter(2, 0.9, ("imatinib", 3.0)), voter(3, 0.7, ("imatinib", 1.0))],
    )
    assert found == pytest.approx({"hydroxyurea": math.sqrt(0.97), "imatinib": math.sqrt(0.9) + math.sqrt(0.7)})


def test_one_work_has_one_vote() -> None:
    twice = [voter(1, 0.5, ("sun", 0.0)), voter(1, 0.9, ("sun", 0.0))]
    assert votes(["sun"], twice) == pytest.approx({"sun": math.sqrt(0.9)})


def test_the_second_span_counts_by_its_share() -> None:
    share = 1 / (1 + math.exp(0.5))
    found = votes(["imatinib"], [voter(1, 0.8, ("sun", 2.0), ("imatinib", 1.0))])
    assert found == pytest.approx({"imatinib": math.sqrt(0.8 * share)})


def test_words_in_common_count_by_their_share() -> None:
    found = votes(["imatinib", "sun"], [voter(1, 0.64, ("imatinib mesylate", 0.0))])
    assert found == pytest.approx({"imatinib": math.sqrt(0.64 / 2), "sun": 0.0})


def test_nobody_votes_for_nothing() -> None:
    assert votes(["sun"], []) == votes(["sun"], [Voter(1, 0.9, ())]) == {"sun": 0.0}
    assert votes([], [voter(1, 0.5, ("sun", 0.0))]) == {}


voters = st.lists(
    st.builds(
        Voter,
        work=st.integers(1, 3),
        probability=st.floats(0, 1),
        spans=st.lists(st.tuples(st.sampled_from(KEYS), st.floats(-20, 20)), max_size=4).map(tuple),
    ),
    max_size=6,
)


@given(st.sets(st.sampled_from(KEYS)).map(sorted), voters, st.randoms())
def test_the_definition_in_any_order(answers: list[str], given_voters: list[Voter], random: object) -> None:
    shuffled = list(given_voters)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = pytest.approx(by_hand(answers, given_voters), abs=1e-9)
    assert votes(answers, given_voters) == expected
    assert votes(answers, shuffled) == expected


def test_many_abstracts_cost_no_square() -> None:
    """The votes of 20,000 abstracts for as many answers that share a word, counted by what is looked up."""
    lookups = 0

    class Counting(str):
        __slots__ = ()

        def split(self, *args: object) -> list[str]:  # type: ignore[override]
            nonlocal lookups
            lookups += 1
            return str.split(self)

        __hash__ = str.__hash__

    keys = [Counting(f"protein {i}") for i in range(20_000)]
    votes(keys, [Voter(i, 0.5, ((key, 1.0),)) for i, key in enumerate(keys)])
    assert lookups <= 2_000
