"""Real SQuAD and PubMed material, which is no part of the project: below the folder that BIOQA_TEST_DATA names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

VARIABLE = "BIOQA_TEST_DATA"


@dataclass(frozen=True, slots=True)
class OutsideMaterial:
    """Files below that folder, each looked for when it is asked for.

    Attributes:
        missing: called with the reason where a file is not there: `pytest.skip`, or `sys.exit` in a benchmark.
    """

    missing: Callable[[str], NoReturn]

    def file(self, name: str) -> Path:
        """The file of this name, with "/" below the folder."""
        path = self._folder(name) / name
        if not path.is_file():
            self.missing(f"{path} is not there: {VARIABLE} names a folder without it")
        return path

    def files(self, pattern: str) -> list[Path]:
        """All that fit the pattern, in order; at least one."""
        paths = sorted(self._folder(pattern).glob(pattern))
        if not paths:
            self.missing(f"no {pattern} in {self._folder(pattern)}: {VARIABLE} names a folder without them")
        return paths

    def _folder(self, wanted: str) -> Path:
        named = os.environ.get(VARIABLE)
        if not named:
            self.missing(f"{wanted} is no part of the project: set {VARIABLE} to a folder that has it")
        return Path(named)
