"""Every Prefect task, and the executor that runs a job's stages as tasks.

Tasks take settings and paths, never frames: Prefect keeps the inputs of a task in memory. Its result cache is off: the
data set is the one source of truth, and Prefect's database can be deleted without loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture

from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.job import ScoringJob
from bioqa_pipeline.pipeline import Progress, ShardPlan, ShardReport

T = TypeVar("T")

# Submitted and not yet taken back: one that runs, one that waits behind it.
SHARDS_IN_FLIGHT = 2


@task(name="score", task_run_name="score-{shard.row_group}", cache_policy=NO_CACHE, persist_result=False, retries=1)
def score(job: ScoringJob, shard: ShardPlan, progress: Progress | None) -> ShardReport:
    """Scores and stages one shard; scoring it twice commits it once."""
    return job.score(shard, progress)


class PrefectExecutor:
    """Runs the stages of a job as tasks of the flow run that it is used in."""

    def stage(self, name: str, function: Callable[[], T]) -> T:
        """Not retried as a whole: sources retry each request, and the other stages fail for good or not at all."""
        return task(name=name, cache_policy=NO_CACHE, persist_result=False)(function)()

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Iterator[ShardReport | ShardError]:
        waiting: deque[tuple[ShardPlan, PrefectFuture[ShardReport]]] = deque()
        for shard in shards:
            waiting.append((shard, score.submit(job, shard, progress)))
            if len(waiting) == SHARDS_IN_FLIGHT:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())


def _result(shard: ShardPlan, future: PrefectFuture[ShardReport]) -> ShardReport | ShardError:
    """Whatever became of the task; a crash, too, is this shard's failure alone."""
    result: object = future.result(raise_on_failure=False)
    if isinstance(result, ShardReport | ShardError):
        return result
    return ShardError(f"{type(result).__name__}: {result}", shard_id=shard.shard_id)
