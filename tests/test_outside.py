"""Material from outside the project is looked for in one place, and what lacks it is skipped."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from support.outside import VARIABLE, OutsideMaterial
from support.paths import ROOT, TESTS

MATERIAL = OutsideMaterial(missing=pytest.skip)


@pytest.mark.parametrize("named", [None, "", "nowhere", "empty"])
def test_what_is_not_there_is_a_skip_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    (tmp_path / "empty").mkdir()
    if named is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, str(tmp_path / named) if named else "")
    with pytest.raises(pytest.skip.Exception, match=rf"squad2/dev\.json.*{VARIABLE}"):
        MATERIAL.file("squad2/dev.json")
    with pytest.raises(pytest.skip.Exception, match=rf"records/\*\.xml.*{VARIABLE}"):
        MATERIAL.files("records/*.xml")


def test_what_is_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "records").mkdir()
    paths = [tmp_path / "records" / name for name in ("a.xml", "b.xml")]
    for path in reversed(paths):
        path.touch()
    assert MATERIAL.file("records/b.xml") == paths[1]
    assert MATERIAL.files("records/*.xml") == paths


def test_a_benchmark_ends_and_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(SystemExit, match=f"set {VARIABLE}"):
        OutsideMaterial(missing=sys.exit).files("pubmed/records/*.xml.gz")


def test_nothing_else_reads_the_variable_or_looks_beside_the_project() -> None:
    outside = re.compile(rf"{VARIABLE}|ROOT\.parent\b|parents\[3\]")
    texts = {path: path.read_text("utf-8") for path in TESTS.rglob("*.py")}
    found = {path.relative_to(ROOT).as_posix() for path, text in texts.items() if outside.search(text)}
    assert found == {"tests/support/outside.py"}
