"""The lists of hashes and licences are those of the versions that constraints.txt names."""

from __future__ import annotations

import re
import tomllib

import pytest

from support.paths import ROOT

LOCKS = ("core", "test", "torch", "audit")


def locked(name: str) -> dict[str, tuple[str, str]]:
    """Package to version and the rest of its entry."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text("utf-8")
    entries = re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)((?:.*\\\n)*.*)$", text, re.M)
    return {_name(package): (version, rest) for package, version, rest in entries}


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", text)[0]).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_has_a_hash(name: str) -> None:
    assert locked(name)
    assert [p for p, (_, rest) in locked(name).items() if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("name", ["core", "test", "torch"])
def test_versions_are_those_of_the_constraints(name: str) -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {_name(line): line.partition("==")[2] for line in lines if "==" in line and not line.startswith("#")}
    assert {p: v for p, (v, _) in locked(name).items() if pins.get(p, v) != v} == {}


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    core, test = locked("core"), locked("test")
    assert {_name(d) for d in project["dependencies"]} - core.keys() == {"torch"}
    assert "torch" in locked("torch")
    assert {_name(d) for d in project["optional-dependencies"]["test"]} <= test.keys()
    assert core.keys() <= test.keys()


def test_the_table_of_licences_is_of_these_versions() -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", (ROOT / "docs" / "licences.md").read_text("utf-8"), re.M)
    versions = {name: version for name, version, _ in rows if name not in {"package", "---"}}
    core = {name: version for name, (version, rest) in locked("core").items() if not rest.startswith(" ;")}
    assert core.items() <= versions.items(), "run make audit"
    assert versions["torch"] == locked("torch")["torch"][0]
