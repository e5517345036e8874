"""Log records of a worker process into the process that started it, where every handler sees them."""

from __future__ import annotations

import logging
import threading
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext


class LogChannel:
    """One way from one worker to its parent.

    Each worker has its own: a process that is killed while it writes to a shared queue leaves the queue locked.
    """

    def __init__(self, context: SpawnContext, worker: int) -> None:
        self._reader, self.writer = context.Pipe(duplex=False)
        self._worker = worker
        self._thread = threading.Thread(target=self._receive, name=f"logs-of-worker-{worker}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Handles what has arrived and ends; what the worker logs later is dropped."""
        # The reader ends once the last writer is closed; a worker that still lives has another.
        self.writer.close()
        self._thread.join(timeout=1.0)

    def _receive(self) -> None:
        while True:
            try:
                record = self._reader.recv()
            except (EOFError, OSError):
                return
            except Exception:  # a record cut off by the worker's death
                logging.getLogger(__name__).debug("worker %d: a log record is broken", self._worker, exc_info=True)
                return
            record.processName = f"worker-{self._worker}"
            target = logging.getLogger(record.name)
            if target.isEnabledFor(record.levelno):
                target.handle(record)


class ForwardingHandler(QueueHandler):
    """The worker's side: sends every record; a parent that is gone is no error here, the worker ends by itself."""

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(record)  # type: ignore[attr-defined]  # a connection in the place of a queue


def forward_logs(writer: Connection, level: int) -> None:
    """Sends all that this process logs from `level` on to `writer`, and nowhere else."""
    root = logging.getLogger()
    root.handlers[:] = [ForwardingHandler(writer)]  # type: ignore[arg-type]
    root.setLevel(level)
