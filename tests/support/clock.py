"""Time that passes by sleeping alone, so that no test waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest


class SimulatedClock:
    """In place of the module `time`: sleeping moves it, and does on the way what was set for a moment."""

    def __init__(self) -> None:
        self.now = self.started = 1000.0
        self._later: list[tuple[float, int, Callable[[], object]]] = []

    @property
    def passed(self) -> float:
        return self.now - self.started

    def at(self, moment: float, action: Callable[[], object]) -> None:
        """Sets an action for a moment to come."""
        heapq.heappush(self._later, (moment, len(self._later), action))

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self._later and self._later[0][0] <= until:
            moment, _, action = heapq.heappop(self._later)
            self.now = max(self.now, moment)
            action()
        self.now = max(self.now, until)


@contextmanager
def simulated_time(*modules: ModuleType) -> Iterator[SimulatedClock]:
    """The clock in place of `time` in some modules."""
    clock = SimulatedClock()
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "time", clock)
        yield clock
