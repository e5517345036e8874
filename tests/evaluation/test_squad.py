from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.squad import (
    GoldAnswer,
    SquadParagraph,
    SquadQuestion,
    questions_with_passages,
    read_squad,
    squad_paragraphs,
)
from support.squad_files import write_squad

PARAGRAPHS = [
    SquadParagraph(
        "Vitamins",
        "Scurvy is caused by a lack of vitamin C. 𝛽-carotene is not.",
        (
            SquadQuestion(
                "1", "What causes scurvy?", (GoldAnswer("a lack of vitamin C", 20), GoldAnswer("vitamin C", 30))
            ),
            SquadQuestion("2", "What cures gout?", ()),
        ),
    ),
    SquadParagraph("Vitamins", "B12.", (SquadQuestion("3", "Which?", (GoldAnswer("B12", 0),)),)),
    SquadParagraph(
        "Fever", "Malaria gives fever.", (SquadQuestion("4", "What gives fever?", (GoldAnswer("Malaria", 0),)),)
    ),
]


def test_articles_with_several_paragraphs_are_read_in_order(tmp_path: Path) -> None:
    write_squad(PARAGRAPHS, tmp_path / "s.json")
    assert read_squad(tmp_path / "s.json") == PARAGRAPHS
    assert [a["title"] for a in json.loads((tmp_path / "s.json").read_text("utf-8"))["data"]] == ["Vitamins", "Fever"]


def test_version_1_has_no_impossible_flag(tmp_path: Path) -> None:
    qas = [{"id": "a", "question": "Q?", "answers": [{"text": "x", "answer_start": 0}]}]
    path = tmp_path / "v1.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": [{"context": "x", "qas": qas}]}]}))
    assert read_squad(path)[0].questions == (SquadQuestion("a", "Q?", (GoldAnswer("x", 0),)),)


def test_passages_keep_the_text_of_the_file() -> None:
    decomposed = "cafe\u0301 noir"
    paragraph = SquadParagraph("T", decomposed, (SquadQuestion("1", "?", (GoldAnswer("noir", 6),)),))
    [(question, passage)] = questions_with_passages([paragraph])
    assert passage.text == decomposed
    assert passage.text[question.answers[0].start : question.answers[0].end] == "noir"


def _file(**changes: Any) -> dict[str, Any]:
    qa = {"id": "q7", "question": "Q?", "answers": [{"text": "x", "answer_start": 0}], "is_impossible": False} | changes
    return {"data": [{"title": "T", "paragraphs": [{"context": "x", "qas": [qa]}]}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("[1", "is not JSON"),
        ("[]", "no 'data'"),
        ('{"data": "\\ud83d"}', "surrogates not allowed"),
        ({"data": []}, "holds no question"),
        ({"data": [{"title": "T"}]}, "article 0 has no 'paragraphs'"),
        ({"data": [{"title": "T", "paragraphs": [{"qas": []}]}]}, "a paragraph of T has no 'context'"),
        (_file(answers=[]), "question q7 has no answer and is not marked impossible"),
        (_file(is_impossible="false"), "question q7: 'is_impossible' is str"),
        (_file(answers=[{"text": "x", "answer_start": True}]), "question q7: 'answer_start' is bool"),
        (_file(is_impossible=True), "question q7 is marked impossible but has answers"),
        (_file(answers=[{"text": "x"}]), "question q7 has no 'answer_start'"),
        (_file(answers=[{"text": 3, "answer_start": 0}]), "question q7: 'text' is int"),
        (_file(question=None), "question q7: 'question' is NoneType"),
        ({"data": _file()["data"] * 2}, "question id q7 stands there twice"),
    ],
)
def test_a_malformed_file_is_named_with_its_question(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=r"bad\.json") as caught:
        read_squad(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("others", [[], [{"id": "z", "question": "?", "answers": [{"text": "x", "answer_start": 0}]}]])
def test_an_empty_list_of_answers_is_none_where_the_file_has_answers(others: list[Any]) -> None:
    """As the official program has it; a file without any answer is one of tests."""
    forms = ({"answers": []}, {"answers": [], "is_impossible": False}, {"answers": None}, {"is_impossible": True})
    qas = [{"id": str(n), "question": "?", **form} for n, form in enumerate(forms)]
    content = {"data": [{"title": "T", "paragraphs": [{"context": "x", "qas": qas + others}]}]}
    [paragraph] = squad_paragraphs(content, Path("s.json"), may_lack_labels=True)
    assert [q.is_impossible for q in paragraph.questions[:4]] == [bool(others), bool(others), False, True]
    assert not paragraph.questions[2].is_labelled


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_squad(tmp_path / "absent.json")
    (tmp_path / "latin.json").write_bytes(b'{"data": "\xe9"}')
    with pytest.raises(InputError, match="not UTF-8"):
        read_squad(tmp_path / "latin.json")
