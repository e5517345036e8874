"""Names below a root into open folders, without following a symbolic link on the way.

Each folder is opened from the one that holds it, so that nobody can put a link in between while it is used. The root
itself is wherever its path leads to.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.files import kind_of

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EMLINK})


@contextmanager
def opened(root: Path, folder: str, *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder below the root; "" is the root.

    Args:
        make: makes what is missing, and syncs the folders that hold it.

    Raises:
        DatasetError: a part of the name is a symbolic link or no folder.
        OSError: it cannot be opened or made.
    """
    try:
        fd = os.open(root, _FOLDER)
    except FileNotFoundError:
        if not make:
            raise
        make_root(root)
        fd = os.open(root, _FOLDER)
    try:
        path = root
        for part in filter(None, folder.split("/")):
            if part == "..":
                raise DatasetError(f"{root / folder}: leads out of {root}; was the data set changed by hand?")
            path /= part
            above, fd = fd, _descend(fd, part, path, make)
            os.close(above)
        yield fd
    finally:
        os.close(fd)


def make_root(path: Path) -> None:
    """Makes a folder and those that it lies in, and syncs what holds them."""
    if path.is_dir():
        return
    make_root(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Makes durable which names are in a folder."""
    fd = os.open(path, _FOLDER)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folders(root: Path, folders: Iterable[str]) -> None:
    """The same for folders below `root`, where they are there; no symbolic link is followed."""
    for folder in folders:
        with suppress(FileNotFoundError), opened(root, folder) as fd:
            os.fsync(fd)


def remove(fd: int, name: str, path: Path, *, below: bool) -> None:
    """Deletes a file, or a folder with all that is in it and nothing that links in it lead to.

    Args:
        below: whether it may be a folder.

    Raises:
        DatasetError: the name is a symbolic link, or a folder where a file is meant, which this program does not make.
        OSError: it is not there, or cannot be deleted.
    """
    mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and not below):
        raise linked(path, mode)
    if stat.S_ISDIR(mode):
        # Errors are ignored: a worker that outlived its run may be writing there; the next sweep comes by.
        shutil.rmtree(name, ignore_errors=True, dir_fd=fd)
    else:
        os.unlink(name, dir_fd=fd)


def refuse_link(path: Path) -> None:
    """Raises OSError where a path is a symbolic link, which something that opens by path would follow."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "a symbolic link, and none is followed here: delete the link", str(path))


def create(fd: int, name: str) -> int:
    """A new file in an open folder, to be written to."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o666, dir_fd=fd)
    except FileExistsError:
        # A killed writer's. Not emptied and used again: it could be another name of a file elsewhere.
        os.unlink(name, dir_fd=fd)
        return os.open(name, flags, 0o666, dir_fd=fd)


def linked(path: Path, mode: int = stat.S_IFLNK) -> DatasetError:
    """The refusal of what is no file or folder of this program's making."""
    what = kind_of(mode)
    if not stat.S_ISLNK(mode):
        return DatasetError(f"{path}: {what} where this program keeps something else; move it away")
    return DatasetError(
        f"{path}: {what}, and none is followed in here; put what it leads to in its place, or give another folder"
    )


def _descend(fd: int, part: str, path: Path, make: bool) -> int:
    flags = _FOLDER | os.O_NOFOLLOW
    try:
        return os.open(part, flags, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=fd)
        os.fsync(fd)
        return os.open(part, flags, dir_fd=fd)
    except OSError as exc:
        if exc.errno in _NOT_A_FOLDER:
            raise linked(path, os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode) from exc
        raise
