"""For every PMID the row of its current record: a small table beside the parts of a store, made from them alone.

The rule of what is current stands here. One process may write at a time, which the caller sees to; others read
meanwhile and see whole transactions.

The files are `locator-NNNNNN.sqlite`, of which the highest counts. A new one is made under a name of its own and
appears whole, so that a reader of an old one cannot take its successor's journal for its own.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

VERSION = 1
HAS_ABSTRACT, IS_RETRACTED, IS_DELETED = 1, 2, 4
_BATCH_ROWS = 10_000
_BUSY_SECONDS = 60
_CACHE_KIB = 65_536
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_TABLES = f"""
CREATE TABLE parts (part INTEGER PRIMARY KEY);
CREATE TABLE records (
    pmid INTEGER PRIMARY KEY, part INTEGER, row INTEGER, version INTEGER, date_revised TEXT, content_hash BLOB,
    digest INTEGER, flags INTEGER, fetched_at INTEGER
);
PRAGMA user_version = {VERSION};
"""
_COLUMNS = "part, row, version, date_revised, content_hash, digest, flags, fetched_at"


class Entry(NamedTuple):
    """What is known of the current record of a PMID, or of its deletion.

    `row` counts within the part; `content_hash` is the record's own as 16 bytes, `digest` is of all of it; `fetched_at`
    counts microseconds since 1970.
    """

    part: int
    row: int
    version: int
    date_revised: str
    content_hash: bytes
    digest: int
    flags: int
    fetched_at: int

    @property
    def is_deleted(self) -> bool:
        return bool(self.flags & IS_DELETED)

    def same_as(self, other: Entry) -> bool:
        """Whether both say the same of the record, wherever it lies."""
        return (self.is_deleted and other.is_deleted) or self[2:7] == other[2:7]

    def replaces(self, other: Entry) -> bool:
        """Whether this entry, which came later, is current: the higher version, then the later date, then the later.

        A deletion replaces every record, and every record replaces a deletion.
        """
        if self.is_deleted or other.is_deleted:
            return True
        return (self.version, self.date_revised) >= (other.version, other.date_revised)


@dataclass(slots=True)
class Changes:
    """What some rows, one after the other, come to.

    Attributes:
        entries: the new state of the PMIDs concerned.
        added, deleted, unchanged: how many of them have a new record, are newly deleted, are as before.
        outdated: rows older than what was there when their turn came.
    """

    entries: dict[int, Entry] = field(default_factory=dict)
    added: int = 0
    deleted: int = 0
    unchanged: int = 0
    outdated: int = 0

    @property
    def needs_rows(self) -> bool:
        """Whether any of the rows is now current; otherwise none need be kept."""
        return bool(self.added or self.deleted)

    def settle(self, stored: Mapping[int, Entry]) -> None:
        """Compares with the state before; what has come to the same again is left where it was."""
        for pmid, entry in self.entries.items():
            before = stored.get(pmid)
            if before is not None and entry.same_as(before):
                self.entries[pmid] = before._replace(fetched_at=entry.fetched_at)
                self.unchanged += 1
            elif entry.is_deleted:
                self.deleted += 1
            else:
                self.added += 1


class Locator:
    """An open locator; use it inside `with`, which closes it, and deletes it where it has shown to be damaged."""

    def __init__(self, connection: sqlite3.Connection, file: Path) -> None:
        self._connection, self._file = connection, file

    @classmethod
    def newest(cls, folder: Path) -> Self | None:
        """The locator of a store; None where there is none that can be used."""
        while files := sorted(_files(folder, ""), reverse=True):
            try:
                return cls(_connect(files[0]), files[0])
            except sqlite3.OperationalError:
                if not files[0].exists():
                    continue
                raise
            except (sqlite3.DatabaseError, _OtherVersionError):
                return None
        return None

    @classmethod
    def build(cls, folder: Path, staging: Path, parts: Iterable[tuple[int, Iterable[tuple[int, Entry]]]]) -> None:
        """Makes the locator anew from all parts in their order and deletes the ones before; for the one writer.

        Args:
            staging: a folder of the same file system, for the unfinished file.
            parts: number and rows, each a PMID and its entry.
        """
        unfinished = staging / "locator.sqlite"
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)
            locator = cls(connection, unfinished)
            for part, rows in parts:
                locator.take_up(part, rows)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        old = sorted(_files(folder, r"(-\w+)?"))
        numbers = [int(path.name.split("-")[1].split(".")[0]) for path in old]
        unfinished.replace(folder / f"locator-{max(numbers, default=0) + 1:06d}.sqlite")
        for path in old:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        self._connection.close()
        if isinstance(exc, sqlite3.Error) and is_broken(exc):
            logger.warning("%s is damaged (%s) and is made anew", self._file, exc)
            self._file.unlink(missing_ok=True)

    def find(self, pmids: Iterable[int]) -> dict[int, Entry]:
        """The entries of those PMIDs that have one, all of one moment."""
        query = f"SELECT pmid, {_COLUMNS} FROM records WHERE pmid IN (SELECT value FROM json_each(?))"
        cursor = self._connection.execute(query, (json.dumps(list(pmids)),))
        return {row[0]: Entry._make(row[1:]) for row in cursor}

    def without_abstract(self) -> int:
        """How many records are there that have no abstract."""
        query = "SELECT COUNT(*) FROM records WHERE NOT flags & ? AND NOT flags & ?"
        return int(self._connection.execute(query, (IS_DELETED, HAS_ABSTRACT)).fetchone()[0])

    def parts(self) -> set[int]:
        """The parts that were taken up."""
        return {part for (part,) in self._connection.execute("SELECT part FROM parts")}

    def compare(self, rows: Iterable[tuple[int, Entry]]) -> Changes:
        """What the rows would change."""
        changes = Changes()
        stored: dict[int, Entry] = {}
        for some in batched(rows, _BATCH_ROWS):
            stored |= self.find({pmid for pmid, _ in some} - stored.keys())
            for pmid, entry in some:
                current = changes.entries.get(pmid) or stored.get(pmid)
                if current is None or entry.replaces(current):
                    changes.entries[pmid] = entry
                else:
                    changes.outdated += 1
        changes.settle(stored)
        return changes

    def take_up(self, part: int | None, rows: Iterable[tuple[int, Entry]]) -> None:
        """Makes the rows of a part known, in one transaction."""
        self.write(part, self.compare(rows))

    def write(self, part: int | None, changes: Changes) -> None:
        """Makes changes known, in one transaction, with the part that they come from."""
        places = ", ".join("?" * (len(Entry._fields) + 1))
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                f"INSERT OR REPLACE INTO records VALUES ({places})",
                ((pmid, *entry) for pmid, entry in changes.entries.items()),
            )
            if part is not None:
                self._connection.execute("INSERT INTO parts VALUES (?)", (part,))


def is_broken(exc: sqlite3.Error) -> bool:
    """Whether the file is damaged, so that it must be made anew."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """The items in tuples of at most `size`."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch


class _OtherVersionError(Exception):
    pass


def _files(folder: Path, ending: str) -> Iterator[Path]:
    """The locators of a store by their names, of which nothing but files are: a link is not followed."""
    name = re.compile(rf"locator-[0-9]+\.sqlite{ending}")
    for path in folder.glob("locator-*"):
        if name.fullmatch(path.name) and not path.is_symlink():
            yield path


def _connect(file: Path) -> sqlite3.Connection:
    # "rw" also for readers: one that comes first after a kill must roll the journal back.
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)
    try:
        connection.isolation_level = None
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
            raise _OtherVersionError
    except BaseException:
        connection.close()
        raise
    return connection
