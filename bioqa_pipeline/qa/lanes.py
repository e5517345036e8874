"""Batches side by side on a CPU, each computed by one thread from beginning to end. Knows nothing about networks.

Threads that share a product of matrices may share a sum, and where it is cut depends on their number and on the number
of rows: MKL cuts those of 1,536 terms from two threads on. What one thread computes alone has the same bits in every
job, and lanes wait for each other less than threads do.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

T = TypeVar("T")


class Lanes:
    """`n_lanes` threads that live as long as this object.

    Args:
        start: runs once in each thread, before anything is computed there.
    """

    def __init__(self, n_lanes: int, start: Callable[[], None]) -> None:
        self._threads = ThreadPoolExecutor(n_lanes, thread_name_prefix="lane", initializer=start)
        # A thread is started for each task only while none is idle.
        all_started = Barrier(n_lanes)
        for started in [self._threads.submit(all_started.wait) for _ in range(n_lanes)]:
            started.result()

    def begin(self, compute: Callable[[], T]) -> Callable[[], T]:
        """Computes in the next free lane; what is returned waits for the result, or raises what was raised there."""
        return self._threads.submit(compute).result
