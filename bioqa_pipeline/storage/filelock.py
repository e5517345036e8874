"""One writer at a time, by flock on a file that also says who the writer is.

The kernel drops the lock when the last descriptor of it closes, so a killed writer frees it. A child must not keep such
a descriptor: O_CLOEXEC closes it in every child that executes a program, and a hook closes it in children of a bare
fork (multiprocessing "fork"), which would otherwise hold the lock for as long as they live.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, Self

from bioqa_pipeline.errors import DatasetError, DatasetLockedError
from bioqa_pipeline.files import NotRegularError, kind_of, open_fd
from bioqa_pipeline.storage.folder import linked

logger = logging.getLogger(__name__)

LOCK = ".lock"
POLL_SECONDS = 0.2
REMIND_SECONDS = 60.0
_READ_BYTES = 4096
# What every holder writes; a killed one may leave less, a lost power zeros.
_BEGINNING = b'{"run_id": '

_held_fds: set[int] = set()
# No fork happens between the opening of a descriptor and its being known here, nor between its end and its closing.
_fork_guard = threading.Lock()


def _close_in_child() -> None:
    for fd in _held_fds:
        os.close(fd)
    _held_fds.clear()
    _fork_guard.release()


os.register_at_fork(before=_fork_guard.acquire, after_in_parent=_fork_guard.release, after_in_child=_close_in_child)


def _close(fd: int) -> None:
    with _fork_guard:
        _held_fds.discard(fd)
        os.close(fd)


class Held(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Raises DatasetError where this process does not hold the lock (any more)."""


def wait_for(attempt: Callable[[], str | None], location: str, *, wait: bool, poll_seconds: float, advice: str) -> None:
    """Tries until the lock is ours; a waiting run says so once a minute.

    Args:
        attempt: takes the lock where it is free: None, or who holds it.

    Raises:
        DatasetLockedError: another holds it and `wait` is False; `advice` says what to do.
    """
    reminded = -REMIND_SECONDS
    while (holder := attempt()) is not None:
        message = f"{location}: another run writes this data set: {holder}"
        if not wait:
            raise DatasetLockedError(f"{message}; {advice}")
        if time.monotonic() - reminded >= REMIND_SECONDS:
            logger.warning("%s; waiting for its end", message)
            reminded = time.monotonic()
        time.sleep(poll_seconds)


class FileLock:
    """Holds the lock inside `with`; not to be entered twice.

    Args:
        path: the lock file; made where it is absent, never deleted. One that could be somebody else's file, as it is
            a link, has other names or says what this program does not write, is refused and left as it is.
        run_id: told to others that wait.
        location: the data set, for messages.
        wait: False raises DatasetLockedError where another holds the lock; True waits, and says so once a minute.
    """

    def __init__(self, path: Path, run_id: str, *, location: str, wait: bool) -> None:
        self._path = path
        self._run_id = run_id
        self._location = location
        self._wait = wait
        self._fd = -1
        self._pid = -1

    def __enter__(self) -> Self:
        wait_for(
            self._try,
            self._location,
            wait=self._wait,
            poll_seconds=POLL_SECONDS,
            advice="wait for its end, or stop it",
        )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pid != os.getpid():
            return
        self._pid = -1
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
        _close(self._fd)

    def check(self) -> None:
        """Raises DatasetError in a forked child, after the end of `with`, and where the lock file was replaced."""
        if self._pid != os.getpid():
            raise DatasetError(
                f"{self._location}: only the process that opened the writer can commit, while it is open"
            )
        if not self._is_current(self._fd):
            raise DatasetError(f"{self._path}: the lock file was deleted while run {self._run_id} wrote; run again")

    def _try(self) -> str | None:
        """Takes the lock where it is free: None, or who holds it."""
        while True:
            fd = self._open()
            try:
                _check_ours(fd, self._path)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(fd)
                _close(fd)
                return holder
            except OSError as exc:
                _close(fd)
                raise DatasetError(f"{self._path}: this file system cannot lock files: {exc.strerror}") from exc
            except DatasetError:
                _close(fd)
                raise
            if self._is_current(fd):
                self._fd, self._pid = fd, os.getpid()
                self._tell()
                return None
            _close(fd)

    def _open(self) -> int:
        try:
            with _fork_guard:
                fd = open_fd(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
                _held_fds.add(fd)
        except NotRegularError as exc:
            raise linked(self._path, exc.mode) from exc
        except OSError as exc:
            raise DatasetError(f"{self._path}: cannot open the lock file: {exc.strerror}") from exc
        return fd

    def _tell(self) -> None:
        holder = {
            "run_id": self._run_id,
            "pid": self._pid,
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        # A full disk keeps the message from others, not the lock from us.
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(holder).encode(), 0)

    def _is_current(self, fd: int) -> bool:
        """Whether the path still names the open file."""
        try:
            return os.path.samestat(os.fstat(fd), self._path.lstat())
        except FileNotFoundError:
            return False


def lock_fault(path: Path) -> str | None:
    """Why no writer can take a lock, whoever holds it; None where one can. Nothing is made or changed."""
    try:
        fd = open_fd(path, os.O_RDONLY | os.O_NOFOLLOW)
    except NotRegularError as exc:
        return f"{kind_of(exc.mode)} in the place of the lock file"
    except OSError:
        return None
    try:
        _check_ours(fd, path)
    except DatasetError as exc:
        return str(exc).removeprefix(f"{path}: ").partition(";")[0]
    finally:
        os.close(fd)
    return None


def _check_ours(fd: int, path: Path) -> None:
    said = os.pread(fd, _READ_BYTES, 0).strip(b"\0")
    if os.fstat(fd).st_nlink > 1:
        raise DatasetError(f"{path}: this file has other names, too; delete this one")
    if not (said.startswith(_BEGINNING) or _BEGINNING.startswith(said)):
        raise DatasetError(f"{path}: not a lock file of this program; move it away, or give another folder")


def _holder(fd: int) -> str:
    try:
        holder = json.loads(os.pread(fd, _READ_BYTES, 0))
        return f"run {holder['run_id']} (pid {holder['pid']} on {holder['host']}) since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said which"
