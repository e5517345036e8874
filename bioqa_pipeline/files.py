"""Paths that somebody names into regular files, opened, and into bytes, of which there is a bound.

Never a device, a folder or a pipe, which can wait or go on for ever; where a pipe is meant, it has its own bounds. What
is wrong is an OSError whose `strerror` says it in words, as for any file that cannot be read.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import time
from pathlib import Path

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Bytes of a file of settings or of a line or two.
SMALL = 1 << 20
# A pipe may be silent for so long, and take so long in all.
SILENT_SECONDS = 60.0
PIPE_SECONDS = 600.0
_CHUNK_BYTES = 1 << 16
# A pipe that nobody writes to would be waited for.
_OPENING = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NotRegularError(OSError):
    """Something else is there: `mode` says what."""

    def __init__(self, path: Path | str, mode: int) -> None:
        super().__init__(errno.EINVAL, f"it is {kind_of(mode)}, not a regular file", str(path))
        self.mode = mode


def kind_of(mode: int) -> str:
    """What a file is, by the mode that stat gives."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def check_regular(path: Path) -> None:
    """Raises OSError where a path is a link or anything but a regular file; for what others open by path."""
    _check(path.lstat().st_mode, path)


def open_fd(path: Path | str, flags: int, *, mode: int = 0o666, dir_fd: int | None = None) -> int:
    """A descriptor of a regular file, which is looked at before it is opened and again afterwards.

    Args:
        flags: for os.open; with O_CREAT the file may be absent, with O_NOFOLLOW a symbolic link is refused.
        mode: of a file that is made, less the umask.
        dir_fd: of the folder that a relative path is below.

    Raises:
        NotRegularError: it is something else.
        OSError: it cannot be opened.
    """
    try:
        # Opening alone can do something to a device.
        _check(os.stat(path, dir_fd=dir_fd, follow_symlinks=not flags & os.O_NOFOLLOW).st_mode, path)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    fd = os.open(path, flags | _OPENING, mode, dir_fd=dir_fd)
    try:
        _check(os.fstat(fd).st_mode, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_file(path: Path) -> io.BufferedReader:
    """A regular file to read from, as a link to one may be.

    Raises:
        OSError: it is something else, or cannot be opened.
    """
    return os.fdopen(open_fd(path, os.O_RDONLY), "rb")


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """All of a regular file.

    Raises:
        OSError: it is something else, cannot be read, or has more bytes than that.
    """
    with open_file(path) as file:
        return _bounded(file.read(max_bytes + 1), path, max_bytes)


def read_own(path: Path, *, max_bytes: int) -> bytes:
    """The same of a file that this program writes itself, so that a link is not followed."""
    with os.fdopen(open_fd(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return _bounded(file.read(max_bytes + 1), path, max_bytes)


def read_file_or_pipe(path: Path, *, max_bytes: int) -> bytes:
    """The same; or all that comes through a pipe until its writer closes it, which cannot be read again.

    Raises:
        OSError: the same; or the pipe is not closed in time.
    """
    if not stat.S_ISFIFO(path.stat().st_mode):
        return read_file(path, max_bytes=max_bytes)
    fd = os.open(path, os.O_RDONLY | _OPENING)
    try:
        return _bounded(_read_pipe(fd, path, max_bytes), path, max_bytes)
    finally:
        os.close(fd)


def read_descriptor(fd: int, *, max_bytes: int) -> bytes:
    """All that comes through an open descriptor: of a file, a pipe, or a terminal, for which nobody is hurried.

    Raises:
        OSError: it is not open, is a folder, is not closed in time, or has more bytes than that.
    """
    mode = os.fstat(fd).st_mode
    what = "standard input" if fd == 0 else f"descriptor {fd}"
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return _bounded(_read_pipe(fd, what, max_bytes), what, max_bytes)
    with os.fdopen(fd, "rb", closefd=False) as file:
        return _bounded(file.read(max_bytes + 1), what, max_bytes)


def _read_pipe(fd: int, path: Path | str, max_bytes: int) -> bytes:
    end = time.monotonic() + PIPE_SECONDS
    readable = select.poll()
    readable.register(fd, select.POLLIN)
    data = bytearray()
    while len(data) <= max_bytes:
        seconds = min(SILENT_SECONDS, end - time.monotonic())
        if seconds <= 0 or not readable.poll(seconds * 1000):
            raise OSError(errno.ETIMEDOUT, "nobody writes to this pipe, or closes it, in time", str(path))
        part = os.read(fd, _CHUNK_BYTES)
        if not part:
            break
        data += part
    return bytes(data)


def _bounded(data: bytes, path: Path | str, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", str(path))
    return data


def _check(mode: int, path: Path | str) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegularError(path, mode)
