from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.questions.query_lint import FIELD_TAGS, query_problems


@pytest.mark.parametrize(
    "query",
    [
        "asthma",
        '"heart failure"[MeSH Terms] AND (aspirin[tiab] OR "acetylsalicylic acid"[Title/Abstract])',
        "asthma/therapy[mh:noexp] NOT review[pt]",
        '"patient safety"[tiab:~3]',
        "flavo*[ti] AND 2020:2024[dp]",
        '("2020/01/01"[Date - Publication] : "3000"[Date - Publication]) AND smith j[1au]',
        "hasabstract AND english[la]",
        'a "phrase (with a bracket"',
        "NOT x",
        "a AND NOT b",
        "3-(2-propyl)phenol",
    ],
)
def test_good_queries_pass(query: str) -> None:
    assert query_problems(query) == ()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("  ", "it is empty"),
        ("asthma[tiabb]", "[tiabb] is not a PubMed field tag, and PubMed would ignore it"),
        ("asthma[]", "[] is not a PubMed field tag, and PubMed would ignore it"),
        ("(a OR b)[tiab]", "[tiab] stands behind a group, where PubMed ignores it: tag each term"),
        ('"asthma', 'a quotation mark " is not closed'),
        ("(a OR b", "a bracket ( is not closed"),
        ("a) OR (b", "a bracket ) was never opened"),
        ("a [ti", "a square bracket [ or ] is not paired"),
        ("a ti]", "a square bracket [ or ] is not paired"),
        ("a AND ()", "a group () is empty"),
        ("OR a", "OR has no term before it"),
        ("(AND a)", "AND has no term before it"),
        ("a AND OR b", "AND has no term behind it"),
        ("a NOT", "NOT has no term behind it"),
        ("(a AND) b", "AND has no term behind it"),
        ("“asthma”[ti]", "'“' (U+201C) is not search syntax: type the straight quotation mark \""),
        ("asthm∗", "'∗' (U+2217) is not search syntax: type the asterisk * of the keyboard"),
        ("（a OR b)", "'（' (U+FF08) is not search syntax: type the bracket ("),
    ],
)
def test_slips_are_named(query: str, problem: str) -> None:
    assert problem in query_problems(query)


def test_all_slips_are_reported_at_once() -> None:
    assert len(query_problems("“asthma”[tiabb] AND (")) == 4  # two marks, the tag, the bracket


def test_tags_are_compared_without_case() -> None:
    assert all(query_problems(f"x[{tag.upper()}]") == () for tag in FIELD_TAGS)


@given(st.text(alphabet='ab ()[]"*:AND OR“∗', max_size=30))
def test_any_text_is_judged_and_brackets_decide(query: str) -> None:
    problems = query_problems(query)
    if not problems:
        assert query.count('"') % 2 == 0
        assert query.count("[") == query.count("]") or '"' in query
        assert query.count("(") == query.count(")") or '"' in query
