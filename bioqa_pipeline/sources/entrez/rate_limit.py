"""Requests into permission to send them: at most `limit` in any second, over all threads and processes of a user.

A request holds one of `limit` slots from before it is sent until a second after its answer came. It reaches the service
somewhere in between, so two requests of one slot arrive at least a second apart, however slow the network is, and no
second sees more than `limit`. The slots stand in a file under flock; its times are of the monotonic clock, which all
processes of a machine share and which nobody sets. Other users, and whoever has another temporary folder (containers,
systemd units with PrivateTmp), have files and a rate of their own. Knows nothing about HTTP.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.files import open_fd

WINDOW_SECONDS = 1.02  # a second by a clock that runs a little faster than ours
POLL_SECONDS = 0.05
LOST_AFTER_SECONDS = 300.0
MAX_PAUSE_SECONDS = 3600.0
MOST_SLOTS = 1000


@dataclass(slots=True)
class _Slot:
    token: str
    pid: int
    granted: float
    released: float | None = None


@dataclass(slots=True)
class _State:
    """What the file says. `limit` is what the service told last, where that is less than the configured one."""

    slots: list[_Slot] = field(default_factory=list)
    limit: int | None = None
    paused_until: float = 0.0

    def tidy(self, now: float) -> None:
        """Drops slots that are over; times from before a restart of the machine count as just now."""
        for slot in self.slots:
            lost = not _is_alive(slot.pid) or not 0 <= now - slot.granted <= LOST_AFTER_SECONDS
            if (slot.released is None and lost) or (slot.released is not None and slot.released > now):
                slot.released = now
        self.slots = [s for s in self.slots if s.released is None or now - s.released < WINDOW_SECONDS]
        if self.paused_until > now + MAX_PAUSE_SECONDS:
            self.paused_until = 0.0

    def seconds_to_wait(self, now: float, limit: int) -> float:
        """0 where a slot is free."""
        if self.paused_until > now:
            return self.paused_until - now
        if len(self.slots) < limit:
            return 0.0
        ends = sorted(s.released + WINDOW_SECONDS - now for s in self.slots if s.released is not None)
        needed = len(self.slots) - limit
        return max(ends[needed], 0.001) if needed < len(ends) else POLL_SECONDS


class RateLimiter:
    """The limit of one service; cheap to make, shared through its file.

    Args:
        path: the file; made where it is absent. Its folder must be there.
        limit: requests a second.
    """

    def __init__(self, path: Path, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a limit of {limit} requests a second lets nothing through")
        self.path = path
        self.limit = limit

    def acquire(self) -> str:
        """Waits for a slot; the token is for `release`, which must follow.

        Raises:
            SourceError: the file cannot be used.
        """
        token = secrets.token_hex(4)
        while True:
            with self._state() as state:
                now = time.monotonic()
                state.tidy(now)
                wait = state.seconds_to_wait(now, min(self.limit, state.limit or self.limit))
                if not wait:
                    state.slots.append(_Slot(token, os.getpid(), now))
                    return token
            time.sleep(wait)

    def release(self, token: str, *, told_limit: int | None = None, told_remaining: int | None = None) -> None:
        """The answer came, or will not come any more.

        Args:
            told_limit, told_remaining: what the service said of its limit and of what is left of it. Requests that it
                counted beyond ours are other programs' and take slots as well.
        """
        with self._state() as state:
            now = time.monotonic()
            state.tidy(now)
            for slot in state.slots:
                if slot.token == token:
                    slot.released = now
            if told_limit is None or told_limit < 1:
                return
            state.limit = min(told_limit, self.limit)
            if told_remaining is not None:
                # More slots than there are to give would hold nobody up for longer.
                others = min(told_limit - told_remaining, state.limit) - len(state.slots)
                state.slots += [_Slot("", os.getpid(), now, now) for _ in range(others)]

    def pause(self, seconds: float) -> None:
        """Nobody sends for so long."""
        with self._state() as state:
            until = time.monotonic() + min(seconds, MAX_PAUSE_SECONDS)
            state.paused_until = max(state.paused_until, until)

    @contextmanager
    def _state(self) -> Iterator[_State]:
        try:
            fd = open_fd(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode=0o600)
        except OSError as exc:
            raise _unusable(self.path, exc.strerror or str(exc)) from exc
        try:
            # Unlocked by name and not by closing alone: a child forked meanwhile has a copy of the descriptor.
            fcntl.flock(fd, fcntl.LOCK_EX)
            state = self._read(fd)
            yield state
            self._write(fd, state)
        except OSError as exc:
            raise _unusable(self.path, exc.strerror or str(exc)) from exc
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _read(self, fd: int) -> _State:
        raw = os.pread(fd, 1 << 20, 0)
        if not raw:
            return _State()
        try:
            content = json.loads(raw)
            slots = [
                _Slot(str(s[0]), int(s[1]), float(s[2]), None if s[3] is None else float(s[3])) for s in content[0]
            ]
            limit = None if content[1] is None else min(max(1, int(content[1])), self.limit)
            return _State(slots[-MOST_SLOTS:], limit, float(content[2]))
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError):
            # Its writer was killed: what it had granted is not known, so a whole second's requests may be out.
            now = time.monotonic()
            return _State([_Slot("", os.getpid(), now, now) for _ in range(self.limit)])

    def _write(self, fd: int, state: _State) -> None:
        slots = [[s.token, s.pid, s.granted, s.released] for s in state.slots]
        raw = json.dumps([slots, state.limit, state.paused_until]).encode()
        os.pwrite(fd, raw, 0)
        os.ftruncate(fd, len(raw))


def private_folder() -> Path:
    """A folder for such files in the machine's temporary folder, of this user only.

    Raises:
        SourceError: its name is another user's, or a link.
    """
    path = Path(tempfile.gettempdir()) / f"bioqa-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            is_ours = os.fstat(fd).st_uid == os.getuid()
            if is_ours:
                # Whoever may write here could put other files in place of ours.
                os.fchmod(fd, 0o700)
        finally:
            os.close(fd)
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc)) from exc
    if not is_ours:
        raise _unusable(path, "it belongs to another user")
    return path


def _unusable(path: Path, reason: str) -> SourceError:
    return SourceError(
        f"{path}: what keeps the request rate cannot be used: {reason}; set the environment variable TMPDIR to a "
        "folder of yours on a local disk"
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
