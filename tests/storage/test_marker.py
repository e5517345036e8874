"""Whose a folder is, by its marker."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bioqa_pipeline.storage.marker import MARKER, foreign, mark


def no(folder: Path) -> bool:
    return False


def test_a_folder_that_is_not_there_or_empty_is_free(tmp_path: Path) -> None:
    assert foreign(tmp_path / "new", "evaluation", no) is None
    (tmp_path / "lost+found").mkdir()
    assert foreign(tmp_path, "evaluation", no) is None


@pytest.mark.parametrize(
    ("name", "reason"), [("s3://bucket/x", "s3:/bucket/x: is an address"), ("a\0b", r"'a\\x00b': embedded null byte")]
)
def test_what_can_be_no_folder_is_not_made_one(name: str, reason: str) -> None:
    assert re.match(reason, foreign(Path(name), "evaluation", no) or "")


def test_a_marked_folder_is_ours_whatever_else_is_in_it(tmp_path: Path) -> None:
    mark(tmp_path / "a" / "b", "evaluation")
    (tmp_path / "a" / "b" / "notes.txt").touch()
    assert foreign(tmp_path / "a" / "b", "evaluation", no) is None
    before = (tmp_path / "a" / "b" / MARKER).read_text()
    mark(tmp_path / "a" / "b", "evaluation")
    assert (tmp_path / "a" / "b" / MARKER).read_text() == before


def test_what_an_earlier_version_wrote_is_ours(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").touch()
    assert foreign(tmp_path, "evaluation", lambda folder: (folder / "metrics.json").exists()) is None


def linked(folder: Path) -> None:
    mark(folder / "other", "evaluation")
    (folder / MARKER).symlink_to(folder / "other" / MARKER)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "files": (lambda folder: (folder / "thesis.docx").touch(), r"holds 'thesis\.docx' and bears no _bioqa\.json"),
    "hidden": (lambda folder: (folder / ".git").mkdir(), r"holds '\.git' and bears no"),
    "another kind": (lambda folder: mark(folder, "checkpoint"), r"holds another thing \(checkpoint\)"),
    "no JSON": (lambda folder: (folder / MARKER).write_text("mine"), "not a marker of this program"),
    "too deep": (lambda folder: (folder / MARKER).write_text("[" * 100_000), "not a marker of this program"),
    "too long": (lambda folder: (folder / MARKER).write_text(" " * (1 << 21)), "more than 1,048,576 bytes"),
    "no kind": (lambda folder: (folder / MARKER).write_text("[]"), "not a marker of this program"),
    "a folder": (lambda folder: (folder / MARKER).mkdir(), "it is a folder, not a regular file"),
    "a link": (linked, "it is a symbolic link"),
    "newer": (
        lambda folder: (folder / MARKER).write_text(json.dumps({"kind": "evaluation", "format": 2})),
        "format 2, this program knows 1; use a newer bioqa",
    ),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_anything_else_is_somebodys(tmp_path: Path, kind: str) -> None:
    spoil, message = SPOILED[kind]
    spoil(tmp_path)
    reason = foreign(tmp_path, "evaluation", no)
    assert reason is not None and re.search(message, reason) and str(tmp_path) in reason


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert foreign(tmp_path / "file", "evaluation", no) == f"{tmp_path / 'file'}: not a folder"
