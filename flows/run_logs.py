"""What the library logs, in the log of the flow run that it works for, from any thread and worker process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from bioqa_pipeline.errors import BioqaError
from bioqa_pipeline.messages import shown

LIBRARY = "bioqa_pipeline"
# Where Prefect logs what a flow or a task raised, with the whole way there.
RAISED = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")


class OneLineErrors(logging.Filter):
    """What is raised on purpose says what is wrong and what to do: its line is logged, once, not the way to it."""

    _logged: BioqaError | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        exc = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(exc, BioqaError):
            # By the flow as it ends, and by its process once more, under the name that the run had before it began.
            if exc is self._logged:
                return False
            self._logged = exc
            record.msg, record.args = "%s", (f"{type(exc).__name__}: {shown(str(exc))}",)
            record.exc_info = record.exc_text = None
        return True


def log_errors_in_one_line() -> None:
    """For as long as the process lasts: some of it is logged when the flow has ended."""
    for name in RAISED:
        logger = logging.getLogger(name)
        if not any(isinstance(kept, OneLineErrors) for kept in logger.filters):
            logger.addFilter(OneLineErrors())


class RunLogHandler(logging.Handler):
    """Passes records on to the logger of the run that it was made in."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._logger = get_run_logger()

    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.processName}: " if str(record.processName).startswith("worker-") else ""
        self._logger.log(record.levelno, "%s%s", prefix, shown(self.format(record)))


@contextmanager
def library_logs_in_run() -> Iterator[None]:
    """While it lasts, the library's log goes to this flow run's and from there to the console."""
    library, handler = logging.getLogger(LIBRARY), RunLogHandler()
    level, propagate = library.level, library.propagate
    library.addHandler(handler)
    # A warning would be printed twice otherwise.
    library.propagate = False
    library.setLevel(logging.INFO)
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.propagate = propagate
        library.setLevel(level)
