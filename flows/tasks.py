"""Every Prefect task, and the executor that runs a job's stages as tasks.

Tasks take settings and paths, never frames: Prefect keeps the inputs of a task in memory. Its result cache is off: the
data set is the one source of truth, and Prefect's database can be deleted without loss.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from typing import TypeVar

from prefect import task
from prefect.assets import Asset, materialize
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture

from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.run.executor import FINISH, SHARDS_IN_FLIGHT, Executor, in_flight
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob
from bioqa_pipeline.run.workers import WorkerPool

T = TypeVar("T")

# A concurrency limit on this tag keeps runs on several machines from adding up their request rates.
NCBI_TAG = "ncbi"


@task(name="score", task_run_name="score-{shard.row_group}", cache_policy=NO_CACHE, persist_result=False, retries=1)
def score(job: ScoringJob, shard: ShardPlan, progress: Progress, pool: WorkerPool | None) -> ShardReport:
    """Scores and stages one shard, here or on a worker process; scoring it twice commits it once."""
    if pool is None:
        return job.score(shard, progress)
    report = pool.score(job, shard)
    progress(report.n_pairs)
    return report


class PrefectExecutor(Executor):
    """Runs the stages of a job as tasks of the flow run that it is used in.

    Args:
        n_workers: 1 scores in the flow's own process, more in as many processes.
        data_set: what the last stage brings up to date, for Prefect's account of assets.
    """

    def __init__(self, n_workers: int, data_set: Asset | None = None) -> None:
        self.n_workers = n_workers
        self.data_set = data_set

    def stage(self, name: str, function: Callable[[], T]) -> T:
        """Not retried as a whole: sources retry each request, and the other stages fail for good or not at all."""
        if name == FINISH and self.data_set:
            return materialize(self.data_set, by="bioqa", name=name, cache_policy=NO_CACHE, persist_result=False)(
                function
            )()
        tags = [NCBI_TAG] if name in {"search", "fetch"} else []
        return task(name=name, tags=tags, cache_policy=NO_CACHE, persist_result=False)(function)()

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Generator[ShardReport | ShardError]:
        with WorkerPool(self.n_workers) if self.n_workers > 1 else nullcontext() as pool:

            def submit(shard: ShardPlan) -> tuple[ShardPlan, PrefectFuture[ShardReport]]:
                return shard, score.submit(job, shard, progress, pool)

            for shard, future in in_flight(shards, submit, SHARDS_IN_FLIGHT * self.n_workers):
                yield shard_result(shard, future)


def shard_result(shard: ShardPlan, future: PrefectFuture[ShardReport]) -> ShardReport | ShardError:
    """Whatever became of the task; a crash, too, is this shard's failure alone."""
    result: object = future.result(raise_on_failure=False)
    if isinstance(result, ShardReport | ShardError):
        return result
    return ShardError(f"{type(result).__name__}: {result}", shard_id=shard.shard_id)
