"""What the README and its pages name is there: columns, make targets, keys; badges and output are true."""

from __future__ import annotations

import re
import tomllib

import pytest

from bioqa_pipeline.dataset.schemas import TABLES
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.questions.rows import FIELDS
from support.paths import ROOT

README = (ROOT / "README.md").read_text("utf-8")
COLUMNS = (ROOT / "docs" / "columns.md").read_text("utf-8")
RUNNING = (ROOT / "docs" / "running.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def output_rows() -> list[str]:
    """The rows of answers that the README shows, white space collapsed."""
    block = README.split("```text\n")[1].split("```")[0]
    return [" ".join(line.split()) for line in block.splitlines() if "? " in line]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_explained_once(table: Table) -> None:
    section = COLUMNS.split(f"## `{table.name}/`")[1].split("\n#")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(table.schema.names)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert {"run", "test"} <= named <= targets


def test_every_key_of_a_question_file_is_named() -> None:
    section = RUNNING.split("## A file of questions")[1].split("\n## ")[0]
    assert {field for field in FIELDS if f"`{field}`" in section} == set(FIELDS)


def test_badges_say_what_the_project_file_says() -> None:
    licence, python = re.findall(r"img\.shields\.io/badge/\w+-(.+)-blue", README)
    assert licence.replace("--", "-") == PROJECT["license"]
    assert PROJECT["requires-python"] == f">={python.removesuffix('%2B')}"
    assert "shields.io" not in README.replace("img.shields.io/badge/", "")


def test_the_picture_is_shown_first_and_described() -> None:
    [(words, path)] = re.findall(r"^!\[([^\]]+)\]\(([^)]+)\)", README, flags=re.MULTILINE)
    assert len(words) > 40 and README.index(path) < README.index("\n## ")
    content = (ROOT / path).read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) < 400_000


def test_every_question_of_the_output_is_the_samples_own() -> None:
    """The rest of each line is compared with a run in tests/run/test_sample.py."""
    asked = (ROOT / "data" / "sample" / "questions.txt").read_text("utf-8").splitlines()
    assert len(output_rows()) >= 4
    assert {row.split("?")[0] + "?" for row in output_rows()} <= set(asked)
