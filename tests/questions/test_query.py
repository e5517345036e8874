from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.questions.query import (
    LadderStep,
    QueryFilters,
    StepKind,
    _at_least,
    build_queries,
    date_parameters,
    narrow,
    render_ladder,
    without_missing,
)
from bioqa_pipeline.questions.query_lint import query_problems
from bioqa_pipeline.questions.record_filters import RecordFilters
from bioqa_pipeline.questions.terms import question_words
from bioqa_pipeline.records.texts import Question
from support.boolean_queries import Document, Query, QuerySyntaxError

PLAIN = QueryFilters(has_abstract=False)
WORDS = (
    "what is the role of in and or not NOT AND OR patients effect treatment heart failure infections children IL-6 "
    "TNF-α GSK3β p53 BRCA1 type 2 diabetes vitamin D hepatitis A Alzheimer's 2019 12345678 β-catenin preventing "
    "ALL NO WHO E. coli"
).split()
questions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join)


def ladder(text: str, filters: QueryFilters = PLAIN) -> tuple[LadderStep, ...]:
    return build_queries(Question("q", text), filters=filters)


def documents(text: str) -> st.SearchStrategy[Document]:
    """Records with some of the words that a question could be looking for, inflected or not, in either field."""
    parts = [part for word in question_words(text) for spelling in word.spellings for part in spelling.split()]
    stems = [word.stem for word in question_words(text) if word.stem]
    words = st.frozensets(st.sampled_from(sorted({*parts, *stems, *(f"{stem}ing" for stem in stems), "other"})))
    return st.builds(Document, tiab=words, others=words)


@given(text=st.one_of(st.text(), questions))
@example(text='((IL-6[ti] OR "x") NOT y*)')
@example(text="AND")
@example(text="a OR")
@example(text="İstanbul ﬁ ½ ² ٣ 中文 한글")
@example(text="1 2 3 of 2019 12345678 4, 5")
@example(text="x:y#1 {z} a|b & c")
def test_any_text_gives_queries_that_read_as_meant(text: str) -> None:
    for step in ladder(text, QueryFilters(records=RecordFilters(language=("english", "ger")))):
        query = Query.parse(step.term)
        assert query.leaves[-3:] == ["hasabstract", "english[la]", "german[la]"]
        own = {part for word in question_words(text) for form in word.spellings for part in form.split()}
        stems = {f"{word.stem}*" for word in question_words(text)}
        assert {leaf.removesuffix("[tiab]").strip('"') for leaf in query.leaves[:-3]} <= own | stems
        assert query_problems(step.term) == ()
        assert not any("".join(group).isdigit() for group in query.groups)  # PubMed takes bare numbers for PMIDs


@given(data=st.data(), text=questions, has_abstract=st.booleans())
def test_each_level_matches_all_that_stricter_ones_match(data: st.DataObject, text: str, has_abstract: bool) -> None:
    steps = ladder(text, QueryFilters(has_abstract=has_abstract))
    queries = [Query.parse(step.term) for step in steps]
    for document in data.draw(st.lists(documents(text), max_size=8)):
        matched = [query.matches(document) for query in queries]
        assert matched == sorted(matched)


@given(text=questions)
def test_a_record_with_all_words_matches_every_level(text: str) -> None:
    parts = frozenset(part for word in question_words(text) for part in word.text.split())
    assert all(Query.parse(step.term).matches(Document(tiab=parts)) for step in ladder(text))


@given(text=questions)
def test_a_record_with_one_word_matches_the_loosest_level_only_if_it_is_of_the_subject(text: str) -> None:
    steps = ladder(text)
    content = [w for w in question_words(text) if not w.soft] or list(question_words(text))
    for word in question_words(text):
        found = Query.parse(steps[-1].term).matches(Document(tiab=frozenset(word.text.split())))
        assert found or word not in content or len(content) > 8


