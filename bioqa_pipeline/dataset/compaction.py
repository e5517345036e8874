"""Many small files of answers and windows, and of summaries, into few large ones: the same rows, sorted as ever.

Files are merged whose metadata, the settings of their run, are the same. One entry of the log says of each merge what
comes and what goes; it holds once the new file of answers, or of summaries, is there, so that `Dataset` sees the old
files or the new ones and at no moment both or neither. The old ones are deleted after that. Killed at any step, the
next writer puts it right: before that file is there it deletes what was made, after that what was merged.

Who reads the folder itself, not by `Dataset`, finds rows twice from the moment that a new file is there until the old
ones are deleted, and a scan that has listed the old files and opens them later fails.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from bioqa_pipeline.dataset.contents import Contents, View
from bioqa_pipeline.dataset.log import LogEntry
from bioqa_pipeline.dataset.manifest import FileRecord
from bioqa_pipeline.dataset.marker import way_out
from bioqa_pipeline.dataset.opening import opened, publish_entry
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS, PARQUET, STAGING, SUMMARY, make_shard_id
from bioqa_pipeline.dataset.staging import clear, stage
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.dataset.tables import decode, encode, file_metadata, in_order, joined
from bioqa_pipeline.errors import DatasetError, NoDatasetError
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.filelock import Held

# What is merged together, a file of each; a merge holds once the last one is there.
KINDS = ((CHUNKS, ANSWERS), (SUMMARY,))
# Of a merged file and its windows together; what is half as large is not merged any more. Decoded, some ten times this.
MOST_BYTES = 64 << 20
_FOLDERS = tuple(table.name for tables in KINDS for table in tables)


@dataclass(frozen=True, slots=True)
class Group:
    """Files that become one of each of these tables: their records, those of a shard or run together."""

    tables: tuple[Table, ...]
    files: tuple[tuple[FileRecord, ...], ...]

    @property
    def rows(self) -> int:
        """Of the last table."""
        return sum(records[-1].rows for records in self.files)


def plan_compaction(storage: Storage, *, most_bytes: int = MOST_BYTES) -> list[Group]:
    """What `compact` would merge.

    Raises:
        DatasetError: there is no data set, or it is not whole.
    """
    contents = Contents(storage)
    return _plan(storage, contents.whole(_data_set(storage, contents), *_FOLDERS), most_bytes)


def compact(storage: Storage, *, most_bytes: int = MOST_BYTES) -> list[Group]:
    """Merges small files; gives the groups. A second call finds nothing to do.

    Raises:
        DatasetError: there is no data set, it is not whole, or a file cannot be written; no row is lost by that.
    """
    contents = Contents(storage)
    _data_set(storage, contents)
    run_id = f"compact-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    with storage.lock(run_id, wait=True) as lock:
        data_set = opened(storage, contents, run_id, lock).id
        merged: list[Group] = []
        # A merged file is smaller than its parts were, and may find company.
        while groups := _plan(storage, contents.whole(data_set, *_FOLDERS), most_bytes):
            for group in groups:
                _merge(storage, data_set, run_id, lock, group)
            merged += groups
    return merged


def _data_set(storage: Storage, contents: Contents) -> str:
    if not storage.exists():
        raise NoDatasetError(storage.location)
    if (marker := contents.marker()) is None:
        raise NoDatasetError(
            storage.location, "no data set with a log; one of an earlier version gets its log with the next run"
        )
    return marker.id


def _plan(storage: Storage, view: View, most_bytes: int) -> list[Group]:
    """Small files of the same metadata, as many together as fit; what is left alone stays."""
    groups: list[Group] = []
    for tables in KINDS:
        open_groups: dict[tuple[tuple[str, str], ...], list[tuple[FileRecord, ...]]] = {}
        for records in _small(view, tables, most_bytes // 2):
            path = records[-1].path
            try:
                with storage.open(path) as file:
                    key = tuple(sorted(file_metadata(pq.read_schema(file)).items()))
            except (OSError, pa.ArrowException) as exc:
                raise _damaged(storage, path) from exc
            files = open_groups.setdefault(key, [])
            if sum(record.bytes for one in (*files, records) for record in one) > most_bytes:
                groups.append(Group(tables, tuple(files)))
                files.clear()
            files.append(records)
        groups += [Group(tables, tuple(files)) for files in open_groups.values()]
    return [group for group in groups if len(group.files) > 1]


def _small(view: View, tables: tuple[Table, ...], most_bytes: int) -> Iterator[tuple[FileRecord, ...]]:
    for path in sorted(view.records):
        folder, _, name = path.partition("/")
        if folder == tables[-1].name:
            records = tuple(view.records[f"{table.name}/{name}"][0] for table in tables)
            if records[-1].rows and sum(record.bytes for record in records) < most_bytes:
                yield records


def _merge(storage: Storage, data_set: str, run_id: str, lock: Held, group: Group) -> None:
    merged = [_merged(storage, *part) for part in zip(group.tables, zip(*group.files, strict=True), strict=True)]
    rows, _ = merged[-1]
    name = make_shard_id(rows["pair_id" if group.tables[-1] is ANSWERS else "run_id"].unique().to_pylist()) + PARQUET
    staged: list[str] = []
    records: list[FileRecord] = []
    for table, (rows, metadata) in zip(group.tables, merged, strict=True):
        data = encode(rows, table, metadata)
        staged.append(stage(storage, run_id, data))
        records.append(FileRecord.of(f"{table.name}/{name}", data, rows.num_rows))
    gone = tuple(record for files in group.files for record in files)
    entry = LogEntry(data_set=data_set, run_id=run_id, mark=records[-1].path, files=tuple(records), gone=gone)
    lock.check()
    intent = publish_entry(storage, entry)
    for path, record in zip(staged, records, strict=True):
        if not storage.publish(path, record.path):
            raise DatasetError(f"{storage.uri(record.path)}: a file of this name is there; {way_out(storage)}")
    storage.delete_files([record.path for record in gone])
    publish_entry(storage, entry.changed(mark=None))
    storage.delete_files([intent])
    clear(storage, f"{STAGING}/{run_id}")


def _merged(storage: Storage, table: Table, records: Sequence[FileRecord]) -> tuple[pa.Table, dict[str, str]]:
    """All rows of these files, sorted; and what their metadata says."""
    parts: list[pa.Table] = []
    for record in records:
        data = storage.read(record.path)
        if FileRecord.of(record.path, data, record.rows) != record:
            raise _damaged(storage, record.path)
        parts.append(decode(data))
    return in_order(joined(parts, table), table).cast(table.schema), file_metadata(parts[-1].schema)


def _damaged(storage: Storage, path: str) -> DatasetError:
    return DatasetError(f"{storage.uri(path)}: damaged or changed by hand; {way_out(storage)}")
