"""The documents name what exists: every column, option and make target."""

from __future__ import annotations

import re

import pytest

from bioqa_pipeline.dataset.schemas import TABLES, Table
from bioqa_pipeline.questions.rows import FIELDS
from flows import report, serve
from flows.commands import calibrate as calibrate_cli
from flows.commands import compact as compact_cli
from flows.commands import evaluate as evaluate_cli
from flows.commands import run as cli
from flows.commands import train as train_cli
from support.paths import ROOT

README = (ROOT / "README.md").read_text("utf-8")
COLUMNS = (ROOT / "docs" / "columns.md").read_text("utf-8")
# Named as flags of the old recipe that contradict each other.
OLD_FLAGS = {"--do_lower_case", "--model_type"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_explained_once(table: Table) -> None:
    section = COLUMNS.split(f"## `{table.name}/`")[1].split("\n#")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(table.schema.names)


def test_every_option_exists() -> None:
    parsers = [
        module.build_parser() for module in (cli, evaluate_cli, train_cli, calibrate_cli, compact_cli, serve, report)
    ]
    options = {option for parser in parsers for action in parser._actions for option in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", README))
    assert {"--questions", "--model", "--threshold"} <= named
    assert named - OLD_FLAGS <= options


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert {"run", "test", "check"} <= named <= targets


def test_every_key_of_a_question_file_is_named() -> None:
    section = README.split("## Your own questions")[1].split("\n## ")[0]
    assert {field for field in FIELDS if f"`{field}`" in section} == set(FIELDS)
