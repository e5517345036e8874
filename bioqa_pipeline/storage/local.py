"""Where a data set lies: whole files by name below one root, and the lock of its one writer.

`Storage` is all that the data set asks of a place; `LocalStorage` is a folder, `s3` holds the one for object
stores. Names are relative, with "/". Knows nothing about tables.

What `LocalStorage` guarantees, on a local POSIX file system: a name is either absent or a whole file; `publish` makes
a file appear at most once; what `publish` has returned for is on the disk (file and folder synced); the lock goes
when its holder dies, however it dies and whatever processes it leaves behind.
What it does not: disks that acknowledge what they have not written; network file systems, where flock may hold on one
host only (NFS mounted with `local_lock`, some FUSE mounts): one data set there is to be written from one host. Whoever
deletes `.lock` by hand while a writer runs stops that writer at its next commit.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.filelock import FileLock, Held
from bioqa_pipeline.storage.uri import place

_PARTIAL = ".part"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as a listing shows it.

    Attributes:
        size: in bytes; -1 for what is no plain file (a symbolic link, a socket).
        stamp: changes with the content.
    """

    size: int
    stamp: str


class Storage(Protocol):
    """The operations that a place for data sets needs; all raise DatasetError."""

    @property
    def location(self) -> str:
        """For messages: the path or URI of the root."""

    def exists(self) -> bool:
        """Whether there is anything at the root."""

    def create(self) -> None:
        """Makes the root ready to be written to."""

    def list(self, folder: str) -> list[str]:
        """Names of the entries of a folder, sorted, without the folder; unfinished files are not among them."""

    def files(self, folder: str) -> dict[str, Stored]:
        """All that lies below a folder and is no folder itself, by its name from the root, unfinished files too."""

    def uri(self, name: str) -> str:
        """What polars opens a file by, together with `scan_options`."""

    @property
    def scan_options(self) -> Mapping[str, Any]:
        """Keyword arguments for polars' `scan_parquet` and `read_parquet`."""

    def read(self, name: str) -> bytes:
        """A whole file."""

    def open(self, name: str) -> IO[bytes]:
        """A file to read parts of; to be closed."""

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Writes a file whole or not at all, over one that is there, and syncs it."""

    def publish(self, staged: str, name: str) -> bool:
        """Makes a written file appear under `name` unless something is there; says whether it did. Durable."""

    def delete(self, name: str) -> None:
        """Deletes a file, or a folder with all that is in it; nothing there is no error."""

    def lock(self, run_id: str, *, wait: bool) -> AbstractContextManager[Held]:
        """Holds the data set for one writer; see `filelock`."""


def storage_at(root: Path | str | Storage) -> Storage:
    """The storage of a data set's root; a storage is its own.

    Raises:
        DatasetError: the root is a URI of a kind that is not supported, or what it needs is not installed.
    """
    if not isinstance(root, Path | str):
        return root
    try:
        where = place(root)
    except ValueError as exc:
        raise DatasetError(str(exc)) from exc
    if isinstance(where, Path):
        return LocalStorage(where)
    try:
        from bioqa_pipeline.storage.s3 import ObjectStorage
    except ImportError as exc:
        raise DatasetError(f"{where}: object stores need one more package: pip install 'bioqa[s3]' ({exc})") from exc
    return ObjectStorage(where)


class LocalStorage:
    """A folder; see the module for what it guarantees."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def location(self) -> str:
        return str(self._root)

    def exists(self) -> bool:
        if self._root.exists() and not self._root.is_dir():
            raise DatasetError(f"{self._root}: not a folder; give the folder of a data set")
        return self._root.exists()

    def create(self) -> None:
        with _explained(self._root):
            _make_folder(self._root)

    def list(self, folder: str) -> list[str]:
        path = self._root / folder
        with _explained(path), suppress(FileNotFoundError):
            return sorted(entry.name for entry in path.iterdir() if not entry.name.endswith(_PARTIAL))
        return []

    def files(self, folder: str) -> dict[str, Stored]:
        if folder and (self._root / folder).is_symlink():
            raise DatasetError(
                f"{self._root / folder}: a symbolic link, which is not followed; put the folder itself here"
            )
        found: dict[str, Stored] = {}
        left = [folder]
        while left:
            below = left.pop()
            path = self._root / below
            with _explained(path), suppress(FileNotFoundError), os.scandir(path) as entries:
                for entry in entries:
                    name = f"{below}/{entry.name}" if below else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        left.append(name)
                    else:
                        with suppress(FileNotFoundError):
                            found[name] = _stored(entry.stat(follow_symlinks=False))
        return found

    def uri(self, name: str) -> str:
        return str(self._root / name)

    @property
    def scan_options(self) -> Mapping[str, Any]:
        return {}

    def read(self, name: str) -> bytes:
        path = self._root / name
        with _explained(path):
            return path.read_bytes()

    def open(self, name: str) -> IO[bytes]:
        path = self._root / name
        with _explained(path):
            return path.open("rb")

    def write(self, name: str, data: bytes | memoryview) -> None:
        path = self._root / name
        partial = path.with_name(path.name + _PARTIAL)
        with _explained(path):
            _make_folder(path.parent)
            try:
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise

    def publish(self, staged: str, name: str) -> bool:
        source, path = self._root / staged, self._root / name
        with _explained(path):
            _make_folder(path.parent)
            try:
                # A link, not a rename: a rename replaces what is there without a word.
                os.link(source, path)
            except FileExistsError:
                return False
            except OSError as exc:
                if exc.errno in _NO_LINKS:
                    raise DatasetError(
                        f"{path}: this file system has no hard links ({exc.strerror}), which commits need; "
                        "keep the data set on another and copy it here afterwards"
                    ) from exc
                raise
            _sync_folder(path.parent)
        return True

    def delete(self, name: str) -> None:
        path = self._root / name
        with _explained(path), suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                # Errors are ignored: a worker that outlived its run may be writing there; the next sweep comes by.
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()

    def lock(self, run_id: str, *, wait: bool) -> FileLock:
        return FileLock(self._root / ".lock", run_id, location=self.location, wait=wait)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """OSError as DatasetError with the path and the way out."""
    try:
        yield
    except FileNotFoundError as exc:
        raise DatasetError(f"{path}: {exc.filename} is gone; was the data set changed by hand?") from exc
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno in _FULL:
            raise DatasetError(
                f"{path}: no room to write ({reason}). What is committed is whole and stays; free some space or raise "
                "the quota and run again: only what is missing is scored"
            ) from exc
        raise DatasetError(f"{path}: {reason}; check that the folder may be read and written") from exc


def _stored(status: os.stat_result) -> Stored:
    stamp = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_ctime_ns}"
    return Stored(status.st_size if stat.S_ISREG(status.st_mode) else -1, stamp)


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
