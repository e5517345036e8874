"""PubMed records kept by content, so that nothing is fetched or parsed twice. Knows nothing about where they come from.

    parts/NNNNNNNN.parquet    the truth: records and deletions in order of arrival, one file a commit
    locator.sqlite            for every PMID the row of its current record; made again from the parts when it is lost
    .lock                     held by the one writer

A commit is one part, written to a temporary file, synced and linked into place, and then one transaction of the
locator. Readers find records through the locator, so they see whole commits only; the next writer takes up a part
whose transaction a kill has prevented. The current record of a PMID is the one of the higher version, then of the later
revision date, then the later arrival; a deletion holds until the record arrives again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.filelock import FileLock
from bioqa_pipeline.records import Abstract, Correction, OtherAbstract, Section

T = TypeVar("T")

SCHEMA_VERSION = 1
# A record is read with its whole row group: some 1 MB, 3 ms.
ROW_GROUP_RECORDS = 500
SQL_VARIABLES = 900


def _struct(**types: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field(name, dtype) for name, dtype in types.items()])


_TEXT = pa.string()
RECORD_SCHEMA = pa.schema(
    [
        pa.field("pmid", pa.int64(), nullable=False),
        pa.field("is_deleted", pa.bool_(), nullable=False),
        pa.field("content_hash", _TEXT),
        pa.field("fetched_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("origin", _TEXT, nullable=False),
        pa.field("version", pa.int32()),
        pa.field("title", _TEXT),
        pa.field("text", _TEXT),
        pa.field("sections", pa.list_(_struct(label=_TEXT, category=_TEXT, start=pa.int32(), end=pa.int32()))),
        pa.field("journal", _TEXT),
        pa.field("pub_date", _TEXT),
        pa.field("pub_date_raw", _TEXT),
        pa.field("doi", _TEXT),
        pa.field("languages", pa.list_(_TEXT)),
        pa.field("vernacular_title", _TEXT),
        pa.field("authors", pa.list_(_TEXT)),
        pa.field("mesh_terms", pa.list_(_TEXT)),
        pa.field("publication_types", pa.list_(_TEXT)),
        pa.field("corrections", pa.list_(_struct(ref_type=_TEXT, pmid=pa.int64(), citation=_TEXT))),
        pa.field("other_abstracts", pa.list_(_struct(kind=_TEXT, language=_TEXT, text=_TEXT))),
        pa.field("copyright", _TEXT),
        pa.field("is_retracted", pa.bool_()),
        pa.field("is_book", pa.bool_()),
        pa.field("status", _TEXT),
        pa.field("date_revised", _TEXT),
    ],
    metadata={"bioqa.schema_version": str(SCHEMA_VERSION), "bioqa.table": "abstracts"},
)
_BOOKKEEPING = {"is_deleted", "content_hash", "fetched_at", "origin"}
_INDEX_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "pmid": pl.Int64,
    "content_hash": pl.String,
    "has_abstract": pl.Boolean,
    "is_retracted": pl.Boolean,
    "fetched_at": pl.Datetime("us", "UTC"),
}

_LOCATOR = """
CREATE TABLE IF NOT EXISTS parts (part INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS records (
    pmid INTEGER PRIMARY KEY, part INTEGER, row INTEGER, version INTEGER, date_revised TEXT, content_hash TEXT,
    has_abstract INTEGER, is_retracted INTEGER, is_deleted INTEGER, fetched_at INTEGER
);
"""
_UPSERT = """
INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (pmid) DO UPDATE SET
    part = excluded.part, row = excluded.row, version = excluded.version, date_revised = excluded.date_revised,
    content_hash = excluded.content_hash, has_abstract = excluded.has_abstract, is_retracted = excluded.is_retracted,
    is_deleted = excluded.is_deleted, fetched_at = excluded.fetched_at
WHERE excluded.is_deleted OR records.is_deleted
   OR (excluded.version, excluded.date_revised) >= (records.version, records.date_revised)
"""


@dataclass(frozen=True, slots=True)
class AddCount:
    """What a commit came to: records written, records that were there already, PMIDs deleted."""

    added: int
    unchanged: int
    deleted: int


class AbstractStore:
    """A folder of records; cheap to open, for many readers and one writer at a time.

    Args:
        path: the folder; made by the first `add`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = path / "parts"
        self._locator = path / "locator.sqlite"

    def add(self, records: Iterable[Abstract], *, origin: str, deleted: Sequence[int] = ()) -> AddCount:
        """Adds records, then deletes PMIDs, in one commit; memory does not grow with the number of records.

        A record whose current one has the same content, version and revision date is not written again; it only counts
        as fetched now.

        Args:
            origin: where the records come from, kept with each of them.

        Raises:
            DatasetError: the store cannot be written; what it held before is unharmed.
        """
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / ".lock", f"add-{os.getpid()}", location=str(self.path), wait=True):
                with closing(self._connect()) as locator:
                    self._recover(locator)
                    return self._commit(locator, records, origin, deleted)
        except (OSError, pa.ArrowException, sqlite3.Error) as exc:
            raise DatasetError(f"{self.path}: the abstract store cannot be written: {exc}") from exc

    def get(self, pmids: Sequence[int]) -> Iterator[Abstract]:
        """The current record of each PMID that is there and not deleted, in the order asked."""
        for some in _batched(pmids, SQL_VARIABLES):
            rows = self._select("pmid, part, row", some)
            places: dict[tuple[int, int], list[tuple[int, int]]] = {}
            for pmid, part, row in rows:
                group, offset = divmod(row, ROW_GROUP_RECORDS)
                places.setdefault((part, group), []).append((pmid, offset))
            found: dict[int, Abstract] = {}
            for (part, group), members in places.items():
                table = pq.ParquetFile(self._part(part)).read_row_group(group)
                taken = table.take([offset for _, offset in members]).to_pylist()
                for (pmid, _), values in zip(members, taken, strict=True):
                    found[pmid] = _abstract(values)
            yield from (found[pmid] for pmid in some if pmid in found)

    def index(self, pmids: Sequence[int]) -> pl.DataFrame:
        """Those of the PMIDs that are there and not deleted: pmid, content_hash, has_abstract, is_retracted, fetched_at."""
        rows: list[tuple[Any, ...]] = []
        for some in _batched(dict.fromkeys(pmids), SQL_VARIABLES):
            rows += self._select("pmid, content_hash, has_abstract, is_retracted, fetched_at", some)
        physical: dict[str, pl.DataType | type[pl.DataType]] = {
            **_INDEX_SCHEMA,
            "has_abstract": pl.Int64,
            "is_retracted": pl.Int64,
            "fetched_at": pl.Int64,
        }
        return pl.DataFrame(rows, schema=physical, orient="row").cast(_INDEX_SCHEMA)

    def pmids(self, *, after: int = 0, limit: int = 100_000) -> list[int]:
        """PMIDs that are there, ascending, from the first one above `after`."""
        if not self._locator.exists():
            return []
        with closing(self._connect()) as locator:
            query = "SELECT pmid FROM records WHERE NOT is_deleted AND pmid > ? ORDER BY pmid LIMIT ?"
            return [pmid for (pmid,) in locator.execute(query, (after, limit))]

    def __len__(self) -> int:
        if not self._locator.exists():
            return 0
        with closing(self._connect()) as locator:
            count: int = locator.execute("SELECT count(*) FROM records WHERE NOT is_deleted").fetchone()[0]
            return count

    def repair(self) -> None:
        """Takes up parts that the locator does not know; makes it anew where it is lost."""
        if self._parts.is_dir():
            with FileLock(self.path / ".lock", f"repair-{os.getpid()}", location=str(self.path), wait=True):
                with closing(self._connect()) as locator:
                    self._recover(locator)

    def _part(self, number: int) -> Path:
        return self._parts / f"{number:08d}.parquet"

    def _connect(self) -> sqlite3.Connection:
        locator = sqlite3.connect(self._locator, timeout=60)
        locator.execute("PRAGMA journal_mode = WAL")
        locator.executescript(_LOCATOR)
        return locator

    def _select(self, columns: str, pmids: Sequence[int]) -> list[tuple[Any, ...]]:
        if not self._locator.exists():
            self.repair()
            if not self._locator.exists():
                return []
        marks = ", ".join("?" * len(pmids))
        with closing(self._connect()) as locator:
            query = f"SELECT {columns} FROM records WHERE NOT is_deleted AND pmid IN ({marks})"
            return locator.execute(query, pmids).fetchall()

    def _recover(self, locator: sqlite3.Connection) -> None:
        """What a killed writer left: half-written files go, a published part is taken up."""
        for leftover in self._parts.glob("*.tmp"):
            leftover.unlink()
        known = {part for (part,) in locator.execute("SELECT part FROM parts")}
        for file in sorted(self._parts.glob("*.parquet")):
            if int(file.stem) not in known:
                self._locate(locator, int(file.stem), _part_rows(file))

    def _commit(
        self, locator: sqlite3.Connection, records: Iterable[Abstract], origin: str, deleted: Sequence[int]
    ) -> AddCount:
        number = 1 + max((int(p.stem) for p in self._parts.glob("*.parquet")), default=0)
        temporary = self._part(number).with_suffix(".tmp")
        now = datetime.now(UTC)
        rows: list[tuple[Any, ...]] = []
        refreshed: list[int] = []
        try:
            with pq.ParquetWriter(temporary, RECORD_SCHEMA, compression="zstd") as writer:
                pending: list[dict[str, Any]] = []
                for values in self._changes(locator, records, origin, now, deleted, refreshed):
                    rows.append(_locator_row(values))
                    pending.append(values)
                    if len(pending) == ROW_GROUP_RECORDS:
                        writer.write_table(pa.Table.from_pylist(pending, RECORD_SCHEMA))
                        pending = []
                if pending:
                    writer.write_table(pa.Table.from_pylist(pending, RECORD_SCHEMA))
            if rows:
                _sync(temporary)
                os.link(temporary, self._part(number))
                _sync(self._parts)
        finally:
            temporary.unlink(missing_ok=True)
        if rows:
            self._locate(locator, number, rows)
        with locator:
            locator.executemany(
                "UPDATE records SET fetched_at = ? WHERE pmid = ?", ((_microseconds(now), p) for p in refreshed)
            )
        n_deleted = sum(row[-2] for row in rows)
        return AddCount(added=len(rows) - n_deleted, unchanged=len(refreshed), deleted=n_deleted)

    def _changes(
        self,
        locator: sqlite3.Connection,
        records: Iterable[Abstract],
        origin: str,
        now: datetime,
        deleted: Sequence[int],
        refreshed: list[int],
    ) -> Iterator[dict[str, Any]]:
        """The rows of the new part; what is there already goes to `refreshed`."""
        columns = "pmid, version, date_revised, content_hash FROM records WHERE NOT is_deleted"
        for some in _batched(records, SQL_VARIABLES):
            marks = ", ".join("?" * len(some))
            query = f"SELECT {columns} AND pmid IN ({marks})"
            there = {row[0]: row[1:] for row in locator.execute(query, [r.pmid for r in some])}
            for record in some:
                content = record.content_hash
                if there.get(record.pmid) == (record.version, record.date_revised, content):
                    refreshed.append(record.pmid)
                    continue
                there.pop(record.pmid, None)
                yield {
                    **asdict(record),
                    "is_deleted": False,
                    "content_hash": content,
                    "fetched_at": now,
                    "origin": origin,
                }
        for pmid in deleted:
            yield {"pmid": pmid, "is_deleted": True, "fetched_at": now, "origin": origin}

    def _locate(self, locator: sqlite3.Connection, number: int, rows: Iterable[tuple[Any, ...]]) -> None:
        with locator:
            locator.executemany(_UPSERT, ((row[0], number, i, *row[1:]) for i, row in enumerate(rows)))
            locator.execute("INSERT INTO parts VALUES (?)", (number,))


