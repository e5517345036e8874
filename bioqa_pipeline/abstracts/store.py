"""PubMed records kept by content, so that nothing is fetched or parsed twice. Knows nothing about where they come from.

    parts/NNNNNNNN.parquet    the truth: records and deletions in order of arrival, one file a commit
    locator-NNNNNN.sqlite     for every PMID the row of its current record; made again from the parts when it is lost
    _bioqa.json               says that this is a store
    _staging/                 unfinished work of the writer; what lies there is no part of the store
    .lock                     held by the one writer

A commit is one part, written elsewhere, synced and linked into place, and then one transaction of the locator. Readers
find records through the locator, so they see whole commits only; the next writer takes up a part whose transaction a
kill has prevented. The current record of a PMID is the one of the higher version, then of the later revision date, then
the later arrival; a deletion holds until the record arrives again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from bioqa_pipeline.abstracts.locator import HAS_ABSTRACT, IS_RETRACTED, Entry, Locator, batched, is_broken
from bioqa_pipeline.abstracts.parts import find_contents, read_rows, scan
from bioqa_pipeline.abstracts.writer import PARTS, AddCount, StoreWriter, explained, make_store, part_numbers, part_path
from bioqa_pipeline.errors import StoreError
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.storage.filelock import FileLock

T = TypeVar("T")

_LOOKUP_RECORDS = 1_000
# Reading and unpacking a row group, some 4 ms for a record alone in its part, does not hold the interpreter.
_READERS = min(16, os.cpu_count() or 1)
_INDEX_SCHEMA = [
    ("pmid", pl.Int64),
    ("content_hash", pl.String),
    ("has_abstract", pl.Boolean),
    ("is_retracted", pl.Boolean),
    ("fetched_at", pl.Int64),
]


@dataclass(frozen=True, slots=True)
class PartChanges:
    """What rows of one part say of the present: those that are current records, and PMIDs that are deleted."""

    part: int
    current: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)


class AbstractStore:
    """A folder of records; cheap to open, for many readers and one writer at a time.

    Args:
        path: the folder; made by the first writer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, records: Iterable[Abstract], *, origin: str, deleted: Sequence[int] = ()) -> AddCount:
        """Adds records, then deletes PMIDs, in one commit; waits while another process writes.

        What is current already is not written again; it only counts as fetched now.

        Args:
            origin: where the records come from, kept with each of them.

        Raises:
            StoreError: the store cannot be written; what it held before is unharmed.
        """
        with self.writer() as writer:
            return writer.add(records, origin=origin, deleted=deleted)

    @contextmanager
    def writer(self) -> Iterator[StoreWriter]:
        """Holds the store for several commits; waits while another process writes."""
        make_store(self.path)
        with FileLock(self.path / ".lock", f"store-{os.getpid()}", location=str(self.path), wait=True) as lock:
            writer = StoreWriter(self.path, lock)
            writer.recover()
            yield writer

    def get(self, pmids: Sequence[int]) -> Iterator[Abstract]:
        """The current record of each PMID that is there and not deleted, in the order asked.

        Raises:
            StoreError: the store cannot be read.
        """
        asked = list(pmids)
        found = {pmid: (entry.part, entry.row) for pmid, entry in self._find(asked).items() if not entry.is_deleted}
        with ThreadPoolExecutor(_READERS) as pool:
            for some in batched(asked, _LOOKUP_RECORDS):
                rows: dict[int, list[int]] = {}
                for part, row in {found[pmid] for pmid in some if pmid in found}:
                    rows.setdefault(part, []).append(row)
                records = pool.map(read_rows, [part_path(self.path, part) for part in rows], rows.values())
                read = {abstract.pmid: abstract for abstract in chain.from_iterable(records)}
                yield from (read[pmid] for pmid in some if pmid in read)

    def index(self, pmids: Sequence[int]) -> pl.DataFrame:
        """Those of the PMIDs that are there and not deleted, in no order.

        Returns:
            pmid Int64, content_hash String, has_abstract Boolean, is_retracted Boolean, fetched_at Datetime[us, UTC].

        Raises:
            StoreError: the store cannot be read.
        """
        rows = [
            (pmid, e.content_hash.hex(), bool(e.flags & HAS_ABSTRACT), bool(e.flags & IS_RETRACTED), e.fetched_at)
            for pmid, e in self._find(pmids).items()
            if not e.is_deleted
        ]
        frame = pl.DataFrame(rows, schema=_INDEX_SCHEMA, orient="row")
        return frame.with_columns(pl.col("fetched_at").cast(pl.Datetime("us", "UTC")))

    def deleted(self, pmids: Collection[int]) -> set[int]:
        """Those of the PMIDs whose record was deleted."""
        return {pmid for pmid, entry in self._find(pmids).items() if entry.is_deleted}

    def earlier(self, content_hashes: Collection[str]) -> dict[str, Abstract]:
        """Records by content, also those that a revision or deletion replaced; reads a column of each part."""
        found: dict[str, Abstract] = {}
        for part in sorted(self.parts(), reverse=True):
            if lacking := set(content_hashes) - found.keys():
                found |= {record.content_hash: record for record in find_contents(part_path(self.path, part), lacking)}
        return found

    def without_abstract(self) -> int:
        """How many records are there that have no abstract; looks at each, so a large store takes a while."""
        return self._ask(Locator.without_abstract, 0)

    def changes(self, after: int, columns: Sequence[str]) -> Iterator[PartChanges]:
        """What the parts above number `after` say of the present, some thousand rows at a time.

        Args:
            columns: of `parts.SCHEMA`, besides pmid and is_deleted.
        """
        for part in sorted(self._taken_up()):
            if part > after:
                yield from self._part_changes(part, columns)

    def parts(self) -> set[int]:
        """The numbers of the parts on disk."""
        return part_numbers(self.path)

    def latest_part(self) -> int:
        """The number of the latest commit; 0 for an empty store."""
        return max(self._taken_up(), default=0)

    def repair(self) -> None:
        """Takes up parts that the locator does not know; makes it anew where it is lost or damaged."""
        if (self.path / PARTS).is_dir():
            with self.writer():
                pass

    def _part_changes(self, part: int, columns: Sequence[str]) -> Iterator[PartChanges]:
        numbers = count()
        for rows in scan(part_path(self.path, part), ["pmid", "is_deleted", *columns]):
            located = self._find({values["pmid"] for values in rows})
            changes = PartChanges(part)
            for values in rows:
                row, entry = next(numbers), located.get(values["pmid"])
                if entry is None or (entry.part, entry.row) != (part, row):
                    continue
                if values["is_deleted"]:
                    changes.deleted.append(values["pmid"])
                else:
                    changes.current.append(values)
            yield changes

    def _taken_up(self) -> set[int]:
        return self._ask(Locator.parts, set[int]())

    def _find(self, pmids: Iterable[int]) -> dict[int, Entry]:
        asked = list(pmids)
        return self._ask(lambda locator: locator.find(asked), {})

    def _ask(self, question: Callable[[Locator], T], nothing: T) -> T:
        """What the locator says, made anew where it is lost or damaged; `nothing` for a store without parts."""
        for _ in range(2):
            with explained(self.path):
                locator = Locator.newest(self.path)
                if locator is not None:
                    try:
                        with locator:
                            return question(locator)
                    except sqlite3.DatabaseError as exc:
                        if not is_broken(exc):
                            raise
            if not (self.path / PARTS).is_dir():
                return nothing
            self.repair()
        raise StoreError(f"{self.path}: the locator of the abstract store is damaged again and again; check the disk")
