"""The rows of a data set's files into what does not fit: columns, keys, names, windows for each answer, counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bioqa_pipeline.dataset.log import Log
from bioqa_pipeline.dataset.manifest import FileRecord, RunManifest
from bioqa_pipeline.dataset.marker import way_out
from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CHUNKS,
    CURRENT,
    PARQUET,
    SUMMARY,
    TABLES,
    is_manifest,
    make_shard_id,
)
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.dataset.tables import column_faults, decode, file_metadata
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.messages import words_of
from bioqa_pipeline.storage.base import Storage

Files = Mapping[str, list[FileRecord]]
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, DatasetError, pl.exceptions.PolarsError)


@contextmanager
def faults_named(storage: Storage) -> Iterator[None]:
    """Where tables cannot be read although the log has their digests: the first file that is to blame.

    Raises:
        DatasetError: in place of what polars or Arrow says, which names no file.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, UnicodeDecodeError) as exc:
        if fault := next(_unreadable(storage), None):
            raise DatasetError(f"{fault}; {way_out(storage)}") from exc
        raise


def _unreadable(storage: Storage) -> Iterator[str]:
    for table in TABLES:
        for path in sorted(storage.files(table.name)):
            try:
                rows = decode(storage.read(path))
                rows.validate(full=True)
                faults = column_faults(rows.schema, table)
            except (pa.ArrowException, OSError, ValueError) as exc:
                faults = [f"cannot be read: {words_of(exc)}"]
            yield from (f"{storage.uri(path)}: {fault}" for fault in faults)


@dataclass(slots=True)
class TableFaults:
    """What is wrong, by file."""

    n_answers: int = 0
    n_chunks: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def table_faults(storage: Storage, files: Files) -> TableFaults:
    """Looks at every Parquet file; their bytes are those that were written."""
    found = TableFaults()
    keys: list[pl.DataFrame] = []
    for path, records in files.items():
        table = next((table for table in TABLES if path.startswith(f"{table.name}/")), None)
        if table is None or table is CHUNKS:
            continue
        try:
            if table is ANSWERS:
                keys.append(_look_at_shard(storage, files, path, found))
            else:
                _read(storage, path, table, ["run_id", "question_id", "rank"], records)
        except _UNREADABLE as exc:
            found.faults.append((path, words_of(exc)))
    if keys:
        every = pl.concat(keys)
        doubled = every.filter(pl.col("pair_id").is_duplicated()).sort("pair_id", "path")
        later = doubled.filter(pl.col("pair_id").is_first_distinct().not_())
        for path, pair_id in later.unique("path", maintain_order=True).select("path", "pair_id").iter_rows():
            first = doubled.filter(pair_id=pair_id)["path"][0]
            found.faults.append((path, f"pair {pair_id} stands in {first} as well"))
    return found


def _look_at_shard(storage: Storage, files: Files, path: str, found: TableFaults) -> pl.DataFrame:
    """The pairs of a file of answers, whose windows are looked at with it."""
    rows = _read(storage, path, ANSWERS, ["pair_id", "n_windows"], files[path])
    found.n_answers += len(rows)
    name = path.removeprefix(f"{ANSWERS.name}/")
    pair_ids = rows["pair_id"]
    if pair_ids.is_duplicated().any():
        found.faults.append((path, "a pair stands in it twice"))
    elif make_shard_id(pair_ids.to_list()) != name.removesuffix(PARQUET):
        found.faults.append((path, "its name is not that of its pairs"))
    chunks = f"{CHUNKS.name}/{name}"
    if chunks in files:
        try:
            windows = _read(storage, chunks, CHUNKS, ["pair_id"], files[chunks])
        except _UNREADABLE as exc:
            found.faults.append((chunks, words_of(exc)))
        else:
            found.n_chunks += len(windows)
            counted = rows.join(windows.group_by("pair_id").len(), on="pair_id", how="full", coalesce=True)
            wrong = counted.filter(pl.col("n_windows").ne_missing(pl.col("len").cast(pl.Int32)))
            for pair_id, asked, there in wrong.select("pair_id", "n_windows", "len").head(1).iter_rows():
                found.faults.append((chunks, f"{there or 0} pieces of text of pair {pair_id} in place of {asked or 0}"))
    return rows.select("pair_id", path=pl.lit(path))


def _read(storage: Storage, path: str, table: Table, columns: list[str], records: list[FileRecord]) -> pl.DataFrame:
    with storage.open(path) as source, pq.ParquetFile(source, page_checksum_verification=True) as file:
        metadata = file_metadata(file.schema_arrow)
        if metadata.get("table") != table.name:
            raise DatasetError(f"not a file of {table.name}, by its metadata")
        if faults := column_faults(file.schema_arrow, table):
            raise DatasetError("; ".join(faults))
        if all(record.rows != file.metadata.num_rows for record in records):
            raise DatasetError(f"{file.metadata.num_rows} rows in place of {records[0].rows}")
        frame = pl.DataFrame(file.read(columns))
    for name in columns:
        if frame[name].null_count():
            raise DatasetError(f"column {name} has {frame[name].null_count()} nulls")
    if table is CURRENT and frame.select("question_id", "rank").is_duplicated().any():
        raise DatasetError("a question has two answers of one rank")
    name = path.removeprefix(f"{SUMMARY.name}/").removesuffix(PARQUET)
    if table is SUMMARY and set(frame["run_id"]) - {name} and make_shard_id(frame["run_id"].unique().to_list()) != name:
        raise DatasetError("rows of another run")
    return frame


def manifest_faults(storage: Storage, files: Files, log: Log) -> list[tuple[str, str, bool]]:
    """What the manifests say that is not so, and whether the manifest is to blame or the log."""
    logged = {(r.path, r.sha256) for e in log.entries.values() for r in (*e.files, *e.gone)}
    faults = []
    for path in files:
        if not is_manifest(path):
            continue
        try:
            manifest = RunManifest.model_validate_json(storage.read(path))
        except ValidationError as exc:
            faults.append((path, f"not a manifest of this version: {exc.errors()[0]['msg']}", True))
            continue
        faults += [(path, what, True) for what in _sums(manifest)]
        unknown = [f for f in manifest.files if f.sha256 and (f.path, f.sha256) not in logged]
        faults += [(path, f"names {f.path}, which the log does not name", False) for f in unknown[:1]]
    return faults


def _sums(manifest: RunManifest) -> list[str]:
    if manifest.status == "failed":
        return []
    faults = []
    if manifest.n_pairs != manifest.n_scored + manifest.n_reused + manifest.n_failed:
        faults.append(
            f"{manifest.n_pairs} pairs, and {manifest.n_scored} scored + {manifest.n_reused} reused + "
            f"{manifest.n_failed} failed"
        )
    for table, count in ((ANSWERS, manifest.n_scored), (CHUNKS, manifest.n_windows)):
        rows = sum(f.rows for f in manifest.files if f.path.startswith(f"{table.name}/"))
        if rows != count:
            faults.append(f"{rows} rows in its files of {table.name} in place of {count}")
    return faults
