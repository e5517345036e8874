"""The executor that scores shards as Prefect tasks on a Ray cluster; everything else stays in the flow's own process.

Tasks get settings and paths. What they read and stage lies where every node finds it under the same path.
"""

from __future__ import annotations

import logging
import platform
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic_core import PydanticSerializationError

from bioqa_pipeline import __version__
from bioqa_pipeline.config import ModelConfig, RunConfig
from bioqa_pipeline.errors import ConfigError, ShardError
from bioqa_pipeline.qa.threads import limit_threads
from bioqa_pipeline.run.executor import SHARDS_IN_FLIGHT
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob
from flows.artifacts import data_set_asset
from flows.on_ray.cluster import (
    Share,
    ask_nodes,
    connected,
    describe_node,
    find_paths,
    living_nodes,
    raise_problems,
    share_of,
)
from flows.run_logs import library_logs_in_run
from flows.tasks import PrefectExecutor, shard_result

if TYPE_CHECKING:
    from prefect_ray import RayTaskRunner
    from prefect_ray.task_runners import PrefectRayFuture

logger = logging.getLogger(__name__)

# A shard whose worker or node died is scored again so often, elsewhere.
DEATHS_SURVIVED = 2
# A cluster's nodes may come and go; shards are cut for so many workers where none are asked for.
GUESSED_WORKERS = 16
# Without a shard done, and without a node that could do one.
WARN_SECONDS = 60.0

SHARE_THE_PATHS = (
    "all nodes have to find the data set, the abstracts (BIOQA_CACHE) and the model on a file system that they share, "
    "under the same paths"
)


@task(name="score", task_run_name="score-{shard.row_group}", cache_policy=NO_CACHE, persist_result=False, retries=1)
def score_on_ray(job: ScoringJob, shard: ShardPlan, n_threads: int) -> ShardReport:
    """Scores and stages one shard in a Ray worker, which keeps its model; scoring it twice commits it once."""
    limit_threads(n_threads)
    problems = find_paths(paths_of(job)).problems
    if problems:
        raise ShardError(
            f"node {socket.gethostname()}: {'; '.join(problems)}; {SHARE_THE_PATHS}", shard_id=shard.shard_id
        )
    with library_logs_in_run():
        return job.score(shard)


@flow(persist_result=False)
def sent_flow() -> None:
    """Goes to the workers in place of the flow that runs, of which they need nothing, and which cannot be pickled."""


@contextmanager
def ray_executor(config: RunConfig) -> Iterator[RayExecutor]:
    """The executor of a run, connected to its cluster; to be used in a flow run.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
    """
    with connected(config.ray_address, config.workers) as runner:
        yield RayExecutor(config, runner)


