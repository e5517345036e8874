"""Waiting for what other processes and threads do, with an end: a test that waits for ever hides what is wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 60.0
T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, *, seconds: float = SECONDS, pause: float = 0.005) -> T:
    """What the condition gives once it holds; fails where it does not in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for this: {what}"
        time.sleep(pause)
    return found


def exit_code(child: int, *, seconds: float = SECONDS) -> int:
    """That of a forked child; one that does not end in time is killed and fails the test."""
    ended: list[int] = []

    def has_ended() -> bool:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(ended)

    try:
        wait_for(has_ended, f"the end of child {child}", seconds=seconds)
    finally:
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return ended[0]
