"""A data set in a folder: whole files by name below one root, and the lock of its one writer. Knows nothing of tables.

What `LocalStorage` guarantees, on a local POSIX file system: a name is either absent or a whole file; `publish` makes
a file appear at most once; what `publish` has returned for is on the disk (file and folder synced); the lock goes
when its holder dies, however it dies and whatever processes it leaves behind; below the root no symbolic link is
followed, in no operation, and what is no regular file is not opened.
What it does not: polars opens what it scans by path, so a link that somebody puts there between `uri` and the scan is
followed, for reading; disks that acknowledge what they have not written; network file systems, where flock may hold on
one host only (NFS mounted with `local_lock`, some FUSE mounts): one data set there is to be written from one host.
Whoever deletes `.lock` by hand while a writer runs stops that writer at its next commit.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bioqa_pipeline.errors import DatasetError, NoDatasetError
from bioqa_pipeline.files import NotRegularError, open_fd
from bioqa_pipeline.storage.base import Stored
from bioqa_pipeline.storage.filelock import LOCK, FileLock, lock_fault
from bioqa_pipeline.storage.folder import create, linked, make_root, opened, remove, sync, sync_folders

_PARTIAL = ".part"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})


class LocalStorage:
    """A folder; see the module for what it guarantees.

    Args:
        root: its path, which may lead there through symbolic links: it is followed once, here.
    """

    def __init__(self, root: Path) -> None:
        self._named = root.absolute()
        self.location = str(self._named)
        self.scan_options: Mapping[str, Any] = {}
        self._root = Path(os.path.realpath(root))

    def exists(self) -> bool:
        with _explained(self._named):
            is_there = self._root.exists()
        if is_there and not self._root.is_dir():
            raise NoDatasetError(f"{self._named}", "not a folder; give the folder of a data set")
        return is_there

    def create(self) -> None:
        with _explained(self._named):
            make_root(self._root)

    def list(self, folder: str) -> list[str]:
        with (
            _explained(self._named / folder),
            suppress(FileNotFoundError),
            opened(self._root, folder) as fd,
            os.scandir(fd) as entries,
        ):
            return sorted(entry.name for entry in entries if not entry.name.endswith(_PARTIAL))
        return []

    def files(self, folder: str) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        left = [folder]
        while left:
            below = left.pop()
            with (
                _explained(self._named / below),
                suppress(FileNotFoundError),
                opened(self._root, below) as fd,
                os.scandir(fd) as entries,
            ):
                for entry in entries:
                    name = f"{below}/{entry.name}" if below else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        left.append(name)
                    else:
                        with suppress(FileNotFoundError):
                            found[name] = _stored(entry.stat(follow_symlinks=False))
        return found

    def uri(self, name: str) -> str:
        path = self._root / name
        with _explained(path), suppress(FileNotFoundError, NotADirectoryError):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise linked(path, mode)
        return str(path)

    def read(self, name: str) -> bytes:
        with self.open(name) as file, _explained(self._named / name):
            return file.read()

    def open(self, name: str) -> IO[bytes]:
        with self._at(name) as (fd, last):
            try:
                return os.fdopen(open_fd(last, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd), "rb")
            except NotRegularError as exc:
                raise linked(self._named / name, exc.mode) from exc

    def write(self, name: str, data: bytes | memoryview) -> None:
        with self._at(name, make=True) as (fd, last):
            partial = last + _PARTIAL
            try:
                with os.fdopen(create(fd, partial), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, last, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                with suppress(OSError):
                    os.unlink(partial, dir_fd=fd)
                raise

    def publish(self, staged: str, name: str) -> bool:
        with self._at(staged) as (source_fd, source), self._at(name, make=True) as (fd, last):
            self._check_own(source_fd, staged)
            try:
                # A link, not a rename: a rename replaces what is there without a word.
                os.link(source, last, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                return False
            except OSError as exc:
                if exc.errno in _NO_LINKS:
                    raise DatasetError(
                        f"{self._named / name}: this file system has no hard links ({exc.strerror}), which commits "
                        "need; keep the data set on another and copy it here afterwards"
                    ) from exc
                raise
            os.fsync(fd)
        return True

    def replace(self, staged: str, name: str) -> None:
        with self._at(staged) as (source_fd, source), self._at(name) as (fd, last):
            self._check_own(source_fd, staged)
            self._check_own(fd, name)
            os.replace(source, last, src_dir_fd=source_fd, dst_dir_fd=fd)
            os.fsync(fd)

    def move(self, name: str, target: str) -> bool:
        path = self._named / target
        (folder, _, last), (new_folder, _, new_last) = name.rpartition("/"), target.rpartition("/")
        with _explained(self._named / name), suppress(FileNotFoundError), opened(self._root, folder) as fd:
            os.stat(last, dir_fd=fd, follow_symlinks=False)
            with _explained(path), opened(self._root, new_folder, make=True) as new_fd:
                # A rename would replace what is there without a word.
                with suppress(FileNotFoundError):
                    os.stat(new_last, dir_fd=new_fd, follow_symlinks=False)
                    raise DatasetError(f"{path}: is there already; move it away")
                os.rename(last, new_last, src_dir_fd=fd, dst_dir_fd=new_fd)
                os.fsync(new_fd)
            os.fsync(fd)
            return True
        return False

    def delete(self, name: str, *, below: bool = False) -> None:
        path = self._named / name
        folder, _, last = name.rpartition("/")
        with _explained(path), suppress(FileNotFoundError), opened(self._root, folder) as fd:
            remove(fd, last, path, below=below)

    def delete_files(self, names: Collection[str]) -> None:
        for name in names:
            self.delete(name)
        with _explained(self._named):
            sync_folders(self._root, {name.rpartition("/")[0] for name in names})

    def settle(self, folders: Collection[str]) -> None:
        with _explained(self._named):
            sync(self._root.parent)
            sync_folders(self._root, {"", *folders})

    def lock(self, run_id: str, *, wait: bool) -> FileLock:
        return FileLock(self._root / LOCK, run_id, location=self.location, wait=wait)

    def lock_fault(self) -> str | None:
        return lock_fault(self._root / LOCK)

    @contextmanager
    def _at(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The folder that holds a file, opened, and the file's name in it."""
        folder, _, last = name.rpartition("/")
        with _explained(self._named / name), opened(self._root, folder, make=make) as fd:
            yield fd, last

    def _check_own(self, fd: int, name: str) -> None:
        path = self._named / name
        try:
            mode = os.stat(path.name, dir_fd=fd, follow_symlinks=False).st_mode
        except FileNotFoundError as exc:
            raise _gone(path) from exc
        if not stat.S_ISREG(mode):
            raise linked(path, mode)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """OSError as DatasetError with the path and the way out."""
    try:
        yield
    except FileNotFoundError as exc:
        raise _gone(path) from exc
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno in _FULL:
            raise DatasetError(
                f"{path}: no room to write ({reason}). What is committed is whole and stays; free some space or raise "
                "the quota and run again: only what is missing is scored"
            ) from exc
        raise DatasetError(f"{path}: {reason}; check that the folder may be read and written") from exc


def _gone(path: Path) -> DatasetError:
    return DatasetError(f"{path} is gone; was the data set changed by hand?")


def _stored(status: os.stat_result) -> Stored:
    stamp = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_ctime_ns}"
    return Stored(status.st_size if stat.S_ISREG(status.st_mode) else -1, stamp)
