"""Which files belong to a data set: the entries of `_log`, each named after its own bytes.

    _log/intent-SHA256.json   files that are about to appear; it holds once `mark`, the last of them, is there
    _log/done-SHA256.json     files that are there, and records of files that are so no more

An entry is published, durably, before the files that it names. So a file that no entry names is somebody's, and an
intent whose mark is not there is what a kill left of a commit: the next writer deletes the files that it names, and it.
What holds of a run's intents is folded into one done entry when the run ends, so that readers open one entry a run and
not one a shard; when these become many they are folded into one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import Field, ValidationError

from bioqa_pipeline.dataset.manifest import FileRecord
from bioqa_pipeline.dataset.marker import FORMAT, later_format, way_out
from bioqa_pipeline.dataset.schemas import LOG, REPLACED
from bioqa_pipeline.errors import DatasetError, OtherVersionError
from bioqa_pipeline.setting_values import Frozen
from bioqa_pipeline.storage.base import Storage

ENTRY = re.compile(rf"{LOG}/(intent|done)-([0-9a-f]{{64}})\.json")

# Of an entry; that of a million files has half of it.
MAX_BYTES = 256 << 20

Records = dict[str, list[FileRecord]]


class LogEntry(Frozen):
    """Files that come, or came, together.

    Attributes:
        data_set: id of the data set; an entry of another, as copied folders bring it, says nothing here.
        run_id: the run that published it.
        mark: the path whose appearance has the entry hold; None where it holds.
        gone: records, of any entry, that hold no more once this one holds: their files were set aside, replaced, or
            merged into those of this entry.
    """

    format: int = Field(FORMAT, le=FORMAT)
    data_set: str
    run_id: str
    mark: str | None = None
    files: tuple[FileRecord, ...] = ()
    gone: tuple[FileRecord, ...] = ()

    def encode(self) -> tuple[str, bytes]:
        """Its name and its bytes."""
        data = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")).encode()
        kind = "intent" if self.mark else "done"
        return f"{LOG}/{kind}-{hashlib.sha256(data).hexdigest()}.json", data


@dataclass(frozen=True, slots=True)
class Log:
    """The log as it was at one moment: entries by name, and what else lies in its folder."""

    entries: Mapping[str, LogEntry] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def records(self, present: Collection[str]) -> Records:
        """What holds, by path, given the files that are there. A path can have several records that differ."""
        holding = [entry for entry in self.entries.values() if entry.mark is None or entry.mark in present]
        gone = {(r.path, r.sha256) for entry in holding for r in entry.gone}
        found: Records = {}
        for entry in holding:
            for record in entry.files:
                if (record.path, record.sha256) not in gone and record not in found.setdefault(record.path, []):
                    found[record.path].append(record)
        return {path: records for path, records in found.items() if records}

    def named(self) -> set[str]:
        """Every path that an intent names, whether it holds or not."""
        return {record.path for e in self.entries.values() if e.mark for record in (*e.files, *e.gone)}

    def folded(self, names: Iterable[str], present: Collection[str], run_id: str) -> LogEntry:
        """The entries of these names as one that holds."""
        chosen = {name: self.entries[name] for name in names}
        held = self.records(present)
        files = [r for entry in Log(chosen).entries.values() for r in entry.files if r in held.get(r.path, ())]
        gone = [r for entry in chosen.values() for r in entry.gone]
        if len(chosen) == len(self.entries):
            # Nothing is left that a record of what was replaced speaks of; of others manifests speak.
            gone = [r for r in gone if r.path not in REPLACED]
        data_set = next(entry.data_set for entry in chosen.values())
        return LogEntry(
            data_set=data_set, run_id=run_id, files=tuple(dict.fromkeys(files)), gone=tuple(dict.fromkeys(gone))
        )


class LogReader:
    """Reads the log again and again; an entry, which never changes, once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[str, LogEntry] = {}

    def read(self, data_set: str, *, tolerant: bool = False) -> Log:
        """The log of the data set with this id.

        Args:
            tolerant: damaged entries are named in the result and not raised.

        Raises:
            DatasetError: an entry is damaged.
        """
        entries: dict[str, LogEntry] = {}
        damaged: list[str] = []
        foreign: list[str] = []
        for name in sorted(self._storage.files(LOG)):
            if not ENTRY.fullmatch(name):
                foreign.append(name)
                continue
            try:
                entry = self._known.get(name) or read_entry(self._storage, name)
            except _VanishedError:
                continue
            if entry is None:
                damaged.append(name)
                continue
            self._known[name] = entry
            if entry.data_set == data_set:
                entries[name] = entry
            else:
                foreign.append(name)
        if damaged and not tolerant:
            raise DatasetError(
                f"{self._storage.uri(damaged[0])}: this entry of the log is damaged; {way_out(self._storage)}"
            )
        return Log(entries, tuple(damaged), tuple(foreign))


class _VanishedError(Exception):
    """An entry was folded into another since it was listed."""


def read_entry(storage: Storage, name: str) -> LogEntry | None:
    """An entry, or None where its bytes are not those that its name says.

    Raises:
        OtherVersionError: a later version of this program wrote it.
    """
    try:
        with storage.open(name) as file:
            data = file.read(MAX_BYTES)
    except DatasetError:
        present = storage.files(LOG)
        if name not in present:
            raise _VanishedError from None
        if present[name].size < 0:
            return None
        raise
    match = ENTRY.fullmatch(name)
    if match is None or hashlib.sha256(data).hexdigest() != match[2]:
        return None
    try:
        return LogEntry.model_validate_json(data)
    except ValidationError:
        if version := later_format(data):
            raise OtherVersionError(
                f"{storage.uri(name)}: format {version}, this program knows {FORMAT}; use a newer bioqa"
            ) from None
        return None
