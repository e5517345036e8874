"""Many small files of answers and windows into few large ones: the same rows, sorted as ever.

Files are merged whose metadata, the settings of their run, are the same. One entry of the log says of each merge what
comes and what goes; it holds once the new file of answers is there, so that `Dataset` sees the old files or the new
ones and at no moment both or neither. The old ones are deleted after that. Killed at any step, the next writer puts it
right: before the new answers are there it deletes what was made, after that what was merged.

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
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS, PARQUET, STAGING, Table, make_shard_id
from bioqa_pipeline.dataset.staging import clear, stage_tables
from bioqa_pipeline.dataset.tables import decode, file_metadata
from bioqa_pipeline.errors import DatasetError, NoDatasetError
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.filelock import Held

# Of a merged file and its windows together; what is half as large is not merged any more. Decoded, some ten times this.
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Group:
    """Files that become one, each as its records of answers and of windows."""

    answers: tuple[FileRecord, ...]
    chunks: tuple[FileRecord, ...]

    @property
    def rows(self) -> int:
        return sum(record.rows for record in self.answers)


def plan_compaction(storage: Storage, *, most_bytes: int = MOST_BYTES) -> list[Group]:
    """What `compact` would merge.

    Raises:
        DatasetError: there is no data set, or it is not whole.
    """
    contents = Contents(storage)
    return _plan(storage, contents.whole(_data_set(storage, contents), ANSWERS.name, CHUNKS.name), most_bytes)


def compact(storage: Storage, *, wait: bool = True, most_bytes: int = MOST_BYTES) -> list[Group]:
    """Merges small files; gives the groups. A second call finds nothing to do.

    Raises:
        DatasetLockedError: a run writes it, and `wait` is False.
        DatasetError: there is no data set, it is not whole, or a file cannot be written; no row is lost by that.
    """
    contents = Contents(storage)
    _data_set(storage, contents)
    run_id = f"compact-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    with storage.lock(run_id, wait=wait) as lock:
        data_set = opened(storage, contents, run_id, lock).id
        merged: list[Group] = []
        # A merged file is smaller than its parts were, and may find company.
        while groups := _plan(storage, contents.whole(data_set, ANSWERS.name, CHUNKS.name), most_bytes):
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
    open_groups: dict[tuple[tuple[str, str], ...], list[tuple[FileRecord, FileRecord]]] = {}

    def close(pairs: Sequence[tuple[FileRecord, FileRecord]]) -> None:
        if len(pairs) > 1:
            answers, chunks = zip(*pairs, strict=True)
            groups.append(Group(answers, chunks))

    for answers, chunks in _small(view, most_bytes // 2):
        with storage.open(answers.path) as file:
            key = tuple(sorted(file_metadata(pq.read_schema(file)).items()))
        pairs = open_groups.setdefault(key, [])
        if sum(a.bytes + c.bytes for a, c in pairs) + answers.bytes + chunks.bytes > most_bytes:
            close(pairs)
            pairs.clear()
        pairs.append((answers, chunks))
    for pairs in open_groups.values():
        close(pairs)
    return groups


def _small(view: View, most_bytes: int) -> Iterator[tuple[FileRecord, FileRecord]]:
    for path in sorted(view.records):
        folder, _, name = path.partition("/")
        if folder == ANSWERS.name:
            answers, chunks = view.records[path][0], view.records[f"{CHUNKS.name}/{name}"][0]
            if answers.bytes + chunks.bytes < most_bytes:
                yield answers, chunks


def _merge(storage: Storage, data_set: str, run_id: str, lock: Held, group: Group) -> None:
    answers, metadata = _merged(storage, ANSWERS, group.answers)
    chunks, _ = _merged(storage, CHUNKS, group.chunks)
    name = make_shard_id(answers["pair_id"].to_pylist())
    attempt = stage_tables(storage, run_id, name, answers, chunks, metadata)
    staged = {table: f"{attempt}.{table.name}{PARQUET}" for table in (CHUNKS, ANSWERS)}
    records = tuple(
        FileRecord.of(f"{table.name}/{name}{PARQUET}", storage.read(path), rows.num_rows)
        for (table, path), rows in zip(staged.items(), (chunks, answers), strict=True)
    )
    entry = LogEntry(
        data_set=data_set, run_id=run_id, mark=records[-1].path, files=records, gone=(*group.answers, *group.chunks)
    )
    lock.check()
    intent = publish_entry(storage, entry)
    for path, record in zip(staged.values(), records, strict=True):
        if not storage.publish(path, record.path):
            raise DatasetError(f"{storage.uri(record.path)}: a file of this name is there; {way_out(storage)}")
    storage.delete_files([record.path for record in entry.gone])
    publish_entry(storage, entry.changed(mark=None))
    storage.delete_files([intent])
    clear(storage, f"{STAGING}/{run_id}")


def _merged(storage: Storage, table: Table, records: Sequence[FileRecord]) -> tuple[pa.Table, dict[str, str]]:
    """All rows of these files, sorted; and what their metadata says."""
    parts = [table.schema.empty_table()]
    metadata: dict[str, str] = {}
    for record in records:
        data = storage.read(record.path)
        if FileRecord.of(record.path, data, record.rows) != record:
            raise DatasetError(f"{storage.uri(record.path)}: damaged or changed by hand; {way_out(storage)}")
        part = decode(data)
        metadata = file_metadata(part.schema)
        parts.append(part.replace_schema_metadata())
    # Columns that came later are absent in older files.
    rows = pa.concat_tables(parts, promote_options="default").select(table.schema.names)
    return rows.sort_by([(name, "ascending") for name in table.sorted_by]).cast(table.schema), metadata