class RayExecutor(PrefectExecutor):
    """Scores on the nodes of the cluster that `runner` is connected to; the other stages run in the flow's process."""

    def __init__(self, config: RunConfig, runner: RayTaskRunner[Any]) -> None:
        super().__init__(GUESSED_WORKERS if config.workers == "auto" else config.workers, data_set_asset(config))
        self.workers = config.workers
        self.runner = runner

    @property
    def n_devices(self) -> int:
        return self.n_workers

    def resolve(self, model: ModelConfig) -> ModelConfig:
        """Device and precision as they are on the nodes, which have to agree.

        Raises:
            ConfigError: nodes without the device or the project, or that cannot reach the Prefect server.
        """
        has_gpus = any(node.get("GPU", 0) >= 1 for node in _resources())
        if model.device == "cuda" and not has_gpus:
            raise ConfigError("`device cuda`: the Ray cluster has no GPU; use `device cpu`")
        if model.device == "auto":
            model = model.changed(device="cuda" if has_gpus else "cpu")
        share = self.share(model.device)
        reports = ask_nodes(describe_node, share, model, __version__, platform.python_version(), _api_url())
        raise_problems(reports, "the run has not begun")
        found = sorted({r.precision for r in reports})
        if not found:
            raise ConfigError("no node of the Ray cluster is free to score; try again later")
        if len(found) > 1:
            raise ConfigError(
                f"`precision auto` would be {' on some nodes and '.join(found)} on others; name one, such as "
                "`precision fp32`"
            )
        return model.changed(precision=found[0])

    def share(self, device: str) -> Share:
        """What a shard is scored with, by the nodes that the cluster has now."""
        return share_of(_resources(), on_gpu=device.startswith("cuda"), workers=self.workers)

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Generator[ShardReport | ShardError]:
        job = _with_absolute_paths(job)
        share = self.share(job.model.device)
        raise_problems(ask_nodes(find_paths, share, paths_of(job)), SHARE_THE_PATHS)
        under_way: dict[Any, tuple[ShardPlan, PrefectRayFuture[ShardReport]]] = {}
        for shard in shards:
            while len(under_way) >= self._in_flight(share):
                yield self._next_done(under_way, share, progress)
            future = self._submit(job, shard, share)
            under_way[future.wrapped_future] = (shard, future)
        while under_way:
            yield self._next_done(under_way, share, progress)

    def _submit(self, job: ScoringJob, shard: ShardPlan, share: Share) -> PrefectRayFuture[ShardReport]:
        from prefect_ray.context import remote_options

        # Without max_calls=0 Ray ends a process with a GPU after each task, and the model with it.
        options = remote_options(num_cpus=share.n_cpus, num_gpus=share.n_gpus, max_calls=0, max_retries=DEATHS_SURVIVED)
        context = _flow_context().model_copy(update={"flow": sent_flow, "parameters": {}})
        # Workers find the flow's server, also where that is its own temporary one.
        with options, context, temporary_settings({PREFECT_API_URL: _api_url()}), _interrupts_as_themselves():
            return self.runner.submit(score_on_ray, {"job": job, "shard": shard, "n_threads": max(1, share.n_cpus)})

    def _in_flight(self, share: Share) -> int:
        """One that runs and one that waits behind it for each worker; as many as workers, where Ray had room for more.

        Counted anew each time: nodes come and go.
        """
        slots = share.slots(_resources())
        workers = slots if self.workers == "auto" else self.workers
        return workers if workers < slots else SHARDS_IN_FLIGHT * max(1, workers)

    def _next_done(
        self,
        under_way: dict[Any, tuple[ShardPlan, PrefectRayFuture[ShardReport]]],
        share: Share,
        progress: Progress,
    ) -> ShardReport | ShardError:
        import ray

        while not (done := ray.wait(list(under_way), num_returns=1, timeout=WARN_SECONDS)[0]):
            if not share.slots(_resources()):
                logger.warning("the Ray cluster has no node left that can score; waiting for one to join it")
        shard, future = under_way.pop(done[0])
        # Unlike result(), this turns the death of a worker into a state; a dead worker has told the server nothing.
        future.wait()
        if future.state.is_crashed():
            _record(future)
            reason = str(future.result(raise_on_failure=False)).strip().splitlines()[-1]
            return ShardError(f"its worker or node failed: {reason}", shard_id=shard.shard_id)
        result = shard_result(shard, future)
        progress(result.n_pairs if isinstance(result, ShardReport) else 0)
        return result


def paths_of(job: ScoringJob) -> list[Path]:
    """What a worker reads of a shared file system.

    The plan is below the data set: a node that sees it sees the data set of this very run. In an object store there is
    nothing to share.
    """
    model = Path(job.model.name)
    plan = [job.root / job.plan] if isinstance(job.root, Path) else []
    return [*plan, job.store_path, *([model] if model.is_absolute() else [])]


def _with_absolute_paths(job: ScoringJob) -> ScoringJob:
    """Workers have working directories of their own."""
    model = Path(job.model.name)
    if model.is_dir():
        job = replace(job, model=job.model.changed(name=str(model.absolute())))
    return replace(job, store_path=job.store_path.absolute())


def _resources() -> list[dict[str, float]]:
    """Of the nodes that the cluster has now."""
    return [node["Resources"] for node in living_nodes()]


@contextmanager
def _interrupts_as_themselves() -> Iterator[None]:
    """pydantic, by which Prefect writes down the context of each task, makes an error of its own of Ctrl-C."""
    try:
        yield
    except PydanticSerializationError as exc:
        cause: BaseException | None = exc
        while isinstance(cause, Exception):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise cause from None


def _record(future: PrefectRayFuture[ShardReport]) -> None:
    client = _flow_context().client
    assert isinstance(client, SyncPrefectClient), "to be used in a flow that is not async"
    try:
        client.set_task_run_state(future.task_run_id, future.state, force=True)
    except httpx.HTTPError as exc:
        logger.warning("Prefect's server has not taken the end of task run %s: %s", future.task_run_id, exc)


def _flow_context() -> FlowRunContext:
    context = FlowRunContext.get()
    assert context is not None, "to be used in a flow run"
    return context


def _api_url() -> str:
    """Of the server that the flow run is known to."""
    return str(_flow_context().client.api_url)
