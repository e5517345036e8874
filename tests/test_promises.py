"""docs/promises.md names a test for each promise: quotes, tests and marks are true, and no promise is left out."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache

import pytest

from support.paths import ROOT


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the table; `tests` with whether the line calls them slow."""

    quote: str
    file: str
    tests: tuple[tuple[str, bool], ...]


def words(text: str) -> str:
    """White space collapsed, list and emphasis marks left out."""
    return " ".join(re.sub(r"^- |\*\*", "", text, flags=re.MULTILINE).split())


def promises() -> list[Promise]:
    found = []
    for line in (ROOT / "docs" / "promises.md").read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| promise |", "| --- |")):
            quote, file, held = (cell.strip() for cell in line.strip("|").split(" | "))
            names = [name.strip() for name in held.split(",")]
            tests = tuple((name.removesuffix(" (slow)"), name.endswith(" (slow)")) for name in names)
            found.append(Promise(quote, file, tests))
    return found


PROMISES = promises()


@cache
def names_in(path: str) -> dict[str, bool]:
    """Every test of a file by its name, classes with `::`, and whether the default suite leaves it out."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    found: dict[str, bool] = {}

    def is_slow(nodes: list[ast.expr]) -> bool:
        # Single parameters that are slow stand deeper, within a call.
        return any(ast.unparse(node) == "pytest.mark.slow" for node in nodes)

    def visit(body: list[ast.stmt], prefix: str, slow: bool) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[prefix + node.name] = slow or is_slow(node.decorator_list)
            elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                visit(node.body, f"{node.name}::", slow or is_slow(node.decorator_list))
            elif isinstance(node, ast.Assign) and ast.unparse(node.value).endswith(".TestCase"):
                found[ast.unparse(node.targets[0])] = slow  # a state machine of hypothesis

    marks: list[ast.expr] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            marks += node.value.elts if isinstance(node.value, ast.List) else [node.value]
    visit(tree.body, "", is_slow(marks))
    return found


def test_the_list_is_read() -> None:
    assert len(PROMISES) > 40
    assert all(promise.tests for promise in PROMISES)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.quote[:40])
def test_a_promise_stands_where_it_is_said_and_its_tests_exist(promise: Promise) -> None:
    assert words(promise.quote) in words((ROOT / promise.file).read_text("utf-8")), f"{promise.file} no longer says so"
    for name, is_slow in promise.tests:
        path, _, test = name.partition("::")
        assert test in names_in(path), f"{name} does not exist"
        assert names_in(path)[test] == is_slow, f"{name}: slow or not, the list says otherwise"
    assert not all(is_slow for _, is_slow in promise.tests), "the default suite does not hold it"


def bullets(text: str) -> list[str]:
    """The items of a list, each on one line."""
    items = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
    return [words(re.split(r"\n\n", item)[0]) for item in items]


def relied_upon() -> list[str]:
    page = (ROOT / "docs" / "data-set.md").read_text("utf-8")
    return bullets(page.split("## What you can rely on")[1].split("\n#")[0])


def guaranteed() -> list[str]:
    reader = (ROOT / "bioqa_pipeline" / "dataset" / "reader.py").read_text("utf-8")
    return bullets(reader.split("Guaranteed,")[1].split("Not guaranteed:")[0])


@pytest.mark.parametrize(
    ("file", "items"), [("docs/data-set.md", relied_upon()), ("bioqa_pipeline/dataset/reader.py", guaranteed())]
)
def test_no_promise_is_left_out(file: str, items: list[str]) -> None:
    assert len(items) >= 3
    for item in items:
        quotes = [words(promise.quote) for promise in PROMISES if promise.file == file]
        assert any(quote in item for quote in quotes), f"docs/promises.md names no test for: {item}"
