"""How much work a call is, without a clock: the lines of Python that it runs; an end for calls that would not end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def lines_run(call: Callable[[], object]) -> int:
    """Lines of Python code that a call runs, in this thread; the same at each call, however busy the machine is."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


class TooMuchWorkError(BaseException):
    """A call took the processor for longer than could be right; no `except Exception` takes it for something else."""


@contextmanager
def ends(within_cpu_seconds: float = 20.0) -> Iterator[None]:
    """Breaks off what has taken so much of the processor's time, which a busy machine does not use up.

    Nothing is measured with it: what takes milliseconds where it is right takes minutes or hours where it is wrong.
    """
    assert threading.current_thread() is threading.main_thread(), "signals arrive in the main thread"

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooMuchWorkError(f"not done after {within_cpu_seconds:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, within_cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
