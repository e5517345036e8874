"""The one writer of a store: staged parts become commits, what a killed writer left is put right.

`store` says how a store lies on disk and what is guaranteed. The steps of a commit, each of which a kill may follow:
the part staged and synced; linked into its place, from where the next writer takes it up; made known to the locator,
from when readers see it; its staged name deleted.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from bioqa_pipeline.abstracts.locator import Entry, Locator, batched, is_broken
from bioqa_pipeline.abstracts.parts import entries, record_digest, write_part
from bioqa_pipeline.errors import DatasetError, StoreError
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.storage.filelock import Held
from bioqa_pipeline.storage.folder import opened
from bioqa_pipeline.storage.local import LocalStorage
from bioqa_pipeline.storage.marker import foreign, mark

logger = logging.getLogger(__name__)

PARTS, STAGING, PARQUET = "parts", "_staging", ".parquet"
_LOOKUP_RECORDS = 1_000
KIND = "abstract store"
# What this program stages: parts, and the locator with what SQLite puts beside it.
_STAGED = re.compile(r"[0-9a-f]{32}\.parquet|locator\.sqlite(-\w+)?")
_PART = re.compile(r"[0-9]{8,}\.parquet")
# Beside the store's own entries a folder of PubMed files keeps its state and its index with it.
_OLD = re.compile(r"parts|_staging|\.lock|locator-[0-9]+\.sqlite(-\w+)?|imports\.json(\.part)?|fulltext|\.in-use")


@dataclass(frozen=True, slots=True)
class AddCount:
    """What the rows of a commit came to.

    Attributes:
        added: PMIDs that have a new record.
        unchanged: PMIDs that are as they were; they only count as fetched now.
        deleted: PMIDs newly deleted, known or not.
        outdated: records older than the current one of their PMID.
    """

    added: int = 0
    unchanged: int = 0
    deleted: int = 0
    outdated: int = 0


class StoreWriter:
    """Commits to a store whose lock is held; made by `AbstractStore.writer`."""

    def __init__(self, path: Path, lock: Held) -> None:
        self._path, self._lock, self._storage = path, lock, LocalStorage(path)

    def new_part(self) -> Path:
        """Where any process may write a part with `parts.write_part`, to be given to `commit`."""
        return self._path / STAGING / f"{uuid.uuid4().hex}{PARQUET}"

    def add(self, records: Iterable[Abstract], *, origin: str, deleted: Sequence[int] = ()) -> AddCount:
        """As `AbstractStore.add`."""
        staged = self.new_part()
        with explained(self._path), self._locator() as locator:
            unchanged: dict[int, Entry] = {}
            write_part(staged, _news(records, locator, unchanged), origin=origin, deleted=deleted)
            return self._commit(locator, staged, unchanged)

    def commit(self, staged: Path) -> AddCount:
        """Makes a part that was written to `new_part` one of the store's; one that changes nothing is dropped."""
        with explained(self._path), self._locator() as locator:
            return self._commit(locator, staged, {})

    def recover(self) -> None:
        """What a killed writer left: unfinished work goes, a part whose commit it did not end is taken up."""
        with explained(self._path):
            with opened(self._path, STAGING, make=True):
                pass
            for name in filter(_STAGED.fullmatch, self._storage.list(STAGING)):
                self._storage.delete(f"{STAGING}/{name}")
            self._recover()

    def _recover(self) -> None:
        files = part_numbers(self._path)
        locator = Locator.newest(self._path)
        if locator is not None:
            try:
                with locator:
                    known = locator.parts()
                    if known <= files:
                        for part in sorted(files - known):
                            locator.take_up(part, entries(part_path(self._path, part), part))
                        return
                    logger.warning("%s: %d parts were deleted", self._path, len(known - files))
            except sqlite3.DatabaseError as exc:
                if not is_broken(exc):
                    raise
        if files:
            logger.info("%s: making the locator anew from %d parts", self._path, len(files))
        rows = ((part, entries(part_path(self._path, part), part)) for part in sorted(files))
        Locator.build(self._path, self._path / STAGING, rows)

    def _commit(self, locator: Locator, staged: Path, unchanged: Mapping[int, Entry]) -> AddCount:
        self._lock.check()
        number = max(part_numbers(self._path), default=0) + 1
        changes = locator.compare(entries(staged, number))
        n_unchanged = changes.unchanged + len(unchanged)
        for pmid, entry in unchanged.items():
            changes.entries.setdefault(pmid, entry)
        if changes.needs_rows:
            if not self._storage.publish(f"{STAGING}/{staged.name}", f"{PARTS}/{number:08d}{PARQUET}"):
                raise StoreError(f"{self._path}: another process wrote part {number} in spite of the lock")
            locator.write(number, changes)
        elif changes.entries:
            locator.write(None, changes)
        staged.unlink()
        return AddCount(changes.added, n_unchanged, changes.deleted, changes.outdated)

    def _locator(self) -> Locator:
        locator = Locator.newest(self._path)
        if locator is None:  # a reader has found it damaged since
            self._recover()
            locator = Locator.newest(self._path)
        if locator is None:
            raise StoreError(f"{self._path}: the locator of the abstract store vanishes; is another program there?")
        return locator


