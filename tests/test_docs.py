"""What the documents say of the tree is true: paths, links, make targets, one line for every package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from support.paths import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "data/*/README.md", "tests/benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
# A whole word in code type that has a folder in it, or an ending that files of this project have.
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w.-]+\.(?:py|md|toml|txt|yaml))`")
MAPS = ("CONTRIBUTING.md", "docs/index.md")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", MAPS)
def test_every_path_exists(name: str) -> None:
    text = read(name)
    paths = set(PATH.findall(text)) | set(re.findall(r"^([a-z_]+/[\w./]*) ", text, flags=re.MULTILINE))
    assert len(paths) >= 10
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_every_package_has_its_line_in_the_tree() -> None:
    packages = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for top in ("bioqa_pipeline", "flows")
        for path in (ROOT / top).rglob("__init__.py")
    }
    lines = re.findall(r"^((?:bioqa_pipeline|flows)/\S*) +\S", read("CONTRIBUTING.md"), flags=re.MULTILINE)
    assert sorted(lines) == sorted(packages)


def test_every_page_is_linked_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/index.md")))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", read(name))
    folder = (ROOT / name).parent
    assert [target for target in targets if "://" not in target and not (folder / target).exists()] == []


@pytest.mark.parametrize("name", [*DOCUMENTS, "Dockerfile", "prefect.yaml"])
def test_every_module_that_is_named_exists(name: str) -> None:
    modules = set(re.findall(r"\b(?:bioqa_pipeline|flows|tests)/[\w/]+\.py\b", read(name)))
    assert {module for module in modules if not (ROOT / module).is_file()} == set()
    commands = {Path(*command.split(".")) for command in re.findall(r"-m (flows[.\w]*\w)", read(name))}
    assert {command for command in commands if not (ROOT / command).with_suffix(".py").is_file()} == set()


def test_make_targets_and_marks_are_those_that_there_are() -> None:
    text = read("CONTRIBUTING.md")
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE))
    assert {"run", "check", "fix", "test", "test-slow"} <= named <= targets
    marks = tomllib.loads(read("pyproject.toml"))["tool"]["pytest"]["ini_options"]["markers"]
    section = text.split("| mark | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE) == [mark.split(":")[0] for mark in marks]