def _batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch


def _locator_row(values: dict[str, Any]) -> tuple[Any, ...]:
    """pmid, version, date_revised, content_hash, has_abstract, is_retracted, is_deleted, fetched_at."""
    return (
        values["pmid"],
        values.get("version") or 0,
        values.get("date_revised") or "",
        values.get("content_hash"),
        bool(values.get("text")),
        bool(values.get("is_retracted")),
        bool(values["is_deleted"]),
        _microseconds(values["fetched_at"]),
    )


def _part_rows(file: Path) -> Iterator[tuple[Any, ...]]:
    columns = ["pmid", "version", "date_revised", "content_hash", "text", "is_retracted", "is_deleted", "fetched_at"]
    for batch in pq.ParquetFile(file).iter_batches(columns=columns):
        yield from (_locator_row(values) for values in batch.to_pylist())


def _abstract(values: dict[str, Any]) -> Abstract:
    own = {name: value for name, value in values.items() if name not in _BOOKKEEPING}
    lists = {name: tuple(own[name]) for name in ("languages", "authors", "mesh_terms", "publication_types")}
    return Abstract(
        **{
            **own,
            **lists,
            "sections": tuple(Section(**s) for s in own["sections"]),
            "corrections": tuple(Correction(**c) for c in own["corrections"]),
            "other_abstracts": tuple(OtherAbstract(**o) for o in own["other_abstracts"]),
        }
    )


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
