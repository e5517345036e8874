"""Paths into regular files, opened: never a pipe that waits, a device or a folder, never more bytes than are wanted.

What is wrong is an OSError whose `strerror` says it in words, as for a file that cannot be read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
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


def open_fd(path: Path | str, flags: int, *, dir_fd: int | None = None) -> int:
    """A descriptor of a regular file, which is looked at before it is opened and again afterwards.

    Args:
        flags: for os.open; with O_CREAT the file may be absent, with O_NOFOLLOW a symbolic link is refused.
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
    fd = os.open(path, flags | _OPENING, 0o666, dir_fd=dir_fd)
    try:
        _check(os.fstat(fd).st_mode, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(mode: int, path: Path | str) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegularError(path, mode)
