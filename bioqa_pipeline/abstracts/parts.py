"""Records and deletions into the rows of one Parquet file, a part of a store, and back.

Columns that one would ask for have their own; the rest of a record is one column of JSON: a file of thirty columns
takes five times as long to open and to take a single record from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bioqa_pipeline.abstracts.locator import HAS_ABSTRACT, IS_DELETED, IS_RETRACTED, Entry, batched
from bioqa_pipeline.errors import StoreError
from bioqa_pipeline.files import check_regular
from bioqa_pipeline.records.texts import Abstract, Correction, OtherAbstract, Section

SCHEMA_VERSION = "1"
# A record is read with its whole row group; many small groups make the file slow to open.
ROW_GROUP_RECORDS = 250
_VERSION_KEY = b"bioqa.schema_version"

SCHEMA = pa.schema(
    [
        pa.field("pmid", pa.int64(), nullable=False),
        pa.field("is_deleted", pa.bool_(), nullable=False),
        pa.field("fetched_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("content_hash", pa.string()),
        pa.field("digest", pa.int64()),
        pa.field("has_abstract", pa.bool_()),
        pa.field("version", pa.int32()),
        pa.field("date_revised", pa.string()),
        pa.field("is_retracted", pa.bool_()),
        pa.field("title", pa.string()),
        pa.field("text", pa.string()),
        pa.field("journal", pa.string()),
        pa.field("pub_date", pa.string()),
        pa.field("doi", pa.string()),
        pa.field("details", pa.string()),
    ],
    metadata={_VERSION_KEY: SCHEMA_VERSION, b"bioqa.table": b"abstracts"},
)
_LOCATED = ["pmid", "is_deleted", "fetched_at", "content_hash", "digest", "has_abstract", "version", "date_revised"]
_LOCATED += ["is_retracted"]
_PLAIN = ["pmid", "version", "date_revised", "is_retracted", "title", "text", "journal", "pub_date", "doi"]
# In the order in which they are hashed; records that earlier versions stored have not got the last three.
_DETAILS = ["languages", "authors", "mesh_terms", "publication_types", "vernacular_title", "copyright", "pub_date_raw"]
_DETAILS += ["is_book", "status", "print_date", "electronic_date", "journal_names"]


def write_part(path: Path, records: Iterable[Abstract], *, origin: str, deleted: Iterable[int] = ()) -> int:
    """Writes and syncs a part: the records, then the deletions; memory does not grow with their number.

    Returns:
        The number of rows.
    """
    now = datetime.now(UTC)
    n_rows = 0
    # Statistics of long texts would make up most of the footer, which is read for every record.
    with pq.ParquetWriter(
        path, SCHEMA, compression="zstd", use_dictionary=["origin", "journal"], write_statistics=["pmid"]
    ) as writer:
        for some in batched(records, ROW_GROUP_RECORDS):
            writer.write_table(_table([_row(record) for record in some], now, origin))
            n_rows += len(some)
        if gone := [{"pmid": pmid} for pmid in deleted]:
            writer.write_table(_table(gone, now, origin), row_group_size=ROW_GROUP_RECORDS)
            n_rows += len(gone)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return n_rows


def entries(path: Path, part: int) -> Iterator[tuple[int, Entry]]:
    """PMID and entry of each row, in order."""
    row = 0
    with _open(path) as file:
        for batch in file.iter_batches(columns=_LOCATED, batch_size=ROW_GROUP_RECORDS * 40):
            columns = batch.to_pydict()
            columns["fetched_at"] = batch.column("fetched_at").cast(pa.int64()).to_pylist()
            for values in zip(*(columns[name] for name in _LOCATED), strict=True):
                pmid, is_deleted, fetched_at, content_hash, digest, has_abstract, version, revised, retracted = values
                if is_deleted:
                    yield pmid, Entry(part, row, 0, "", b"", 0, IS_DELETED, fetched_at)
                else:
                    flags = HAS_ABSTRACT * has_abstract | IS_RETRACTED * retracted
                    hashed = bytes.fromhex(content_hash)
                    yield pmid, Entry(part, row, version, revised, hashed, digest, flags, fetched_at)
                row += 1


def read_rows(path: Path, rows: Sequence[int]) -> list[Abstract]:
    """The records at some rows, in ascending order."""
    found: list[Abstract] = []
    with _open(path) as file:
        for group, members in groupby(sorted(rows), key=lambda row: row // ROW_GROUP_RECORDS):
            table = file.read_row_group(group, columns=[*_PLAIN, "details"], use_threads=False)
            taken = table.take([row - group * ROW_GROUP_RECORDS for row in members])
            found += (_abstract(values) for values in taken.to_pylist())
    return found


def find_contents(path: Path, content_hashes: Collection[str]) -> list[Abstract]:
    """The records of a part that have one of these contents, be they current or not."""
    with _open(path) as file:
        hashes = file.read(["content_hash"])["content_hash"]
    is_wanted = pc.is_in(hashes, value_set=pa.array(sorted(content_hashes), pa.string()))
    rows = pc.indices_nonzero(is_wanted).to_pylist()
    return read_rows(path, rows) if rows else []


def scan(path: Path, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """All rows of a part in order, some thousand at a time, with some of the columns of `SCHEMA`."""
    with _open(path) as file:
        for batch in file.iter_batches(columns=list(columns), batch_size=8 * ROW_GROUP_RECORDS):
            yield batch.to_pylist()


def filtered_by(row: dict[str, Any]) -> dict[str, list[str]]:
    """What a row with the column `details` can be filtered by, besides its journal."""
    details = json.loads(row["details"])
    return {name: details.get(name, []) for name in ("publication_types", "mesh_terms", "languages", "journal_names")}


def record_digest(record: Abstract) -> int:
    """Identifies all that a record says (its content hash covers only what an answer takes from it); 64 bits."""
    return _digest(_row(record))


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        check_regular(path)
        with pq.ParquetFile(path) as file:
            version = (file.metadata.metadata or {}).get(_VERSION_KEY, b"").decode()
            if version != SCHEMA_VERSION:
                raise StoreError(
                    f"{path}: written in format {version or 'unknown'} of the abstract store; this version of the "
                    f"program reads {SCHEMA_VERSION}: delete the folder of the store to have it made anew"
                )
            yield file
    except (OSError, pa.ArrowException) as exc:
        raise StoreError(
            f"{path}: a part of the abstract store cannot be read: {exc}. Delete the file to have what it held fetched "
            "or imported again"
        ) from exc


def _row(record: Abstract) -> dict[str, Any]:
    details = {
        **{name: getattr(record, name) for name in _DETAILS},
        "sections": [(s.label, s.category, s.start, s.end) for s in record.sections],
        "corrections": [(c.ref_type, c.pmid, c.citation) for c in record.corrections],
        "other_abstracts": [(o.kind, o.language, o.text) for o in record.other_abstracts],
    }
    row = {name: getattr(record, name) for name in _PLAIN}
    row["details"] = json.dumps(details, ensure_ascii=False, separators=(",", ":"))
    row["digest"] = _digest(row)
    row["content_hash"] = record.content_hash
    row["has_abstract"] = bool(record.text)
    return row


def _digest(row: dict[str, Any]) -> int:
    values = json.dumps([row[name] for name in (*_PLAIN, "details")], ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(values.encode(), digest_size=8).digest(), "big", signed=True)


def _table(rows: Sequence[dict[str, Any]], now: datetime, origin: str) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in SCHEMA.names}
    columns["is_deleted"] = ["version" not in row for row in rows]
    columns["fetched_at"] = [now] * len(rows)
    columns["origin"] = [origin] * len(rows)
    return pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _abstract(values: dict[str, Any]) -> Abstract:
    details: dict[str, Any] = json.loads(values["details"])
    said = {name: values[name] for name in _PLAIN} | {name: details[name] for name in _DETAILS if name in details}
    said |= {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return Abstract(
        **said,
        sections=tuple(Section(*section) for section in details["sections"]),
        corrections=tuple(Correction(*correction) for correction in details["corrections"]),
        other_abstracts=tuple(OtherAbstract(*other) for other in details["other_abstracts"]),
    )
