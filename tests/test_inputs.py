"""Files that users name: whatever else the name is of ends with an error that says so, at once."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bioqa_pipeline import inputs
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.files import read_predictions
from bioqa_pipeline.evaluation.squad import read_squad
from bioqa_pipeline.qa.model_files import read_json_object
from bioqa_pipeline.questions.files import read_questions
from bioqa_pipeline.sources.pmids import read_list
from bioqa_pipeline.training.recipe import read_toml

READERS: dict[str, Callable[[Path], object]] = {
    "questions": read_questions,
    "PMIDs": read_list,
    "SQuAD": read_squad,
    "recipe": read_toml,
    "predictions": lambda path: read_predictions(path, ()),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("path", "kind"), [("/dev/zero", "a device"), ("/dev/full", "a device"), (".", "a folder")])
def test_no_device_or_folder_is_read(reader: str, path: str, kind: str) -> None:
    with pytest.raises(InputError, match=f"^{path}: cannot be read: it is {kind}, not a regular file"):
        READERS[reader](Path(path))


@pytest.mark.parametrize("reader", [name for name in READERS if name != "questions"])
def test_no_pipe_is_waited_for(reader: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: cannot be read: it is a named pipe, not a regular file"):
        READERS[reader](tmp_path / "pipe")


@pytest.mark.parametrize("reader", READERS)
def test_no_endless_file_is_read(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    read = inputs.read_file
    limits: list[int] = []

    def bounded(path: Path, *, max_bytes: int) -> bytes:
        """As many bytes as are asked for would take seconds."""
        limits.append(max_bytes)
        return read(path, max_bytes=min(max_bytes, 1000))

    monkeypatch.setattr(inputs, "read_file", bounded)
    monkeypatch.setattr(inputs, "read_file_or_pipe", bounded)
    with pytest.raises(InputError, match=r"sparse: cannot be read: it has more than [0-9,]+ bytes"):
        READERS[reader](path)
    assert limits[0] <= 1 << 30


def test_questions_come_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("Which drug treats malaria?\n",))
    writer.start()
    assert [question.text for question in read_questions(path).questions] == ["Which drug treats malaria?"]
    writer.join(30)


def test_a_byte_order_mark_is_read_over_in_every_input(tmp_path: Path) -> None:
    """As Windows' editors and PowerShell put one before what they save."""

    def marked(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        return path

    answer = {"text": "vitamin C", "answer_start": 0}
    paragraph = {"context": "vitamin C", "qas": [{"id": "1", "question": "What?", "answers": [answer]}]}
    squad = marked("s.json", json.dumps({"version": "x", "data": [{"title": "t", "paragraphs": [paragraph]}]}))
    assert [paragraph.context for paragraph in read_squad(squad)] == ["vitamin C"]
    assert read_predictions(marked("p.json", '{"1": "vitamin C"}'), ()) == {}
    assert read_list(marked("p.txt", "12\n")) == (12,)
    assert read_toml(marked("r.toml", "x = 1\n")) == {"x": 1}
    for name, text in (("q.txt", "Who?\n"), ("q.csv", "id,question\n1,Who?\n"), ("q.jsonl", '{"question": "Who?"}\n')):
        assert [question.text for question in read_questions(marked(name, text)).questions] == ["Who?"]
    assert read_json_object(marked("bioqa.json", '{"x": 1}')) == {"x": 1}
