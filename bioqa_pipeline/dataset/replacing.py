"""The files that each run puts in the place of those before: current answers, list of runs, feed.

A name has one file at any moment, the old one or the new one, and the log names both while it changes: each step leaves
what readers take. Before the run's manifest: an entry that waits for it, and files whose name was free. After it: the
other files, one by one; then the log forgets the old ones. A run that was killed in between leaves old files, which the
next one replaces.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from bioqa_pipeline.dataset.log import Log, LogEntry
from bioqa_pipeline.dataset.manifest import FileRecord
from bioqa_pipeline.dataset.marker import way_out
from bioqa_pipeline.dataset.schemas import REPLACED
from bioqa_pipeline.dataset.staging import stage
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Storage


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file of one of `schemas.REPLACED`, whole; `rows` is 0 for what is no table."""

    name: str
    data: bytes
    rows: int = 0

    @property
    def record(self) -> FileRecord:
        return FileRecord.of(self.name, self.data, self.rows)


class Replacing:
    """The steps for the files of one run, under the writer's lock."""

    def __init__(self, storage: Storage, data_set: str, run_id: str, log: Log, files: Sequence[Replacement]) -> None:
        self._storage, self._data_set, self._run_id = storage, data_set, run_id
        present = {name for file in files for name in storage.files(file.name.partition("/")[0])}
        named = [record for entry in log.entries.values() for record in entry.files]
        self._known = {file.name: [r for r in named if r.path == file.name] for file in files}
        for file in files:
            if file.name in present and not self._known[file.name]:
                raise DatasetError(
                    f"{storage.uri(file.name)}: a file that is not of this data set has the name of one of its own; "
                    f"{way_out(storage)}"
                )
        self._files = files
        self._first = [file for file in files if file.name not in present]
        self._others = [file for file in files if file.name in present]

    def entry(self, mark: str) -> LogEntry | None:
        """What the log has to say before anything else happens."""
        if not self._files:
            return None
        records = tuple(file.record for file in self._files)
        return LogEntry(data_set=self._data_set, run_id=self._run_id, mark=mark, files=records)

    def publish_first(self) -> None:
        """Files where there are none yet."""
        for file in self._first:
            if not self._storage.publish(stage(self._storage, self._run_id, file.data), file.name):
                raise DatasetError(f"{self._storage.uri(file.name)}: appeared at this moment; run again")

    def replace(self) -> list[FileRecord]:
        """The others; gives the records that hold no more."""
        for file in self._others:
            self._storage.replace(stage(self._storage, self._run_id, file.data), file.name)
        return [r for file in self._files for r in self._known[file.name] if r.sha256 != file.record.sha256]


def withdraw(storage: Storage, log: Log, mark: str, present: Collection[str]) -> Log:
    """Takes back what an interrupted step of a run named and did not bring: its manifest would have it hold.

    Args:
        mark: the run's manifest, which is not there yet.
        present: the files of the run's own folders.

    Returns:
        The log without that.
    """
    left = dict(log.entries)
    for name, entry in log.entries.items():
        paths = {record.path for record in entry.files}
        if entry.mark != mark or (paths.isdisjoint(REPLACED) and paths <= set(present)):
            continue
        del left[name]
        # Of files that take others' places, those are there already whose names were free.
        known = {record.path for other in left.values() for record in other.files}
        storage.delete_files(sorted(paths - known))
        storage.delete(name)
    return replace(log, entries=left)
