"""The data set of answers: what is in it, and how a run adds to it.

    _bioqa.json           says that this is a data set, and which
    _log/*.json           says which files belong to it, with their sizes and SHA-256
    answers/*.parquet     one row per (question, abstract content, scoring key)
    chunks/*.parquet      one row per window of these pairs
    summary/*.parquet     one row per (run, question, merged answer)
    current/*.parquet     one row per (question, merged answer over all runs); one file, which is replaced as a whole
    runs/index.html       the list of the runs, to be read by people; replaced by each run
    runs/feed.xml         new and changed answers, for feed readers; replaced by each run that has some
    runs/RUN_ID.html      one page per run, to be read by people
    runs/RUN_ID.json      one manifest per run, written last
    _staging/RUN_ID/      work in progress; not for readers
    .lock                 held by the one writer

Guaranteed, wherever a run is killed, doubled or retried:
- a pair_id stands in `answers` at most once; once `commit_shard` has returned, it stays, also after a loss of power;
- readers see whole files only. A file in `answers` means that the chunks of its pairs are there; a manifest in `runs`
  means that the summary of that run is there. A killed run can leave a file in `chunks` or `summary` without that
  mark; the readers below pass over it and the next writer deletes it;
- a folder that holds anything else is not made a data set. Files that this program did not write are not read, not
  changed and not deleted, wherever they lie; a warning names them;
- no row is read from a file of the data set whose size or bytes are not those that were written;
- each run's times lie after those of the run before it, whatever became of the clock in between, unless they are
  further ahead than `run.clock` believes;
- `current` has one file at any moment: it is replaced at once, after the manifest of the run whose answers it holds,
  and not at all where nothing changed. A run that was killed between the two leaves it as it was; the next one catches
  up;
- committed rows of `answers` are never changed or deleted; revised abstracts and other scoring keys add rows. Their
  files are never changed; `compaction` puts larger ones in their place, by one entry of the log.

Not guaranteed: that a pair is scored only once (a killed run's unfinished shards are scored again); anything beyond
what `storage` says about network file systems and disks that lie; the order of rows across files. Bytes that an object
store keeps are checked by the store alone, and by `flows.verify`.

Many processes may score, one commits: workers call `write_staged`, the process inside `Dataset.writer` commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
from pydantic import ValidationError

from bioqa_pipeline.dataset.contents import LOOKS, Contents
from bioqa_pipeline.dataset.current import decided_by, newest_thresholds, without_history
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.marker import Marker, way_out
from bioqa_pipeline.dataset.old import first_foreign, looks_old, old_files, old_table, refusal
from bioqa_pipeline.dataset.opening import opened
from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CHUNKS,
    CURRENT,
    CURRENT_FILE,
    FEED,
    RUNS,
    SUMMARY,
    is_manifest,
    manifest_path,
    summary_path,
)
from bioqa_pipeline.dataset.staging import check_name
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.dataset.tables import decode, empty_frame, file_metadata, joined
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import DatasetError, NoDatasetError
from bioqa_pipeline.messages import words_of
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.places import storage_at


class Dataset:
    """A data set to be read, and the way to its writer.

    Args:
        root: a folder, which `writer` makes where it is absent, s3://bucket/prefix, or any other storage.
    """

    def __init__(self, root: Path | str | Storage) -> None:
        self.storage = storage_at(root)
        self._contents = Contents(self.storage)
        # Written once, asked for many times.
        self._manifests: dict[str, RunManifest] = {}

    @contextmanager
    def writer(self, run_id: str, *, wait: bool = True) -> Iterator[DatasetWriter]:
        """The data set's one writer; makes the data set where there is none, and sweeps what dead runs left behind.

        A data set of a version that knew no marker gets one, with a log of all its files, once each is proven ours.
        Workers may stage for this run only while it is open.

        Args:
            run_id: new for every run; becomes a file name.
            wait: whether to wait for another writer's end.

        Raises:
            DatasetLockedError: another writer holds the data set, and `wait` is False.
            DatasetError: not a data set, of another schema version, not whole, or the run id was used before.
        """
        check_name(run_id, "run id")
        if self._marker() is None and self._is_old():
            # Before anything is made there: a lock file, too, would be a change to somebody's folder.
            old_files(self.storage)
        self.storage.create()
        with self.storage.lock(run_id, wait=wait) as lock:
            marker = opened(self.storage, self._contents, run_id, lock)
            writer = DatasetWriter(self.storage, marker.id, run_id, lock, self.done)
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

    def id(self) -> str | None:
        """Of the data set, the same for good; None in one of a version that knew none."""
        marker = self._marker()
        return marker.id if marker else None

    def answers(self, *, current: bool = False) -> pl.LazyFrame:
        """All answers, with the columns of `schemas.ANSWERS`, as committed at the time of the call.

        Args:
            current: leaves out history: of the rows of one (question_id, question, pmid, scoring_key), which differ in
                the abstract's content, only the one scored last. A record that returns to an earlier content is not
                scored again, so the row of its later content stays the current one. Whether an abstract answers is
                decided by the threshold of the newest run with its scoring key, which `threshold` then says; as
                committed, rows keep that of the run that scored them.
        """
        frame = self._scan(ANSWERS, self._paths(ANSWERS, ANSWERS.name))
        if not current:
            return frame
        return decided_by(without_history(frame), newest_thresholds(self.runs()))

    def chunks(self) -> pl.LazyFrame:
        """The windows of all answers, with the columns of `schemas.CHUNKS`."""
        return self._scan(CHUNKS, self._paths(CHUNKS, ANSWERS.name))

    def summary(self) -> pl.LazyFrame:
        """The merged answers of all runs that wrote a manifest, with the columns of `schemas.SUMMARY`."""
        return self._scan(SUMMARY, self._paths(SUMMARY, RUNS))

    def current(self) -> pl.LazyFrame:
        """For each question the merged answers over all its runs, with the columns of `schemas.CURRENT`.

        Read at the time of the call: what a later run changes is not in it.
        """
        return pl.DataFrame(self.current_table()[0]).lazy()

    def current_table(self) -> tuple[pa.Table, dict[str, str]]:
        """The same, with the metadata of its file; neither where no run of this version has ended yet."""
        marker = self._marker(must_exist=True)
        # With the manifests, which the names of a file that was replaced a moment ago wait for.
        if marker is None or CURRENT_FILE not in self._contents.whole(marker.id, CURRENT.name, RUNS).records:
            return CURRENT.schema.empty_table(), {}
        try:
            table = decode(self._contents.read(marker.id, CURRENT_FILE))
            return joined([table], CURRENT), file_metadata(table.schema)
        except (pa.ArrowException, OSError) as exc:
            raise DatasetError(f"{self.storage.uri(CURRENT_FILE)}: cannot be read: {words_of(exc)}") from exc

    def feed(self) -> tuple[str, bytes]:
        """The id of the data set, and the bytes of its feed, none where it has none."""
        marker = self._marker(must_exist=True)
        if marker is None:
            raise DatasetError(f"{self.storage.location}: the next run makes it a data set of this version")
        return marker.id, self._contents.read(marker.id, FEED) if FEED in self.storage.files(RUNS) else b""

    def run_summary(self, run_id: str) -> pl.DataFrame:
        """The merged answers of one run, which may be one that has no manifest yet."""
        path = summary_path(run_id)
        try:
            return pl.DataFrame(joined([decode(self._read(path))], SUMMARY))
        except (DatasetError, pa.ArrowException, OSError) as exc:
            if path in self.storage.files(SUMMARY.name):
                raise DatasetError(f"{self.storage.uri(path)}: cannot be read: {words_of(exc)}") from exc
            # Merged with others, perhaps at this moment.
            return self.summary().filter(run_id=run_id).collect()

    def run_ids(self) -> list[str]:
        """The runs that wrote a manifest, in the order of their names."""
        marker = self._marker(must_exist=True)
        paths = self.storage.files(RUNS) if marker is None else self._contents.whole(marker.id, RUNS).records
        return sorted(path.removeprefix(f"{RUNS}/").removesuffix(".json") for path in paths if is_manifest(path))

    def runs(self) -> list[RunManifest]:
        """The manifests, oldest run first.

        Raises:
            DatasetError: a manifest cannot be read.
        """
        return sorted(map(self.run, self.run_ids()), key=lambda m: (m.started_at, m.run_id))

    def run(self, run_id: str) -> RunManifest:
        """The manifest of a run.

        Raises:
            DatasetError: it cannot be read.
        """
        if run_id in self._manifests:
            return self._manifests[run_id]
        name = manifest_path(run_id)
        try:
            manifest = self._manifests[run_id] = RunManifest.model_validate_json(self._read(name))
        except ValidationError as exc:
            first = exc.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise DatasetError(
                f"{self.storage.uri(name)}: not a manifest of this version: {place or 'all of it'}: {first['msg']}; "
                f"{way_out(self.storage)}"
            ) from exc
        return manifest

    def last_time(self, *, until: datetime | None = None) -> datetime | None:
        """The latest time that any row or manifest bears; None where there is none. Each run begins after it.

        Args:
            until: later ones do not count.
        """
        bound = until or datetime.max.replace(tzinfo=UTC)
        scored = self.answers().select(pl.col("scored_at").filter(pl.col("scored_at") <= bound).max()).collect().item()
        times = [time for run in self.runs() if (time := run.finished_at) <= bound]
        return max([*times, scored] if scored else times, default=None)

    def _read(self, path: str) -> bytes:
        marker = self._marker(must_exist=True)
        return self.storage.read(path) if marker is None else self._contents.read(marker.id, path)

    def _paths(self, table: Table, marks: str) -> list[str]:
        """The files of a table, each looked at: whole, and as it was written.

        Args:
            marks: the folder whose files say which of them a commit has come to.
        """
        marker = self._marker(must_exist=True)
        if marker is None:
            return old_table(self.storage, table) if self._is_old() else []
        for look in range(LOOKS):
            try:
                view = self._contents.whole(marker.id, *dict.fromkeys((table.name, marks)))
                paths = sorted(path for path in view.records if path.startswith(f"{table.name}/"))
                self._contents.check_bytes(view, paths)
                break
            except DatasetError:  # perhaps they were merged into others at this moment
                if look == LOOKS - 1:
                    raise
        return paths

    def _scan(self, table: Table, paths: Sequence[str]) -> pl.LazyFrame:
        if not paths:
            return empty_frame(table)
        return pl.scan_parquet(
            [self.storage.uri(path) for path in paths],
            glob=False,
            hive_partitioning=False,
            # Files that were written before or after a column came are read all the same.
            schema=empty_frame(table).collect_schema(),
            missing_columns="insert",
            extra_columns="ignore",
            **self.storage.scan_options,
        )

    def _marker(self, *, must_exist: bool = False) -> Marker | None:
        """The marker; None where there is nothing, or a data set of a version that knew none.

        Raises:
            DatasetError: what is there is no data set.
        """
        if not self.storage.exists():
            if must_exist:
                raise NoDatasetError(self.storage.location)
            return None
        marker = self._contents.marker()
        if marker is None and (foreign := first_foreign(self.storage.list(""))):
            raise refusal(self.storage, foreign, for_run=False)
        return marker

    def _is_old(self) -> bool:
        return looks_old(self.storage.list(""))
