"""How a run says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

# Called with the steps that were done since the last call.
Progress = Callable[[float], None]


class Reporter(Protocol):
    """Where a run says how far it is."""

    def say(self, text: str) -> None: ...

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Progress]: ...


class SilentReporter:
    """Says nothing."""

    def say(self, text: str) -> None:
        pass

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda steps: None)
