"""List marks go, and what only looks like one stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.questions.marks import is_comment, without_comment, without_list_mark
from bioqa_pipeline.text import normalize_text


@pytest.mark.parametrize(
    "mark",
    [
        *("1.", "12)", "3:", "(4)", "[5]", "6 -", "1.2.", "a)", "(b)", "iv)", "C.", "Q1:", "Q:", "Question 3.", "#1"),
        *("-", "*", "+", "•", "–", "▪", "- [ ]", "- [x]", "- 1.", "* a)"),
        *("1.)", "1 .", "1-", "1/", "1º", "1.1", "10", "Q1", "Q.1", "Question #5:", "No. 1:", "①", "➋", "**", ">>"),
        *("→", "\uf0b7", "o", "[ ]", "[x]", "☑"),
    ],
)
def test_a_list_mark_is_taken_off(mark: str) -> None:
    assert without_list_mark(f"{mark} Who discovered insulin?") == ("Who discovered insulin?", mark)


@pytest.mark.parametrize(("text", "mark"), [("1.Who is it?", "1."), ("•who is it?", "•"), ("-Who is it?", "-")])
def test_a_list_mark_may_touch_the_question(text: str, mark: str) -> None:
    assert without_list_mark(text) == (text.removeprefix(mark), mark)


@pytest.mark.parametrize(
    "text",
    [
        *("C. difficile causes what?", "E. coli is what?", "S. Typhimurium infects whom?", "1.5 mg of what?"),
        *("5-fluorouracil treats what?", "-5 mmHg of what?", "#1 cause of death?", "NO2: what is it?", "1918. Who?"),
        *("2,4-dinitrophenol is what?", "A gene of what?", "I. V. lines hold what?", "1. 2.", "-", "3)"),
        *("5 WHO criteria define what?", "1.5 Tesla magnets show what?", "Q10 deficiency is what?", "3-D printing?"),
        *("No. of cases of what?", "10 mg of what?", "o-cresol is what?", "NO 2 days later is what?"),
    ],
)
def test_what_only_looks_like_a_list_mark_stays(text: str) -> None:
    assert without_list_mark(text) == (text, "")


@pytest.mark.parametrize(
    ("text", "comment"),
    [("# one", True), ("#one?", True), ("# 1 cause?", True), ("#1 cause of death?", False), ("#1 AND #2", True)],
)
def test_comments_are_told_from_questions(text: str, comment: bool) -> None:
    assert is_comment(text) is comment


def test_a_comment_behind_a_question_is_none_of_it() -> None:
    assert without_comment("Who? # me") == ("Who?", "# me")
    for text in ("Is it C#? Yes", "Is #1 it? #2 is not", "Who #me"):
        assert without_comment(text) == (text, "")


@given(st.text().map(normalize_text))
def test_what_is_left_and_what_is_taken_are_the_text(text: str) -> None:
    asked, mark = without_list_mark(text)
    assert text.startswith(mark) and text.endswith(asked) and text[len(mark) : len(text) - len(asked)].strip() == ""
    assert asked or not text
