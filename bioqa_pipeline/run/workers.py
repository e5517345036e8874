"""Worker processes of one machine, each with a device of its own, that score shards. Knows nothing about Prefect.

A worker keeps its model for as long as it lives. One that dies takes only the shard that it was scoring with it, and is
replaced; one whose parent dies ends itself.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Self

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.qa.devices import visible_gpus
from bioqa_pipeline.qa.threads import limit_threads, thread_count
from bioqa_pipeline.run.executor import SHARDS_IN_FLIGHT, Executor, awaited, in_flight
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob
from bioqa_pipeline.run.worker_logs import LogChannel, forward_logs

logger = logging.getLogger(__name__)

# While one scores, the other prepares its shard or writes it (tests/benchmarks/NOTES.md).
WORKERS_OF_A_GPU = 2


def worker_count(config: RunConfig) -> int:
    """How many workers `workers` means here: "auto" is one on a CPU or a single GPU, else two for each GPU."""
    if config.workers != "auto":
        return config.workers
    n_gpus = visible_gpus() if config.model.device in {"auto", "cuda"} else 0
    return WORKERS_OF_A_GPU * n_gpus if n_gpus > 1 else 1


class Pooled(Executor):
    """Executor that scores on a pool of worker processes; a shard whose worker died is tried once more."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Generator[ShardReport | ShardError]:
        # The pool ends before the threads that wait for it, so that an interrupted run waits for no shard.
        with ThreadPoolExecutor(self.n_workers) as threads, WorkerPool(self.n_workers) as pool:

            def one(shard: ShardPlan, tries: int = 2) -> ShardReport | ShardError:
                try:
                    return pool.score(job, shard)
                except ShardError as exc:
                    return one(shard, tries - 1) if tries > 1 else exc

            for outcome in in_flight(shards, lambda s: threads.submit(one, s), SHARDS_IN_FLIGHT * self.n_workers):
                result = awaited(outcome)
                progress(result.n_pairs if isinstance(result, ShardReport) else 0)
                yield result


class WorkerPool:
    """`n_workers` processes; to be used with `with`.

    Each is pinned to a GPU, in turn, where the machine has GPUs, and takes its share of the cores. What it logs
    is handled here, as if it had been logged here.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._n_gpus = visible_gpus() or n_workers
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, ProcessPoolExecutor] = {}
        self._lifelines: dict[int, Connection] = {}
        self._logs: dict[int, LogChannel] = {}
        self._mutex = threading.Lock()
        self._is_ending = False
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(n_workers):
            self._free.put(number)

    def score(self, job: ScoringJob, shard: ShardPlan) -> ShardReport:
        """Scores a shard on the next free worker and waits for it; may be called from several threads.

        Raises:
            ShardError: the shard could not be scored, or its worker died, or the pool is ending.
        """
        number = self._free.get()
        try:
            return self._submit(number, job, shard).result()
        except (BrokenProcessPool, CancelledError) as exc:
            if self._is_ending:
                raise ShardError("the run ended before it was scored", shard_id=shard.shard_id) from exc
            with self._mutex:
                self._drop(number)
            logger.warning("worker %d died over shard %s and is replaced", number, shard.shard_id)
            raise ShardError("its worker process died (out of memory, or killed)", shard_id=shard.shard_id) from exc
        finally:
            self._free.put(number)

    def _submit(self, number: int, job: ScoringJob, shard: ShardPlan) -> Future[ShardReport]:
        with self._mutex:
            if self._is_ending:
                raise ShardError("the run ended before it was scored", shard_id=shard.shard_id)
            if number not in self._processes:
                self._processes[number] = self._start(number)
            # The process starts here and inherits the mask: Ctrl-C reaches all of a terminal's processes, and what
            # becomes of workers is this one's to say.
            with _sigint_blocked():
                return self._processes[number].submit(job.score, shard)

    def _start(self, number: int) -> ProcessPoolExecutor:
        self._logs[number] = channel = LogChannel(self._context, number)
        theirs, self._lifelines[number] = self._context.Pipe(duplex=False)
        level = logging.getLogger("bioqa_pipeline").getEffectiveLevel()
        return ProcessPoolExecutor(
            max_workers=1,
            mp_context=self._context,
            initializer=_start_worker,
            initargs=(number % self._n_gpus, thread_count() // self.n_workers, theirs, channel.writer, level),
        )

    def _drop(self, number: int) -> None:
        self._lifelines.pop(number).close()
        self._processes.pop(number).shutdown(wait=False, cancel_futures=True)
        self._logs.pop(number).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        with self._mutex:
            self._is_ending = True
            for number, process in list(self._processes.items()):
                if kind is None:
                    process.shutdown()
                self._drop(number)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(device: int, n_threads: int, lifeline: Connection, logs: Connection, level: int) -> None:
    """Runs in the new process before anything has touched a device."""
    forward_logs(logs, level)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _pin_gpu(device)
    limit_threads(max(1, n_threads))


def _pin_gpu(number: int) -> None:
    """Leaves the GPU of this number visible, which is then `cuda:0`; nothing where there are none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
        return
    devices = [name for name in visible.split(",") if name.strip()]
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]


def _end_with(lifeline: Connection) -> None:
    """Nothing is ever sent: the other end closes when the parent lets go of the worker, or dies, however it dies."""
    with suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(1)