@given(text=questions)
def test_levels_rise_and_no_query_is_sent_twice(text: str) -> None:
    steps = ladder(text)
    assert [step.level for step in steps] == sorted({step.level for step in steps})
    assert len({step.term for step in steps}) == len(steps)
    assert len(steps) <= 6


@pytest.mark.parametrize("n_terms", range(1, 9))
def test_at_least_counts_as_counting_does(n_terms: int) -> None:
    terms = [f"w{i}" for i in range(n_terms)]
    for need in range(1, n_terms + 1):
        query = Query.parse(_at_least(need, terms))
        for size in range(n_terms + 1):
            for chosen in combinations(terms, size):
                assert query.matches(Document(tiab=frozenset(chosen))) == (size >= need)


def test_at_least_stays_short() -> None:
    assert max(_at_least(need, [f"w{i}" for i in range(8)]).count("w") for need in range(1, 9)) <= 50


def test_a_ladder_from_all_words_to_any() -> None:
    assert ladder("What role does IL-6 play in congestive heart failure?", QueryFilters()) == (
        LadderStep(
            0, StepKind.ALL, "(role AND (il-6 play) AND (congestive heart failure)) AND hasabstract", "all words"
        ),
        LadderStep(
            1,
            StepKind.CONTENT,
            "((il-6 OR il6) AND (congestive heart failure)) AND hasabstract",
            "the words of the subject",
        ),
        LadderStep(
            2,
            StepKind.MOST,
            "((il-6 OR il6) AND (((heart OR heart*[tiab]) AND (failure OR failur*[tiab])) OR "
            "((congestive OR congest*[tiab]) AND ((heart OR heart*[tiab]) OR (failure OR failur*[tiab]))))) "
            "AND hasabstract",
            "il-6 and 2 of 3 words",
        ),
        LadderStep(
            3,
            StepKind.MOST,
            "((il-6 OR il6) AND ((congestive OR congest*[tiab]) OR (heart OR heart*[tiab]) OR "
            "(failure OR failur*[tiab]))) AND hasabstract",
            "il-6 and 1 of 3 words",
        ),
        LadderStep(
            4,
            StepKind.ANY,
            "((il-6 OR il6) OR (congestive OR congest*[tiab]) OR (heart OR heart*[tiab]) OR "
            "(failure OR failur*[tiab])) AND hasabstract",
            "any of the words",
        ),
    )


@pytest.mark.parametrize("text", ["", "???", "What is it?", "and or not", "AND OR NOT", '()[]"*'])
def test_nothing_to_search_for(text: str) -> None:
    assert ladder(text) == ()


def test_words_that_say_little_are_searched_for_where_there_are_no_others() -> None:
    assert ladder("What is the effect of treatment?")[0].term == "(effect AND treatment)"


def test_names_that_read_like_words_without_content_are_quoted_in_title_and_abstract() -> None:
    terms = [step.term for step in ladder("What causes ALL with NO in C. difficile carriers?")]
    assert terms[:2] == [
        '(causes AND "all"[tiab] AND "no"[tiab] AND (c difficile carriers))',
        '("all"[tiab] AND "no"[tiab] AND (c difficile carriers))',
    ]
    assert all(query_problems(term) == () for term in terms)
    assert [step.term for step in ladder("What is WHO?")] == ['"who"[tiab]']


def test_a_bare_number_is_no_pmid() -> None:
    assert ladder("12345678") == (LadderStep(0, StepKind.ALL, "12345678[tiab]", "all words"),)
    assert ladder("outbreak 2019")[0].term == "(outbreak AND 2019[tiab])"
    assert ladder("2 3")[0].term == "(2[tiab] AND 3[tiab])"


