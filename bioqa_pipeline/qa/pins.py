"""A model's name into the digests that its files must have: those of the project's table, `data/pins/encoders.json`.

A branch of the hub moves, a mirror may hold something else, and a package may be somebody else's: what the table names
is taken at one revision, and its files are compared before any of them is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.paths import DATA
from bioqa_pipeline.qa.model_files import file_digest, read_json_object

TABLE = DATA / "pins" / "encoders.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """An encoder of the table.

    Attributes:
        revision: the commit of the hub that is taken where none is named.
        sha256: by the name of the file.
    """

    revision: str
    sha256: Mapping[str, str]


def pin_of(name: str) -> Pin | None:
    """That of a hub's name, or of the package or archive that carries the same files."""
    return _pins().get(name)


@cache
def _pins() -> dict[str, Pin]:
    table = read_json_object(TABLE)
    pins = {hub: Pin(row["revision"], row["sha256"]) for hub, row in table.items()}
    return pins | {row["package"]: pins[hub] for hub, row in table.items()}


def check_pinned(folder: Path, sha256: Mapping[str, str], *, way_out: str) -> None:
    """Raises CheckpointError for the first file that is missing or not byte for byte what was pinned."""
    for name, wanted in sha256.items():
        found = file_digest(folder / name)
        if found != wanted.lower():
            raise CheckpointError(f"{folder / name} has SHA-256 {found}, but {wanted.lower()} is pinned; {way_out}")
