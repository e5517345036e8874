"""How far a run is: for the flow run's log, its progress artifact and, where there is one, the terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from prefect.logging import get_run_logger

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.run.progress import Progress, Reporter, progress_text
from flows.artifacts import progress_artifact


class FlowReporter(Reporter):
    """A `Reporter` of the flow run that it is made in.

    Args:
        terminal: is told everything, too.
        show: takes (percent, text) of the stage that is under way.
    """

    def __init__(self, terminal: Reporter | None, show: Callable[[float, str], None]) -> None:
        self._terminal, self._show = terminal, show
        self._logger = get_run_logger()

    def say(self, text: str) -> None:
        """One line."""
        self._logger.info("%s", text)
        if self._terminal:
            self._terminal.say(text)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Progress]:
        """A stage of `total` steps."""
        started, done, lock = time.monotonic(), 0.0, threading.Lock()

        def text() -> str:
            return progress_text(name, done, total, unit, time.monotonic() - started)

        with self._terminal.stage(name, total, unit) if self._terminal else nullcontext() as terminal:

            def progress(steps: float) -> None:
                nonlocal done
                with lock:
                    done += steps
                    self._show(100.0 * done / max(total, 1), text())
                if terminal:
                    terminal(steps)

            yield progress
        self._show(100.0, text())
        self._logger.info("%s", text())


@contextmanager
def flow_reporter(config: RunConfig, terminal: Reporter | None) -> Iterator[FlowReporter]:
    """The reporter, with its artifact brought up to date for as long as this lasts."""
    with progress_artifact(config) as show:
        yield FlowReporter(terminal, show)