def _news(records: Iterable[Abstract], locator: Locator, unchanged: dict[int, Entry]) -> Iterator[Abstract]:
    """The records that are not current already; the others go to `unchanged`, fetched now."""
    written: set[int] = set()
    now = time.time_ns() // 1000
    for some in batched(records, _LOOKUP_RECORDS):
        current = locator.find({record.pmid for record in some})
        for record in some:
            entry = current.get(record.pmid)
            # A record behind another one of its PMID in the same commit may take its place.
            if (
                entry is not None
                and not entry.is_deleted
                and record.pmid not in written
                and entry.digest == record_digest(record)
            ):
                unchanged[record.pmid] = entry._replace(fetched_at=now)
            else:
                written.add(record.pmid)
                yield record


def part_numbers(store: Path) -> set[int]:
    """The parts on disk."""
    return {int(name.removesuffix(PARQUET)) for name in LocalStorage(store).list(PARTS) if _PART.fullmatch(name)}


def make_store(path: Path) -> None:
    """The folder of a store, made and marked where it is not.

    Raises:
        StoreError: it is somebody's, or cannot be written.
    """
    with explained(path):
        if reason := foreign(path, KIND, is_old_store):
            raise StoreError(f"{reason}: set BIOQA_CACHE to a folder of its own")
        mark(path, KIND)


def is_store(path: Path) -> bool:
    """Whether a folder is a store's and not a link to one."""
    return not path.is_symlink() and foreign(path, KIND, is_old_store) is None


def is_old_store(path: Path) -> bool:
    """Whether a folder was made by a version without markers: it has what a store has alone, and a part proves it."""
    storage = LocalStorage(path)
    staged, parts = storage.list(STAGING), storage.list(PARTS)
    if not (all(map(_OLD.fullmatch, storage.list(""))) and all(map(_STAGED.fullmatch, staged))):
        return False
    if not all(map(_PART.fullmatch, parts)):
        return False
    return not parts or any(_is_part(path / PARTS / name) for name in parts)


def _is_part(path: Path) -> bool:
    try:
        next(entries(path, 0), None)
    except StoreError:
        return False
    return True


def part_path(store: Path, number: int) -> Path:
    """Where a part lies."""
    return store / PARTS / f"{number:08d}{PARQUET}"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What can go wrong in a store, as StoreError."""
    try:
        yield
    except (DatasetError, OSError, pa.ArrowException, sqlite3.Error) as exc:  # the first is of the storage below
        reason = f"{exc.filename or path}: {exc.strerror or exc}" if isinstance(exc, OSError) else exc
        raise StoreError(f"{path}: the abstract store cannot be used: {reason}; what it holds is unharmed") from exc
