"""How a run's rows become part of a data set: staged by any process, committed by the one that holds the lock.

`reader` states what is guaranteed. Each pair of files goes through these steps, and a kill between any two of them
leaves nothing that a reader takes for data: staged and synced; named in an entry of the log; chunks published; answers
published, which is the commit; staged files deleted. Summary, page and manifest are named in entries, too, before they
appear; the manifest is what the run's own files wait for. `log` says what becomes of the entries, `replacing` how the
files come that take the place of others.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from bioqa_pipeline.dataset.log import Log, LogEntry, LogReader
from bioqa_pipeline.dataset.manifest import FileRecord, RunManifest
from bioqa_pipeline.dataset.marker import way_out
from bioqa_pipeline.dataset.opening import publish_entry
from bioqa_pipeline.dataset.replacing import Replacement, Replacing, withdraw
from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CHUNKS,
    PARQUET,
    REPLACED,
    RUNS,
    STAGING,
    SUMMARY,
    make_shard_id,
    manifest_path,
    page_path,
    summary_path,
)
from bioqa_pipeline.dataset.staging import clear, stage, stage_tables
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
from bioqa_pipeline.messages import words_of
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.filelock import Held

logger = logging.getLogger(__name__)

_FOLDERS = (CHUNKS.name, ANSWERS.name, SUMMARY.name, RUNS)


class DatasetWriter:
    """Commits for one run; made by `Dataset.writer`. Its methods may be called from several threads."""

    def __init__(
        self, storage: Storage, data_set: str, run_id: str, lock: Held, committed: Callable[[pl.Series], pl.Series]
    ) -> None:
        self.run_id = run_id
        self._manifest_name = manifest_path(run_id)
        self._storage = storage
        self._data_set = data_set
        self._lock = lock
        self._committed = committed
        self._mutex = threading.Lock()
        # Pairs known not to be committed, so that a commit need not look through the data set again.
        self._free: set[str] = set()
        self._settled: set[str] = set()
        # What this run added to the log, by the path whose appearance has an entry hold.
        self._entries: dict[str, list[tuple[str, LogEntry]]] = {}
        # The staged files of a commit that broke off: whether they were published is not known.
        self._in_doubt: dict[str, str] = {}

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
            attempt = self._staged_attempt(shard_id, folder)
            if attempt is None:
                if shard_id in self._settled:
                    return False
                raise DatasetError(f"{self._storage.uri(folder)}: nothing was staged for this shard")
            try:
                committed = self._commit(shard_id, attempt)
            except (pa.ArrowException, OSError) as exc:
                clear(self._storage, folder)
                raise DatasetError(f"shard {shard_id}: the staged files cannot be read: {words_of(exc)}") from exc
            self._settled.add(shard_id)
            clear(self._storage, folder)
            return committed

    def write_summary(self, rows: Sequence[MergedAnswer], metadata: Mapping[str, str]) -> bool:
        """The merged answers of this run; False where they are written already. Readers see them after `finish`."""
        with self._mutex:
            self._lock.check()
            name = summary_path(self.run_id)
            if self._logged(name) and name in self._storage.files(SUMMARY.name):
                return False
            data = encode(to_table(summary_rows(rows, self.run_id), SUMMARY), SUMMARY, metadata)
            self._publish_own(data, name, len(rows))
            return True

    def write_page(self, page: str) -> None:
        """The page that people read of this run, `runs/RUN_ID.html`, in the place of one written before.

        Readers take it for the run's once `finish` has written the manifest; it does not change after that.

        Raises:
            DatasetError: the run is finished.
        """
        with self._mutex:
            self._lock.check()
            if self._manifest_name in self._storage.files(RUNS):
                raise DatasetError(f"{self._storage.location}: run {self.run_id} is finished; its page stays")
            self._publish_own(replace_surrogates(page).encode(), page_path(self.run_id))

    def renew_page(self, run_id: str, page: str) -> str:
        """The page of a run that has ended, in the place of the one that is there; gives its name.

        The log names both for good, so that no reader finds one that it does not know.
        """
        with self._mutex:
            self._lock.check()
            file = Replacement(page_path(run_id), replace_surrogates(page).encode())
            log = LogReader(self._storage).read(self._data_set)
            replacing = Replacing(self._storage, self._data_set, self.run_id, log, [file])
            mark = manifest_path(run_id)
            if entry := replacing.entry(mark):
                self._entries[mark] = [(publish_entry(self._storage, entry), entry)]
            replacing.publish_first()
            replacing.replace()
            self._close_log({mark, file.name}, ())
            return file.name

    def finish(self, manifest: RunManifest, replaced: Sequence[Replacement] = ()) -> RunManifest:
        """Writes the manifest, the last step of a run, with the files that the run committed; returns it.

        Args:
            replaced: files in the place of those that earlier runs left; no manifest names them, the log does.

        Raises:
            DatasetError: it is written already, or is another run's.
        """
        with self._mutex:
            self._lock.check()
            if manifest.run_id != self.run_id:
                raise DatasetError(f"run {self.run_id} cannot write the manifest of run {manifest.run_id}")
            present = {name: stored for folder in _FOLDERS for name, stored in self._storage.files(folder).items()}
            if self._manifest_name in present:
                raise DatasetError(f"{self._storage.location}: run {self.run_id} has its manifest already")
            log = withdraw(self._storage, LogReader(self._storage).read(self._data_set), self._manifest_name, present)
            self._entries[self._manifest_name] = [e for e in log.entries.items() if e[1].mark == self._manifest_name]
            full = manifest.changed(files=tuple(self._committed_files(present)))
            data = json.dumps(replace_surrogates(full.model_dump(mode="json")), indent=1, ensure_ascii=False).encode()
            replacing = Replacing(self._storage, self._data_set, self.run_id, log, replaced)
            if entry := replacing.entry(self._manifest_name):
                self._entries.setdefault(self._manifest_name, []).append((publish_entry(self._storage, entry), entry))
            replacing.publish_first()
            self._publish_own(data, self._manifest_name)
            gone = replacing.replace()
            self._close_log({*present, *(file.name for file in replaced), self._manifest_name}, gone)
            return full

    def close(self) -> None:
        """Deletes what this run staged and did not commit."""
        with self._mutex:
            try:
                self._lock.check()
            except DatasetError:
                return
            clear(self._storage, f"{STAGING}/{self.run_id}")

    def _logged(self, path: str) -> list[FileRecord]:
        entries = [entry for entries in self._entries.values() for _, entry in entries]
        return [record for entry in entries for record in entry.files if record.path == path]

    def _committed_files(self, present: Collection[str]) -> list[FileRecord]:
        """The records of what this run published, also where the answer to a request was lost."""
        files = []
        for mark, entries in self._entries.items():
            if mark in present or mark == self._manifest_name:
                files += [r for _, e in entries for r in e.files if r.path in present and r.path not in REPLACED]
        return files

    def _close_log(self, present: Collection[str], gone: Sequence[FileRecord]) -> None:
        """One entry that holds in the place of those that this run added; those of commits in doubt stay.

        Args:
            gone: records of files that were replaced.
        """
        ended = {name: entry for mark, entries in self._entries.items() if mark in present for name, entry in entries}
        if ended:
            folded = Log(ended).folded(ended, present, self.run_id)
            publish_entry(self._storage, folded.changed(gone=(*folded.gone, *gone)))
            self._storage.delete_files(ended)

    def _staged_attempt(self, shard_id: str, folder: str) -> str | None:
        """A staged pair of files; where an earlier commit is in doubt, that of it, so that it can be told apart."""
        mark = f".answers{PARQUET}"
        names = self._storage.list(folder)
        attempts = [f"{folder}/{name.removesuffix(mark)}" for name in names if name.endswith(mark)]
        in_doubt = self._in_doubt.get(shard_id)
        return in_doubt if in_doubt in attempts else next(iter(attempts), None)

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
        files = {f"{CHUNKS.name}/{name}": chunks, f"{ANSWERS.name}/{name}": answers}
        records = tuple(FileRecord.of(path, data, n_rows(data)) for path, data in files.items())
        self._free.difference_update(new)
        self._in_doubt[shard_id] = attempt
        self._announce(records[-1].path, records, f"{self.run_id}/{shard_id}")
        for record, table in zip(records, (CHUNKS, ANSWERS), strict=True):
            self._publish_same(f"{attempt}.{table.name}{PARQUET}", record)
        del self._in_doubt[shard_id]
        return True

    def _announce(self, mark: str, records: tuple[FileRecord, ...], staging: str | None = None) -> None:
        """Names files in the log that are about to appear; what an earlier try at them left goes first."""
        entry = LogEntry(data_set=self._data_set, run_id=self.run_id, mark=mark, files=records)
        paths = {record.path for record in records}
        for name, earlier in list(self._entries.get(mark, [])):
            if earlier != entry and paths & {record.path for record in earlier.files}:
                self._storage.delete_files([record.path for record in earlier.files])
                self._storage.delete(name)
                self._entries[mark].remove((name, earlier))
        name = publish_entry(self._storage, entry, staging)
        if (name, entry) not in self._entries.setdefault(mark, []):
            self._entries[mark].append((name, entry))

    def _publish_same(self, staged: str, record: FileRecord) -> None:
        """Publishes a file; one that is there already, after a try whose answer was lost, has to be the same."""
        if self._storage.publish(staged, record.path):
            return
        found = FileRecord.of(record.path, self._storage.read(record.path), record.rows)
        if found != record:
            raise DatasetError(
                f"{self._storage.uri(record.path)}: a file that is not of this data set has the name that a commit "
                f"needs; {way_out(self._storage)}"
            )

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
        attempt = stage_tables(self._storage, self.run_id, shard_id, kept[0], kept[1], metadata)
        new_answers, new_chunks = (self._storage.read(f"{attempt}.{t.name}{PARQUET}") for t in (ANSWERS, CHUNKS))
        return attempt, new_answers, new_chunks

    def _publish_own(self, data: bytes, name: str, rows: int = 0) -> None:
        """A file of this run itself, in the place of one written before; it holds once there is a manifest."""
        record = FileRecord.of(name, data, rows)
        self._announce(self._manifest_name, (record,))
        self._publish_same(stage(self._storage, self.run_id, data), record)
