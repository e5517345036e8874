"""A short run of every fuzzer, with the same examples each time; `make fuzz` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.running import fuzz
from fuzz.targets import TARGETS

EXAMPLES = 12


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_broken_is_refused_in_words(name: str, tmp_path: Path) -> None:
    outcome = fuzz(name, tmp_path, examples=round(EXAMPLES * TARGETS[name].weight), number=1)
    if outcome.fault is not None:
        raise AssertionError(f"{name}: {outcome.example!r:.2000}") from outcome.fault
    assert outcome.examples > 5


def test_a_fault_is_found_with_a_small_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(data: bytes, folder: Path) -> None:
        assert data.count(b"2") < 100, "too many"

    target = TARGETS["PMID lists"]
    monkeypatch.setitem(TARGETS, "PMID lists", type(target)(target.inputs, call))
    outcome = fuzz("PMID lists", tmp_path, examples=500, number=1)
    assert isinstance(outcome.fault, AssertionError) and outcome.example.count(b"2") >= 100
