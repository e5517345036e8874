"""How a run's rows become part of a data set: staged by any process, committed by the one that holds the lock.

`reader` states what is guaranteed. Each pair of files goes through these steps, and a kill between any two of them
leaves nothing that a reader takes for data: staged and synced; chunks published; answers published, which is the
commit; staged files deleted.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from bioqa_pipeline.dataset.manifest import FileRecord, RunManifest
from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CHUNKS,
    PAGE,
    PARQUET,
    RUNS,
    STAGING,
    SUMMARY,
    AnswerRow,
    ChunkRow,
    make_shard_id,
)
from bioqa_pipeline.dataset.tables import (
    decode,
    encode,
    file_metadata,
    n_rows,
    replace_surrogates,
    summary_rows,
    to_table,
)
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.storage.filelock import Held
from bioqa_pipeline.storage.local import Storage, storage_at

logger = logging.getLogger(__name__)

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def write_staged(
    root: Path | str | Storage,
    run_id: str,
    shard_id: str,
    answers: Sequence[AnswerRow],
    chunks: Sequence[ChunkRow],
    metadata: Mapping[str, str],
) -> None:
    """Puts the rows of one shard where `DatasetWriter.commit_shard` finds them; for worker processes.

    May run twice for one shard, also at the same time.

    Args:
        root: the data set.
        answers: at least one; pairs of the shard that could not be scored are left out and planned again next time.
        chunks: the windows of these pairs.
        metadata: for the Parquet files; "config" is the whole resolved configuration as JSON.

    Raises:
        DatasetError: a row does not fit its table, or the rows cannot be written (disk full).
    """
    check_name(run_id, "run id")
    check_name(shard_id, "shard id")
    pair_ids = {row.pair_id for row in answers}
    if not answers or len(pair_ids) < len(answers):
        raise DatasetError(f"shard {shard_id}: {len(answers)} answers of {len(pair_ids)} different pairs")
    if {row.pair_id for row in chunks} != pair_ids:
        raise DatasetError(f"shard {shard_id}: answers and chunks are not of the same pairs")
    _stage_tables(storage_at(root), run_id, shard_id, to_table(answers, ANSWERS), to_table(chunks, CHUNKS), metadata)


def _stage_tables(
    storage: Storage, run_id: str, shard_id: str, answers: pa.Table, chunks: pa.Table, metadata: Mapping[str, str]
) -> str:
    """Two files with a name of their own; answers last, so that a pair of files is whole once its answers are there."""
    attempt = f"{STAGING}/{run_id}/{shard_id}/{uuid.uuid4().hex}"
    storage.write(f"{attempt}.chunks{PARQUET}", encode(chunks, CHUNKS, metadata))
    try:
        storage.write(f"{attempt}.answers{PARQUET}", encode(answers, ANSWERS, metadata))
    except DatasetError:
        storage.delete(f"{attempt}.chunks{PARQUET}")
        raise
    return attempt


class DatasetWriter:
    """Commits for one run; made by `Dataset.writer`. Its methods may be called from several threads."""

    def __init__(self, storage: Storage, run_id: str, lock: Held, committed: Callable[[pl.Series], pl.Series]) -> None:
        self.run_id = run_id
        self._storage = storage
        self._lock = lock
        self._committed = committed
        self._mutex = threading.Lock()
        # Pairs known not to be committed, so that a commit need not look through the data set again.
        self._free: set[str] = set()
        self._settled: set[str] = set()
        self._files: list[FileRecord] = []

    def done(self, pair_ids: pl.Series | Sequence[str]) -> pl.Series:
        """Which pairs are committed, (n_pairs,) Boolean in the order given; the others can be scored and committed."""
        asked = pl.Series("pair_id", pair_ids, dtype=pl.String)
        mask = self._committed(asked)
        with self._mutex:
            self._free.update(asked.filter(~mask))
        return mask

    def commit_shard(self, shard_id: str) -> bool:
        """Makes a staged shard part of the data set.

        Rows of pairs that are committed already are left out, so shards may overlap with each other and with what other
        runs did since this one was planned.

        Returns:
            False where nothing was to be added, as for a shard committed before.

        Raises:
            DatasetError: nothing was staged, the disk is full, the lock is lost. What is committed is unharmed.
        """
        with self._mutex:
            self._lock.check()
            folder = f"{STAGING}/{self.run_id}/{shard_id}"
            attempt = self._staged_attempt(folder)
            if attempt is None:
                if shard_id in self._settled:
                    return False
                raise DatasetError(f"{self._storage.uri(folder)}: nothing was staged for this shard")
            try:
                committed = self._commit(shard_id, f"{folder}/{attempt}")
            except pa.ArrowException as exc:
                self._storage.delete(folder)
                raise DatasetError(f"shard {shard_id}: the staged files cannot be read: {exc}") from exc
            self._settled.add(shard_id)
            self._storage.delete(folder)
            return committed

    def write_summary(self, rows: Sequence[MergedAnswer], metadata: Mapping[str, str]) -> bool:
        """The merged answers of this run; False where they are written already. Readers see them after `finish`."""
        with self._mutex:
            self._lock.check()
            data = encode(to_table(summary_rows(rows, self.run_id), SUMMARY), SUMMARY, metadata)
            return self._publish_bytes(data, f"{SUMMARY.name}/{self.run_id}{PARQUET}", len(rows))

    def write_page(self, page: str) -> None:
        """The page that people read of this run, `runs/RUN_ID.html`, in the place of one written before.

        Readers take it for the run's once `finish` has written the manifest; it does not change after that.

        Raises:
            DatasetError: the run is finished.
        """
        with self._mutex:
            self._lock.check()
            if f"{self.run_id}.json" in self._storage.list(RUNS):
                raise DatasetError(f"{self._storage.location}: run {self.run_id} is finished; its page stays")
            name = f"{RUNS}/{self.run_id}{PAGE}"
            self._storage.delete(name)
            self._publish_bytes(replace_surrogates(page).encode(), name)

    def finish(self, manifest: RunManifest) -> RunManifest:
        """Writes the manifest, the last step of a run, with the files that the run committed; returns it.

        Raises:
            DatasetError: it is written already, or is another run's.
        """
        with self._mutex:
            self._lock.check()
            if manifest.run_id != self.run_id:
                raise DatasetError(f"run {self.run_id} cannot write the manifest of run {manifest.run_id}")
            full = manifest.changed(files=tuple(self._files))
            data = json.dumps(replace_surrogates(full.model_dump(mode="json")), indent=1, ensure_ascii=False).encode()
            if not self._publish_bytes(data, f"{RUNS}/{self.run_id}.json"):
                raise DatasetError(f"{self._storage.location}: run {self.run_id} has its manifest already")
            return full

    def sweep(self) -> None:
        """Deletes what dead runs left: staged files, chunks without answers, summaries and pages without a manifest."""
        storage = self._storage
        leftovers = [f"{STAGING}/{name}" for name in storage.list(STAGING)]
        answers = set(storage.list(ANSWERS.name))
        leftovers += [f"{CHUNKS.name}/{name}" for name in storage.list(CHUNKS.name) if name not in answers]
        runs = storage.list(RUNS)
        finished = {name.removesuffix(".json") for name in runs if name.endswith(".json")}
        leftovers += [
            f"{SUMMARY.name}/{name}"
            for name in storage.list(SUMMARY.name)
            if name.removesuffix(PARQUET) not in finished
        ]
        leftovers += [
            f"{RUNS}/{name}" for name in runs if name.endswith(PAGE) and name.removesuffix(PAGE) not in finished
        ]
        for name in leftovers:
            storage.delete(name)
        if leftovers:
            logger.info("%s: deleted %d leftovers of runs that did not end", storage.location, len(leftovers))

    def close(self) -> None:
        """Deletes what this run staged and did not commit."""
        with self._mutex:
            try:
                self._lock.check()
            except DatasetError:
                return
            self._storage.delete(f"{STAGING}/{self.run_id}")

    def _staged_attempt(self, folder: str) -> str | None:
        mark = f".answers{PARQUET}"
        return next((name.removesuffix(mark) for name in self._storage.list(folder) if name.endswith(mark)), None)

    def _commit(self, shard_id: str, attempt: str) -> bool:
        answers = self._storage.read(f"{attempt}.answers{PARQUET}")
        chunks = self._storage.read(f"{attempt}.chunks{PARQUET}")
        pair_ids: list[str] = decode(answers, ["pair_id"])["pair_id"].to_pylist()
        new = self._not_committed(pair_ids)
        if not new:
            return False
        if len(new) < len(pair_ids):
            logger.info(
                "shard %s: %d of %d pairs are committed already", shard_id, len(pair_ids) - len(new), len(pair_ids)
            )
            attempt, answers, chunks = self._restage(shard_id, answers, chunks, new)
        # The name follows from the content: a set of pairs can be published once, whoever cut the shards how.
        name = make_shard_id(new) + PARQUET
        records = [
            FileRecord(path=f"{table.name}/{name}", rows=n_rows(data), bytes=len(data))
            for table, data in ((CHUNKS, chunks), (ANSWERS, answers))
        ]
        self._free.difference_update(new)
        self._publish_pair(attempt, name)
        self._files += records
        return True

    def _publish_pair(self, attempt: str, name: str) -> None:
        staged_chunks, chunks = f"{attempt}.{CHUNKS.name}{PARQUET}", f"{CHUNKS.name}/{name}"
        if not self._storage.publish(staged_chunks, chunks):
            if name in self._storage.list(ANSWERS.name):
                raise DatasetError(f"{self._storage.location}: {name} was committed by another writer; run again")
            # An earlier commit of this run broke off between its two files.
            self._storage.delete(chunks)
            self._storage.publish(staged_chunks, chunks)
        if not self._storage.publish(f"{attempt}.{ANSWERS.name}{PARQUET}", f"{ANSWERS.name}/{name}"):
            raise DatasetError(f"{self._storage.location}: {name} was committed by another writer; run again")

    def _not_committed(self, pair_ids: Sequence[str]) -> list[str]:
        unknown = pl.Series([pair_id for pair_id in pair_ids if pair_id not in self._free], dtype=pl.String)
        if unknown.is_empty():  # the usual case, which asks the storage nothing
            return list(pair_ids)
        committed = set(unknown.filter(self._committed(unknown)))
        return [pair_id for pair_id in pair_ids if pair_id not in committed]

    def _restage(self, shard_id: str, answers: bytes, chunks: bytes, keep: Sequence[str]) -> tuple[str, bytes, bytes]:
        values = pa.array(keep, pa.string())
        tables = [decode(data) for data in (answers, chunks)]
        metadata = file_metadata(tables[0].schema)
        kept = [table.filter(pc.is_in(table["pair_id"], value_set=values)) for table in tables]
        attempt = _stage_tables(self._storage, self.run_id, shard_id, kept[0], kept[1], metadata)
        new_answers, new_chunks = (self._storage.read(f"{attempt}.{t.name}{PARQUET}") for t in (ANSWERS, CHUNKS))
        return attempt, new_answers, new_chunks

    def _publish_bytes(self, data: bytes, name: str, rows: int | None = None) -> bool:
        staged = f"{STAGING}/{self.run_id}/{uuid.uuid4().hex}"
        self._storage.write(staged, data)
        published = self._storage.publish(staged, name)
        self._storage.delete(staged)
        if published and rows is not None:
            self._files.append(FileRecord(path=name, rows=rows, bytes=len(data)))
        return published


def check_name(name: str, what: str) -> None:
    if not _SAFE_NAME.fullmatch(name):
        raise DatasetError(f"{what} {name!r}: letters, digits, '.', '_' and '-' only, not starting with a sign")
