from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.qa.merging import Candidate, merge_answers
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Question

QUESTION = Question(id="q1", text="Which gene?")


def candidate(pmid: int, answer: str | None, answerability: float = 0.5, *, is_retracted: bool = False) -> Candidate:
    return Candidate(
        pmid=pmid,
        answer=answer,
        margin=math.log(answerability / (1 - answerability)),
        answerability=answerability,
        is_retracted=is_retracted,
    )


@pytest.mark.parametrize(
    "group",
    [
        ("BRCA1", "brca1", "the BRCA1 gene", "BRCA1 (BRCA1)"),
        ("vitamin C", "Vitamin-C", "vitamin c."),
        ("three", "3", "about 3", "approximately three"),
        ("mosquitoes", "Mosquitoes,"),
        ("10,000", "10,000"),
        ("12.5%", "about 12.5%"),
        ("β-blocker", "β blockers"),
        ("ﬁbrin", "fibrin"),
    ],
)
def test_wordings_of_one_answer_share_a_key(group: tuple[str, ...]) -> None:
    assert len({answer_key(text.replace(" (BRCA1)", "")) for text in group}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BRCA1", "BRCA2"),
        ("IL-6", "IL-10"),
        ("5 mg", "50 mg"),
        ("type 1 diabetes", "type 2 diabetes"),
        ("12.5%", "125%"),
        ("1.5", "15"),
        ("TNF-α", "TNF-β"),
        ("the gene", "the protein"),
        ("virus", "viru"),
        ("hypertension", "hypotension"),
        ("+", "-"),
    ],
)
def test_different_answers_have_different_keys(one: str, other: str) -> None:
    assert answer_key(one) != answer_key(other)


def test_equal_answers_are_pooled_best_first_with_their_support() -> None:
    merged = merge_answers(
        QUESTION,
        [
            candidate(1, "BRCA1", 0.6),
            candidate(2, "the BRCA1 gene", 0.9),
            candidate(3, "TP53", 0.7),
            candidate(4, None, 0.2),
        ],
    )
    assert merged == [
        MergedAnswer(
            question_id="q1",
            question="Which gene?",
            rank=1,
            answer="the BRCA1 gene",
            answerability=0.9,
            margin=math.log(0.9 / (1 - 0.9)),
            support_pmids=(2, 1),
            work_pmids=(2, 1),
            retracted_pmids=(),
            variants=("the BRCA1 gene", "BRCA1"),
            best_pmid=2,
            n_abstracts=4,
        ),
        MergedAnswer(
            question_id="q1",
            question="Which gene?",
            rank=2,
            answer="TP53",
            answerability=0.7,
            margin=math.log(0.7 / (1 - 0.7)),
            support_pmids=(3,),
            work_pmids=(3,),
            retracted_pmids=(),
            variants=("TP53",),
            best_pmid=3,
            n_abstracts=4,
        ),
    ]


def test_the_short_and_the_long_form_of_a_name_are_one_answer() -> None:
    merged = merge_answers(
        QUESTION,
        [
            candidate(1, "EGFR", 0.9),
            candidate(2, "epidermal growth factor receptor", 0.8),
            candidate(3, "epidermal growth factor receptor (EGFR)", 0.7),
        ],
    )
    assert [(m.answer, m.support_pmids) for m in merged] == [("EGFR", (1, 2, 3))]


def test_an_answer_that_only_a_retracted_record_gives_comes_last_and_says_so() -> None:
    merged = merge_answers(
        QUESTION,
        [
            candidate(1, "A", 0.99, is_retracted=True),
            candidate(2, "B", 0.6),
            candidate(3, "C", 0.9, is_retracted=True),
            candidate(4, "C", 0.5),
        ],
    )
    assert [(m.answer, m.best_pmid, m.retracted_pmids) for m in merged] == [
        ("B", 2, ()),
        ("C", 4, (3,)),
        ("A", 1, (1,)),
    ]


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("What treats type 2 diabetes in mice?", "metformin"),
        ("Is type 2 diabetes or type 1 treated?", "Type 2 Diabetes"),  # a choice
        ("What is T2D?", "Type 2 Diabetes"),
    ],
)
def test_words_of_the_question_alone_stand_behind_what_says_more(asked: str, first: str) -> None:
    found = [candidate(1, "Type 2 Diabetes", 0.9), candidate(2, "type-2 diabetes", 0.9), candidate(3, "metformin", 0.6)]
    merged = merge_answers(Question("q", asked), found)
    assert (len(merged), merged[0].answer) == (2, first)


def test_no_answer_is_one_row_with_none() -> None:
    [row] = merge_answers(QUESTION, [candidate(1, None, 0.1), candidate(2, None, 0.3)])
    assert (row.answer, row.rank, row.answerability, row.n_abstracts, row.support_pmids) == (None, 1, 0.3, 2, ())
    [nothing] = merge_answers(QUESTION, [])
    assert (nothing.answer, nothing.answerability, nothing.n_abstracts) == (None, None, 0)


words = st.sampled_from(
    ["EGFR", "the EGFR gene", "egfr receptor (EGFR)", "TP53", "p53 (TP53)", "insulin", "3", "three", ""]
)
candidates = st.lists(
    st.builds(
        candidate,
        st.integers(1, 6),
        st.none() | words,
        st.floats(0.01, 0.99),
        is_retracted=st.booleans(),
    ),
    max_size=12,
)


@given(candidates, st.randoms())
def test_merging_loses_nothing_and_does_not_depend_on_order(found: list[Candidate], random: object) -> None:
    unique = list({c.pmid: c for c in found}.values())
    merged = merge_answers(QUESTION, unique, limit=100)
    shuffled = list(unique)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge_answers(QUESTION, shuffled, limit=100) == merged
    assert [m.rank for m in merged] == list(range(1, len(merged) + 1))
    answered = {c.pmid for c in unique if c.answer is not None}
    assert sorted(p for m in merged for p in m.support_pmids) == sorted(answered)
    keys = [{answer_key(v) for v in m.variants} for m in merged if m.answer is not None]
    assert all(a.isdisjoint(b) for i, a in enumerate(keys) for b in keys[i + 1 :])
    assert merge_answers(QUESTION, unique, limit=1) == merged[:1]
