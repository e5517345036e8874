"""How the stages of a run are executed: in this process, or wherever a subclass of `Executor` puts them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeVar

from bioqa_pipeline.config import ModelConfig
from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.qa.devices import visible_gpus
from bioqa_pipeline.run.preflight import resolve_model
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob

T = TypeVar("T")
F = TypeVar("F")
# Submitted and not yet taken back, for each worker: one that is scored, one that waits, is prepared or is written.
SHARDS_IN_FLIGHT = 2
# How long an interrupt may have to wait.
HEED_SECONDS = 0.2
# The stage that makes the run a part of the data set.
FINISH = "finish"


class Executor:
    """How stages are executed: here, one after the other, where a subclass does not say otherwise.

    Attributes:
        n_workers: processes that score, as far as that is known.
    """

    n_workers = 1

    @property
    def n_devices(self) -> int:
        """On how many devices they score, as far as that is known: those of this machine."""
        return min(self.n_workers, visible_gpus() or self.n_workers)

    def resolve(self, model: ModelConfig) -> ModelConfig:
        """Device and precision as they are where shards are scored; raises ConfigError."""
        return resolve_model(model)

    def stage(self, name: str, function: Callable[[], T]) -> T:
        """Calls a function of the flow's own process."""
        return function()

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Generator[ShardReport | ShardError]:
        """Scores all shards, in any order, until it is closed; one that fails gives its error in place of a report."""
        ended = threading.Event()

        def one(shard: ShardPlan) -> ShardReport | ShardError:
            def unless_ended(n_pairs: float) -> None:
                if ended.is_set():
                    raise ShardError("the run ended before it was scored", shard_id=shard.shard_id)
                progress(n_pairs)

            try:
                return job.score(shard, unless_ended)
            except ShardError as exc:
                return exc

        if not job.model.device.startswith("cuda"):
            yield from map(one, shards)
            return
        # A GPU would wait for what the processor does before and after (tests/benchmarks/NOTES.md).
        # Who leaves early, or interrupts the run, waits for no more than a batch.
        with ThreadPoolExecutor(SHARDS_IN_FLIGHT) as threads, ExitStack() as stack:
            stack.callback(ended.set)
            for outcome in in_flight(shards, lambda shard: threads.submit(one, shard), SHARDS_IN_FLIGHT):
                yield awaited(outcome)


def awaited(future: Future[T]) -> T:
    """Its result; Ctrl-C is heeded meanwhile, which one long wait may not: polars has SIGINT begin it anew."""
    while not wait([future], timeout=HEED_SECONDS).done:
        pass
    return future.result()


def in_flight(items: Iterable[T], submit: Callable[[T], F], limit: int) -> Iterator[F]:
    """What `submit` gave for each item, in their order, at most `limit` ahead of the consumer."""
    waiting: deque[F] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) == limit:
            yield waiting.popleft()
    yield from waiting
