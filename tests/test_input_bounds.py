"""Files that users name: what is no file is refused at once, what is too long or too deep is named."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bioqa_pipeline import files as bounds
from bioqa_pipeline import inputs
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.files import read_no_answer_scores, read_predictions
from bioqa_pipeline.evaluation.metrics import GoldQuestion
from bioqa_pipeline.evaluation.squad import read_squad
from bioqa_pipeline.questions import files
from bioqa_pipeline.questions.files import read_questions
from bioqa_pipeline.sources.pmids import read_list
from bioqa_pipeline.training.recipe import MAX_RECIPE_BYTES, read_toml

GOLD = (GoldQuestion("q", ()),)
READERS: dict[str, Callable[[Path], object]] = {
    "questions.txt": read_questions,
    "questions.csv": read_questions,
    "questions.jsonl": read_questions,
    "pmids.txt": read_list,
    "squad.json": read_squad,
    "predictions.json": lambda path: read_predictions(path, GOLD),
    "odds.json": lambda path: read_no_answer_scores(path, GOLD),
    "recipe.toml": read_toml,
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_refused_at_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / name, READERS[name]
    with pytest.raises(InputError, match="no such file"):
        read(path)
    path.mkdir()
    with pytest.raises(InputError, match=r"cannot be read.*folder"):
        read(path)
    path.rmdir()
    os.mkfifo(path)
    # Questions may come through a pipe, which is waited for.
    monkeypatch.setattr(bounds, "SILENT_SECONDS", 0.05)
    with pytest.raises(InputError, match="pipe"):
        read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="device"):
        read(path)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        read(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        listening.bind(name)
        with pytest.raises(InputError, match="socket"):
            read(path)


@pytest.mark.parametrize("name", ["questions.jsonl", "squad.json", "predictions.json", "odds.json", "recipe.toml"])
def test_nesting_and_numbers_without_end_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    start = "a = " if name.endswith("toml") else ""
    for content in ("[" * 200_000 + "]" * 200_000, '{"a":' * 200_000, "1" * 5000):
        path.write_text(f"{start}{content}\n", "utf-8")
        with pytest.raises(InputError, match=name):
            READERS[name](path)


def test_a_score_that_no_float_holds_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odds.json"
    for wrong in ("1" + "0" * 400, "NaN", "-Infinity", "true"):
        path.write_text(f'{{"q": {wrong}}}', "utf-8")
        with pytest.raises(InputError, match=r"odds.json: question q"):
            read_no_answer_scores(path, GOLD)


def test_a_file_that_is_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert inputs.read_input(path, most_bytes=100) == b"x" * 100
    with pytest.raises(InputError, match="more than 99 bytes"):
        inputs.read_input(path, most_bytes=99)
    path.write_bytes(b"#" * (MAX_RECIPE_BYTES + 1))
    with pytest.raises(InputError, match="more than 1,048,576 bytes"):
        read_toml(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", "What?\n" + "a" * 1_000_001, r"q.txt:2: has 1,000,001 characters"),
        ("q.jsonl", '{"question": "' + "a" * 1_000_000 + '"}', r"q.jsonl:1: has 1,000,016 characters"),
        ("q.tsv", "question\tid\nWhat?\t" + "i" * 501, r"q.tsv:2: the id has 501 characters"),
        ("q.tsv", "question\tquery\nWhat?\t" + "i" * 100_001, r"q.tsv:2: the query has 100,001 characters"),
        ("q.csv", "question\n" + "i" * 200_000, r"q.csv:2: cannot be split into cells \(field larger"),
        (
            "q.csv",
            ",".join(f"column{i}" for i in range(9_000)),
            r"q.csv:1: has 9,000 columns of its own, more than 100",
        ),
        (
            "q.jsonl",
            json.dumps({f"key{i}" * 5: 1 for i in range(9_000)}),
            r"q.jsonl:1: has 9,000 keys of its own, more than 100",
        ),
    ],
)
def test_a_field_that_is_too_long_is_named_with_its_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_questions(path)
    assert len(str(caught.value)) < 1_000 + len(str(path))


def test_the_number_of_questions_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_QUESTIONS", 3)
    path = tmp_path / "q.txt"
    path.write_text("who\nwhat\n\nwhen\n", "utf-8")
    assert len(read_questions(path).questions) == 3
    path.write_text("who\nwhat\n\nwhen\nwhere\n", "utf-8")
    with pytest.raises(InputError, match=r"q.txt:5: holds more than 3 questions"):
        read_questions(path)
