"""The data set of answers: what is in it, and how a run adds to it.

    answers/*.parquet     one row per (question, abstract content, scoring key)
    chunks/*.parquet      one row per window of these pairs
    summary/*.parquet     one row per (run, question, merged answer)
    runs/RUN_ID.html      one page per run, to be read by people
    runs/RUN_ID.json      one manifest per run, written last
    _staging/RUN_ID/      work in progress; not for readers
    .lock                 held by the one writer

Guaranteed, wherever a run is killed, doubled or retried:
- a pair_id stands in `answers` at most once; once `commit_shard` has returned, it stays, also after a loss of power;
- readers see whole files only. A file in `answers` means that the chunks of its pairs are there; a manifest in `runs`
  means that the summary of that run is there. A killed run can leave a file in `chunks` or `summary` without that
  mark; the readers below pass over it and the next writer deletes it;
- each run's times lie after those of the run before it, whatever became of the clock in between;
- committed files in `answers` are never changed or deleted; revised abstracts and other scoring keys add rows.

Not guaranteed: that a pair is scored only once (a killed run's unfinished shards are scored again); anything beyond
what `storage` says about network file systems and disks that lie; the order of rows across files.

Many processes may score, one commits: workers call `write_staged`, the process inside `Dataset.writer` commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS, PARQUET, RUNS, SCHEMA_VERSION, STAGING, SUMMARY, Table
from bioqa_pipeline.dataset.tables import empty_frame, file_metadata
from bioqa_pipeline.dataset.writer import DatasetWriter, check_name, write_staged
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.local import Storage, storage_at

__all__ = ["Dataset", "DatasetWriter", "write_staged"]

# What a folder without answers/ may hold and still become a data set: what killed first runs and fresh volumes leave.
_HARMLESS = frozenset({CHUNKS.name, SUMMARY.name, RUNS, STAGING, "lost+found"})


class Dataset:
    """A data set to be read, and the way to its writer.

    Args:
        root: a folder, which `writer` makes where it is absent, s3://bucket/prefix, or any other storage.
    """

    def __init__(self, root: Path | str | Storage) -> None:
        self.storage = storage_at(root)

    @contextmanager
    def writer(self, run_id: str, *, wait: bool = True) -> Iterator[DatasetWriter]:
        """The data set's one writer; sweeps what dead runs left behind.

        Workers may stage for this run only while it is open.

        Args:
            run_id: new for every run; becomes a file name.
            wait: whether to wait for another writer's end.

        Raises:
            DatasetLockedError: another writer holds the data set, and `wait` is False.
            DatasetError: not a data set, of another schema version, or the run id was used before.
        """
        check_name(run_id, "run id")
        self._check_root()
        self.storage.create()
        with self.storage.lock(run_id, wait=wait) as lock:
            self._check_root()
            if f"{run_id}.json" in self.storage.list(RUNS):
                raise DatasetError(f"{self.storage.location}: run id {run_id} is taken; each run needs its own")
            writer = DatasetWriter(self.storage, run_id, lock, self.done)
            writer.sweep()
            try:
                yield writer
            finally:
                writer.close()

    def done(self, pair_ids: pl.Series | Sequence[str]) -> pl.Series:
        """Which pairs are committed; reads one column. To plan a run, use `DatasetWriter.done`.

        Returns:
            (n_pairs,) Boolean, in the order of `pair_ids`.
        """
        asked = pl.Series("pair_id", pair_ids, dtype=pl.String)
        if not self.storage.exists() or asked.is_empty():
            return pl.repeat(False, len(asked), dtype=pl.Boolean, eager=True)
        committed = self.answers().select("pair_id")
        found = committed.join(asked.to_frame().lazy(), on="pair_id", how="semi").collect(engine="streaming")
        return asked.is_in(found["pair_id"].implode())

    def answers(self, *, current: bool = False) -> pl.LazyFrame:
        """All answers, with the columns of `schemas.ANSWERS`, as committed at the time of the call.

        Args:
            current: leaves out history: of the rows of one (question_id, question, pmid, scoring_key), which differ in
                the abstract's content, only the one scored last. A record that returns to an earlier content is not
                scored again, so the row of its later content stays the current one.
        """
        frame = self._scan(ANSWERS, self._files(ANSWERS))
        if not current:
            return frame
        key = ("question_id", "question", "pmid", "scoring_key")
        last = pl.col("pair_id").sort_by("scored_at", "pmid_version", "pair_id").last()
        return frame.join(frame.group_by(key).agg(last), on="pair_id", how="semi")

    def chunks(self) -> pl.LazyFrame:
        """The windows of all answers, with the columns of `schemas.CHUNKS`."""
        committed = set(self._files(ANSWERS))
        return self._scan(CHUNKS, [name for name in self._files(CHUNKS) if name in committed])

    def summary(self) -> pl.LazyFrame:
        """The merged answers of all runs that wrote a manifest, with the columns of `schemas.SUMMARY`."""
        finished = {name.removesuffix(".json") + PARQUET for name in self._run_files()}
        return self._scan(SUMMARY, [name for name in self._files(SUMMARY) if name in finished])

    def runs(self) -> list[RunManifest]:
        """The manifests, oldest run first.

        Raises:
            DatasetError: a manifest cannot be read.
        """
        self._check_root(must_exist=True)
        manifests = [self.run(name.removesuffix(".json")) for name in self._run_files()]
        return sorted(manifests, key=lambda m: (m.started_at, m.run_id))

    def run(self, run_id: str) -> RunManifest:
        """The manifest of a run.

        Raises:
            DatasetError: it cannot be read.
        """
        name = f"{RUNS}/{run_id}.json"
        try:
            return RunManifest.model_validate_json(self.storage.read(name))
        except ValidationError as exc:
            raise DatasetError(f"{self.storage.uri(name)}: not a manifest of this version: {exc}") from exc

    def last_time(self) -> datetime | None:
        """The latest time that any row or manifest bears; None where there is none. Each run begins after it."""
        scored = self.answers().select(pl.col("scored_at").max()).collect().item()
        times = [run.finished_at for run in self.runs()] + ([scored] if scored else [])
        return max(times, default=None)

    def _files(self, table: Table) -> list[str]:
        return [name for name in self.storage.list(table.name) if name.endswith(PARQUET)]

    def _run_files(self) -> list[str]:
        return [name for name in self.storage.list(RUNS) if name.endswith(".json")]

    def _scan(self, table: Table, files: Sequence[str]) -> pl.LazyFrame:
        self._check_root(must_exist=True)
        if not files:
            return empty_frame(table)
        paths = [self.storage.uri(f"{table.name}/{name}") for name in files]
        return pl.scan_parquet(paths, glob=False, hive_partitioning=False, **self.storage.scan_options)

    def _check_root(self, *, must_exist: bool = False) -> None:
        """Every writer checks one file, so all files have its version."""
        location = self.storage.location
        if not self.storage.exists():
            if must_exist:
                raise DatasetError(f"{location}: there is no data set here; a run that writes to this place makes one")
            return
        entries = self.storage.list("")
        foreign = [name for name in entries if name not in _HARMLESS and not name.startswith(".")]
        if foreign and ANSWERS.name not in entries:
            raise DatasetError(
                f"{location}: not a data set: it holds {foreign[0]!r} but no answers/; give another folder"
            )
        files = self._files(ANSWERS)
        if not files:
            return
        path = f"{ANSWERS.name}/{files[0]}"
        try:
            with self.storage.open(path) as file:
                found = file_metadata(pq.read_schema(file))
        except pa.ArrowException as exc:
            raise DatasetError(f"{self.storage.uri(path)}: not a readable Parquet file: {exc}") from exc
        version = found.get("schema_version")
        if version is None:
            raise DatasetError(f"{self.storage.uri(path)}: not written by bioqa; give another folder")
        if version != str(SCHEMA_VERSION):
            raise DatasetError(
                f"{location}: schema version {version}, this program has {SCHEMA_VERSION}; "
                "use the version of bioqa that wrote it, or start a new data set"
            )
