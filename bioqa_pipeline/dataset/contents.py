"""What of the files in a folder or prefix belongs to the data set, by its log, and whether it is as it was written.

Files that the log does not name are passed over and named once in a warning. A file that it names and that is not
there, or whose size or bytes are others, is an error: no row of it is read.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bioqa_pipeline.dataset.log import Log, LogReader, Records
from bioqa_pipeline.dataset.manifest import FileRecord
from bioqa_pipeline.dataset.marker import MARKER, Marker, read_marker, way_out
from bioqa_pipeline.dataset.schemas import ANSWERS, LOG, PARQUET, REPLACED, RUNS
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.messages import first_few
from bioqa_pipeline.storage.base import Storage, Stored

logger = logging.getLogger(__name__)

# Listings and log are read one after the other while a writer goes on: what does not fit is looked at again.
LOOKS = 3
# What only a commit makes, and names in the log first.
_OF_COMMITS = re.compile(rf"{ANSWERS.name}/[0-9a-f]{{32}}{re.escape(PARQUET)}|{RUNS}/.*\.json")
NAMED = 3

# Files whose bytes this process has seen to be those of the log, by place, stamp and digest.
_seen_whole: set[tuple[str, str, str]] = set()
_warned: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class View:
    """Some folders of a data set at one moment.

    Attributes:
        present: what lies there.
        records: what belongs there, by path.
        foreign: what lies there and is not named by the log.
        missing: what the log names and is not there.
    """

    log: Log
    present: Mapping[str, Stored]
    records: Records
    foreign: tuple[str, ...]
    missing: tuple[str, ...]

    def fits(self, path: str) -> bool:
        """Whether a file of the data set has a size that it was written with."""
        return any(record.bytes == self.present[path].size for record in self.records[path])


class Contents:
    """The files of a data set that has a marker."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._log = LogReader(storage)

    def marker(self) -> Marker | None:
        """The marker, where there is one."""
        return read_marker(self._storage) if MARKER in self._storage.list("") else None

    def view(self, data_set: str, *folders: str, tolerant: bool = False) -> View:
        """What is in these folders. The log is read last: what a writer adds is in it before it is in them.

        Args:
            data_set: its id.
            tolerant: damaged entries of the log are not raised.
        """
        for _ in range(LOOKS):
            present = {name: stored for folder in folders for name, stored in self._storage.files(folder).items()}
            log = self._log.read(data_set, tolerant=tolerant)
            records = {p: r for p, r in log.records(present).items() if p.partition("/")[0] in folders}
            known = {*records, *log.named()}
            foreign = tuple(sorted(name for name in present if name not in known))
            missing = tuple(sorted(path for path in records if path not in present))
            view = View(log, present, records, foreign, missing)
            # What is replaced between listing and log has the size of before.
            fits = all(view.fits(path) for path in REPLACED if path in records and path in present)
            if fits and not missing and all((self._storage.location, name) in _warned for name in foreign):
                break
        return view

    def whole(self, data_set: str, *folders: str) -> View:
        """The same, with a warning of what is foreign.

        Raises:
            DatasetError: a file is not there, or has another size; or the log is gone, without which all are foreign.
        """
        view = self.view(data_set, *folders)
        if not view.log.entries and any(map(_OF_COMMITS.fullmatch, view.foreign)):
            raise DatasetError(f"{self._storage.uri(LOG)}: the log of this data set is gone; {way_out(self._storage)}")
        self.warn(view.foreign)
        for path in view.missing:
            place = self._storage.uri(path)
            raise DatasetError(f"{place}: this file of the data set is gone; {way_out(self._storage)}")
        for path in view.records:
            if not view.fits(path):
                raise self._damaged(path, f"{view.present[path].size} bytes in place of {view.records[path][0].bytes}")
        return view

    def warn(self, foreign: Collection[str]) -> None:
        """Names files that are not of the data set, each once in the life of a process."""
        new = [name for name in foreign if (self._storage.location, name) not in _warned]
        _warned.update((self._storage.location, name) for name in new)
        if new:
            names = first_few(list(map(repr, new)), NAMED)
            logger.warning("%s: %s: not of this data set, not read and left as it is", self._storage.location, names)

    def check_bytes(self, view: View, paths: Iterable[str]) -> None:
        """Reads files whole that this process has not seen whole yet, and compares digests.

        A store checks what it keeps by itself; reading everything from afar would cost what it weighs.

        Raises:
            DatasetError: the bytes of a file are not those that were written.
        """
        if self._storage.scan_options:
            return
        unseen = [path for path in paths if not self._is_seen(view, path)]
        if not unseen:
            return
        with ThreadPoolExecutor(max_workers=4) as pool:
            for path, digest in zip(unseen, pool.map(self.digest, unseen), strict=True):
                if all(digest != record.sha256 for record in view.records[path]):
                    raise self._damaged(path, "its bytes are not those that were written")
                _seen_whole.add((self._storage.uri(path), view.present[path].stamp, digest))

    def digest(self, path: str) -> str:
        """The SHA-256 of a file as it is now."""
        with self._storage.open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # no readinto in the stubs

    def read(self, data_set: str, path: str) -> bytes:
        """A whole file of the data set, its bytes compared with the log.

        Raises:
            DatasetError: they are others, or it is not of the data set.
        """
        # What is replaced between the two readings is looked at again.
        for _ in range(LOOKS if path in REPLACED else 1):
            data = self._storage.read(path)
            found = FileRecord.of(path, data).sha256
            log = self._log.read(data_set)
            records = [r for entry in log.entries.values() for r in entry.files if r.path == path]
            if not records:
                raise DatasetError(f"{self._storage.uri(path)}: not a file of this data set")
            if any(record.sha256 == found for record in records):
                return data
        raise self._damaged(path, "its bytes are not those that were written")

    def _is_seen(self, view: View, path: str) -> bool:
        place, stamp = self._storage.uri(path), view.present[path].stamp
        return any((place, stamp, record.sha256) in _seen_whole for record in view.records[path])

    def _damaged(self, path: str, what: str) -> DatasetError:
        return DatasetError(f"{self._storage.uri(path)}: damaged or changed by hand: {what}; {way_out(self._storage)}")
