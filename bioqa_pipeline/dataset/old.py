"""Data sets without a marker, as versions before it wrote them: is every file there ours?

A file is ours when it is named as we name it, bears our metadata, has our columns, and its name follows from what is in
it: that of a shard from its pairs, that of a summary from its run. Nothing here writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from bioqa_pipeline.dataset.log import ENTRY, LogEntry, read_entry
from bioqa_pipeline.dataset.manifest import FileRecord, RunManifest
from bioqa_pipeline.dataset.marker import HARMLESS, MARKER, way_out
from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CHUNKS,
    CURRENT,
    LOG,
    PAGE,
    PARQUET,
    REPLACED,
    RUNS,
    SCHEMA_VERSION,
    STAGING,
    SUMMARY,
    TABLES,
    make_shard_id,
    manifest_path,
)
from bioqa_pipeline.dataset.staging import is_staged
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.dataset.tables import column_faults, file_metadata
from bioqa_pipeline.errors import DatasetError, NoDatasetError
from bioqa_pipeline.messages import words_of
from bioqa_pipeline.storage.base import Storage, Stored

_SHARD = re.compile(r"[0-9a-f]{32}")
# As `run.job` makes them.
_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_TO_READ = "name the folder that python -m flows.run --out made"
_TO_WRITE = "give a new or empty folder"
_FOLDERS = frozenset({*(table.name for table in TABLES), RUNS, STAGING, LOG})


@dataclass(frozen=True, slots=True)
class OldFiles:
    """What an unmarked data set consists of.

    Attributes:
        committed: files that belong to it.
        unfinished: what killed runs left, each with the path whose absence says so.
        entries: of a log that was begun, in an adoption that was killed.
    """

    committed: tuple[FileRecord, ...]
    unfinished: tuple[tuple[FileRecord, str], ...]
    entries: Mapping[str, LogEntry]


def looks_old(entries: list[str]) -> bool:
    """Whether a root without a marker could be a data set of an early version, by the names in it."""
    return any(name in _FOLDERS for name in entries)


def refusal(storage: Storage, foreign: str, *, for_run: bool | None = None) -> DatasetError:
    """A folder that is not ours, or a data set that has lost its marker.

    Args:
        for_run: one wants to write there, or it is to be read; None where it may be either.
    """
    if any(ENTRY.fullmatch(name) for name in storage.files(LOG)):
        return DatasetError(f"{storage.uri(MARKER)}: the marker of this data set is gone; {way_out(storage)}")
    way = {True: _TO_WRITE, False: _TO_READ, None: f"{_TO_READ}; to begin one, {_TO_WRITE}"}[for_run]
    why = f"not a data set: it holds {foreign!r}, which bioqa did not write; {way}"
    return NoDatasetError(storage.location, why)


def first_foreign(entries: list[str]) -> str | None:
    """The first name in a root that no data set has there."""
    return next((name for name in entries if name not in HARMLESS and name not in _FOLDERS), None)


def old_files(storage: Storage) -> OldFiles:
    """Everything in an unmarked data set, proven to be ours.

    Raises:
        DatasetError: a file is not; it is named.
    """
    present = {name: stored for name, stored in storage.files("").items() if name.partition("/")[0] not in HARMLESS}
    committed: list[FileRecord] = []
    unfinished: list[tuple[FileRecord, str]] = []
    entries: dict[str, LogEntry] = {}
    for name in sorted(present):
        if is_staged(name):
            continue
        if ENTRY.fullmatch(name) and (entry := read_entry(storage, name)):
            entries[name] = entry
            continue
        record, mark = _proven(storage, name, present)
        if mark in present:
            committed.append(record)
        else:
            unfinished.append((record, mark))
    for record in committed:
        if record.path.startswith(f"{ANSWERS.name}/"):
            chunks = f"{CHUNKS.name}/{record.path.partition('/')[2]}"
            if chunks not in present:
                raise DatasetError(
                    f"{storage.uri(record.path)}: its pieces of text, {chunks}, are gone; move this file away too, and "
                    "what was in it is scored again"
                )
    return OldFiles(tuple(committed), tuple(unfinished), entries)


def old_table(storage: Storage, table: Table) -> list[str]:
    """The paths of a table's files in an unmarked data set; those that a kill left are not among them.

    Raises:
        DatasetError: a file is not ours, or of another schema version.
    """
    folders = {table.name, ANSWERS.name} if table is CHUNKS else {table.name, RUNS}
    present = {name: stored for folder in folders for name, stored in storage.files(folder).items()}
    paths = []
    for name in sorted(present):
        if name.startswith(f"{table.name}/") and name.endswith(PARQUET):
            mark = _mark(name)
            if mark is None or present[name].size < 0:
                raise refusal(storage, name)
            if table is ANSWERS or mark in present:
                _prove_table(storage, name, present[name])
                paths.append(name)
    return paths


def _mark(name: str) -> str | None:
    """The path whose presence says that a file belongs to the data set; None where it is not named as ours."""
    if name in REPLACED:
        return name
    folder, _, rest = name.partition("/")
    stem, dot, suffix = rest.rpartition(".")
    kind = folder, dot + suffix
    if kind in {(ANSWERS.name, PARQUET), (CHUNKS.name, PARQUET)}:
        return f"{ANSWERS.name}/{rest}" if _SHARD.fullmatch(stem) else None
    if kind in {(SUMMARY.name, PARQUET), (RUNS, PAGE), (RUNS, ".json")}:
        return manifest_path(stem) if _RUN_ID.fullmatch(stem) else None
    return None


def _proven(storage: Storage, name: str, present: Mapping[str, Stored]) -> tuple[FileRecord, str]:
    mark = _mark(name)
    if mark is None or present[name].size < 0:
        raise refusal(storage, name)
    data = storage.read(name)
    rows = 0
    if name.endswith(PARQUET):
        rows = _prove_table(storage, name, present[name])
    elif name.endswith(".json"):
        try:
            manifest = RunManifest.model_validate_json(data)
        except ValidationError as exc:
            raise DatasetError(
                f"{storage.uri(name)}: not a manifest of bioqa, or damaged; move it away, and run again: what is "
                "committed stays"
            ) from exc
        if manifest_path(manifest.run_id) != name:
            raise refusal(storage, name)
    return FileRecord.of(name, data, rows), mark


_proofs: dict[tuple[str, str], int] = {}


def _prove_table(storage: Storage, name: str, stored: Stored) -> int:
    """The rows of a Parquet file that is ours; each file is looked at once in a process."""
    key = storage.uri(name), stored.stamp
    if key not in _proofs:
        _proofs[key] = _prove_parquet(storage, name)
    return _proofs[key]


def _prove_parquet(storage: Storage, name: str) -> int:
    place = storage.uri(name)
    folder, _, rest = name.partition("/")
    table = next(table for table in TABLES if table.name == folder)
    try:
        with storage.open(name) as source, pq.ParquetFile(source, page_checksum_verification=True) as file:
            metadata = file_metadata(file.schema_arrow)
            if metadata.get("table") != table.name or "schema_version" not in metadata:
                raise DatasetError(f"{place}: not written by bioqa; give another folder")
            if metadata["schema_version"] != str(SCHEMA_VERSION):
                raise DatasetError(
                    f"{storage.location}: schema version {metadata['schema_version']}, this program has "
                    f"{SCHEMA_VERSION}; use the version of bioqa that wrote it, or start a new data set"
                )
            if faults := column_faults(file.schema_arrow, table):
                raise DatasetError(f"{place}: {faults[0]}; changed by hand: move it away, and run again")
            key = "run_id" if table in (SUMMARY, CURRENT) else "pair_id"
            keys = file.read([key])[key]
            rows: int = file.metadata.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError, ValueError) as exc:
        raise DatasetError(
            f"{place}: not a readable Parquet file: {words_of(exc)}; move it away, and what was in it is scored again"
        ) from exc
    if not _NAMES[table.name](rest.removesuffix(PARQUET), keys):
        raise DatasetError(f"{place}: its name and its rows do not belong together; move it away, and run again")
    return rows


def _is_shard(name: str, keys: pa.ChunkedArray) -> bool:
    distinct = pc.unique(keys)
    return not keys.null_count and make_shard_id(distinct.to_pylist()) == name


_NAMES: Mapping[str, Callable[[str, pa.ChunkedArray], bool]] = {
    ANSWERS.name: lambda name, keys: _is_shard(name, keys) and pc.count_distinct(keys).as_py() == len(keys),
    CHUNKS.name: _is_shard,
    SUMMARY.name: lambda name, keys: set(pc.unique(keys).to_pylist()) <= {name},
    CURRENT.name: lambda name, keys: True,
}