def test_the_same_question_gives_the_same_ladder_in_every_process() -> None:
    code = (
        "from bioqa_pipeline.questions.query import *; from bioqa_pipeline.records.texts import Question;"
        "print(build_queries(Question('q', 'Do IL-6, TNF-α, p53 and long words of many kinds change the growth of "
        "liver cancer cells in old mice fed clofibrate?'), filters=QueryFilters()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "LadderStep" in outputs.pop()


def test_a_query_of_the_user_is_sent_as_it_is_with_the_filters_behind_it() -> None:
    query = '("heart failure"[mh] OR hf[tiab]) NOT review[pt]'
    question = Question("q7", "Whatever?", query=query)
    assert [step.term for step in build_queries(question, filters=QueryFilters(maxdate=date(2020, 1, 1)))] == [query]
    filters = QueryFilters(records=RecordFilters(language=("eng",), publication_type=("Review", "Meta-Analysis")))
    (step,) = build_queries(question, filters=filters)
    assert step.term == f'({query}) AND ("Review"[pt] OR "Meta-Analysis"[pt]) AND english[la]'
    assert query_problems(step.term) == ()


def test_a_query_that_would_be_misread_is_refused_with_its_place() -> None:
    with pytest.raises(SourceError, match=r"query of question q7 \(line 12\): \[tiabb\] is not a PubMed field"):
        build_queries(Question("q7", "x", query="asthma[tiabb]", line=12), filters=PLAIN)


def test_words_that_the_service_does_not_know_are_left_out_of_every_level() -> None:
    question = Question("q", "Does asprin 75 mg prevent heart attacks in TNF-α deficient mice?")
    reported = ["asprin", '"tnf-α"[All Fields]', "tnfα"]
    steps = build_queries(question, filters=PLAIN, missing=reported)
    assert steps
    assert steps[0].term == "((prevent heart attacks) AND (tnf-alpha deficient mice))"
    assert all("asprin" not in step.term for step in steps)


def test_a_question_of_unknown_words_keeps_them() -> None:
    words = question_words("xyzzy plugh")
    assert without_missing(words, ["xyzzy[All Fields]", "plugh"]) == words


def test_a_word_is_unknown_only_in_all_of_its_spellings() -> None:
    words = question_words("growth of IL-6")
    assert [word.text for word in without_missing(words, ["il-6"])] == ["growth", "il6"]
    assert [word.text for word in without_missing(words, ["il-6", "IL6"])] == ["growth"]


def test_narrow_puts_names_first_then_long_words() -> None:
    words = question_words("Do mice with growth of large IL-6 tumours eat?")
    assert [word.text for word in narrow(words)] == ["il-6", "tumours", "growth", "large", "mice", "eat"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (QueryFilters(), {}),
        (
            QueryFilters(mindate=date(2020, 1, 31)),
            {"datetype": "pdat", "mindate": "2020/01/31", "maxdate": "3000/12/31"},
        ),
        (
            QueryFilters(maxdate=date(2020, 1, 31), datetype="edat"),
            {"datetype": "edat", "mindate": "1000/01/01", "maxdate": "2020/01/31"},
        ),
    ],
)
def test_dates_come_as_a_pair(filters: QueryFilters, expected: dict[str, str]) -> None:
    assert date_parameters(filters) == expected


def test_a_ladder_as_text() -> None:
    question = Question("q1", "Do bats hibernate?")
    filters = QueryFilters(mindate=date(2020, 1, 1))
    assert render_ladder(question, build_queries(question, filters=filters), filters) == [
        "q1  Do bats hibernate?",
        "  datetype=pdat  mindate=2020/01/01  maxdate=3000/12/31",
        "  level 0  all: all words",
        "    (bats hibernate) AND hasabstract",
        "  level 2  any: any of the words",
        "    (bats OR (hibernate OR hibernat*[tiab])) AND hasabstract",
    ]
    empty = Question("q2", "What?")
    assert render_ladder(empty, (), QueryFilters()) == ["q2  What?", "  nothing to search for"]


@pytest.mark.parametrize("term", ["(a", "a)", "a AND", "OR a", "a AND b OR c", "a[ti]", 'a "b"', "NOT a", "()"])
def test_the_twin_refuses_what_is_not_its_language(term: str) -> None:
    with pytest.raises(QuerySyntaxError):
        Query.parse(term)
