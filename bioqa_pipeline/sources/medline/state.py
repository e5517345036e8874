"""Which files of a folder a store holds, in `imports.json` in the store's folder, and back."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.pubmed.xml import BadRecord
from bioqa_pipeline.sources.medline.files import Stamp
from bioqa_pipeline.storage.local import LocalStorage

logger = logging.getLogger(__name__)

STATE_FILE = "imports.json"
STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What importing one file came to."""

    stamp: Stamp
    md5: str
    number: int | None
    n_records: int
    n_deleted: int
    n_bad: int
    bad: tuple[BadRecord, ...]
    has_journal_names: bool = False  # what earlier versions did not keep


@dataclass(frozen=True, slots=True)
class ImportState:
    """Which files a store holds.

    Attributes:
        n_parts: how many parts it had after the last of them.
        n_without_abstract: records that are there and have none; None where nobody has counted them since.
    """

    files: dict[str, ImportedFile]
    n_parts: int = 0
    n_without_abstract: int | None = None

    @property
    def numbers(self) -> set[int]:
        return {file.number for file in self.files.values() if file.number is not None}

    @property
    def n_bad(self) -> int:
        return sum(file.n_bad for file in self.files.values())

    def bad_records(self) -> Iterator[tuple[str, BadRecord]]:
        """File and record of all that could not be used and whose reason was kept."""
        for name, file in self.files.items():
            for bad in file.bad:
                yield name, bad

    @classmethod
    def load(cls, store: AbstractStore) -> ImportState:
        """The state of a store; an empty one where parts are missing, so that all files are imported again."""
        path = store.path / STATE_FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if raw["version"] != STATE_VERSION:
                return cls({})
            files = {name: _imported(values) for name, values in raw["files"].items()}
            state = cls(files, raw["n_parts"], raw.get("n_without_abstract"))
        except FileNotFoundError:
            return cls({})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            logger.warning("%s: cannot be read (%s); all files are imported again", path, exc)
            return cls({})
        if len(store.parts()) < state.n_parts:
            logger.warning("%s: parts of the store are missing; all files are imported again", store.path)
            return cls({})
        return state

    def save(self, store: AbstractStore) -> None:
        raw = {
            "version": STATE_VERSION,
            "n_parts": self.n_parts,
            "n_without_abstract": self.n_without_abstract,
            "files": {name: asdict(file) for name, file in self.files.items()},
        }
        LocalStorage(store.path).write(STATE_FILE, json.dumps(raw, indent=0).encode())


def _imported(raw: dict[str, Any]) -> ImportedFile:
    bad = tuple(BadRecord(**record) for record in raw["bad"])
    return ImportedFile(**{**raw, "stamp": Stamp(**raw["stamp"]), "bad": bad})
