"""The main job on a Ray cluster of several nodes, all on this machine: rows, deaths, processes.

What starts Ray is slow, and skipped where Ray is not installed.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest

from bioqa_pipeline.config import RunConfig, SourceConfig
from bioqa_pipeline.errors import BioqaError, ConfigError, ShardError
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import RunResult, ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob, load_pair_scorer
from flows.commands.run import main
from flows.on_ray.cluster import NodeReport, Share, raise_problems, share_of
from support.dataset_rows import check_same_rows
from support.paths import ROOT
from support.small_runs import small_config
from support.waiting import wait_for

QUESTIONS = "What causes scurvy?\nWhich gene is mutated in cystic fibrosis?\nWho discovered insulin?\n"
INSTALL = "Ray is not installed: pip install -c constraints.txt prefect-ray ray"
# Ray's own, about sockets and files that it leaves to the end of the process.
QUIET = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def config(tmp_path: Path, model: Path) -> RunConfig:
    return small_config(tmp_path, model, QUESTIONS, source=SourceConfig(max_abstracts=10), shard_pairs=1)


def settings(config: RunConfig, **changes: object) -> RunConfig:
    return RunConfig.model_validate(config.model_dump() | changes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ray-address", "head:6379"], "needs --runner ray"),
        (["--runner", "ray", "--ray-address", "head"], "give auto, host:6379 or ray://host:10001"),
        (["--runner", "ray", "--device", "cuda:1"], "is one GPU"),
        (["--runner", "ray", "--no-prefect"], "leave --no-prefect away"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_words(
    options: list[str], words: str, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--questions", str(config.questions), "--out", str(config.out), *options]) == 2
    assert words in capsys.readouterr().err
    assert not config.out.exists()


def test_without_ray_the_way_to_install_it_is_said(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if "ray" in name else find(name, *a))
    assert main(["--questions", str(config.questions), "--out", str(config.out), "--runner", "ray"]) == 2
    said = capsys.readouterr().err
    assert "ray and prefect-ray is not installed; run pip install -c constraints.txt 'prefect-ray' 'ray'" in said


@pytest.mark.parametrize(
    ("workers", "share", "n_slots"),
    [
        ("auto", Share(n_cpus=4, n_gpus=0), 3),
        (2, Share(n_cpus=4, n_gpus=0), 3),
        (4, Share(n_cpus=2, n_gpus=0), 6),
        (100, Share(n_cpus=1, n_gpus=0), 12),
    ],
)
def test_equal_shares_of_unequal_nodes(workers: int | Literal["auto"], share: Share, n_slots: int) -> None:
    cpus = [{"CPU": 4.0}, {"CPU": 8.0}, {"memory": 1.0}]
    assert share_of(cpus, on_gpu=False, workers=workers) == share
    assert share.slots(cpus) == n_slots


@pytest.mark.parametrize(
    ("gpus", "share", "n_slots"),
    [
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 64.0}], Share(n_cpus=2, n_gpus=1), 6),
        ([{"CPU": 1.0, "GPU": 2.0}], Share(n_cpus=0, n_gpus=1), 2),
    ],
)
def test_a_share_of_a_node_with_gpus_is_one_of_them(gpus: list[dict[str, float]], share: Share, n_slots: int) -> None:
    assert share_of(gpus, on_gpu=True, workers="auto") == share
    assert share.slots(gpus) == n_slots


def test_what_nodes_complain_of_is_said_with_their_names() -> None:
    raise_problems([NodeReport("a")], "way out")
    reports = [NodeReport("a"), NodeReport("b", problems=("/x is not there", "/y is not there"))]
    with pytest.raises(ConfigError, match="node b: /x is not there; node b: /y is not there; way out"):
        raise_problems(reports, "way out")


# From here on with Ray.


@pytest.fixture(scope="module")
def ray() -> Any:
    # Before Ray is imported: its nodes are on loopback, and their processes find this file.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    for name in ("ray", "prefect_ray"):
        pytest.importorskip(name, reason=INSTALL)
    import ray

    return ray


@pytest.fixture
def new_cluster(ray: Any, prefect_server: None) -> Iterator[Callable[..., Any]]:
    """Makes a cluster of one node for each set of resources."""
    from ray.cluster_utils import Cluster

    clusters = []

    def make(*nodes: dict[str, int]) -> Any:
        cluster = Cluster()
        clusters.append(cluster)
        for resources in nodes:
            cluster.add_node(include_dashboard=False, **resources)
        return cluster

    yield make
    ray.shutdown()
    for cluster in clusters:
        cluster.shutdown()


@dataclass(frozen=True, slots=True)
class WatchedJob(ScoringJob):
    """A real job that leaves a note of who scored what: "begun-PID-ROWGROUP-TIME", "done-PID-ROWGROUP-LOADS-GPU"."""

    notes: Path
    fails: int = -1
    dies: int = -1

    def score(self, shard: ShardPlan, progress: Progress | None = None) -> ShardReport:
        (self.notes / f"begun-{os.getpid()}-{shard.row_group}-{time.monotonic_ns()}").touch()
        time.sleep(0.3)
        if shard.row_group == self.fails:
            raise ShardError("no", shard_id=shard.shard_id)
        if shard.row_group == self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        report = ScoringJob.score(self, shard, progress)
        loads = load_pair_scorer.cache_info().misses
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        (self.notes / f"done-{os.getpid()}-{shard.row_group}-{loads}-{gpu}").touch()
        return report


class Watched:
    """A Ray executor whose workers leave notes, and that calls `after` when so many shards are done."""

    def __init__(self, executor: Any, notes: Path, *, fails: int = -1, dies: int = -1, after: Any = None) -> None:
        self.executor, self.notes, self.fails, self.dies, self.after = executor, notes, fails, dies, after or {}
        self.resolve, self.stage = executor.resolve, executor.stage

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Iterator[ShardReport | ShardError]:
        values = {f.name: getattr(job, f.name) for f in fields(ScoringJob)}
        watched = WatchedJob(**values, notes=self.notes, fails=self.fails, dies=self.dies)
        for n_done, outcome in enumerate(self.executor.score(watched, shards, progress), start=1):
            if n_done in self.after:
                self.after[n_done]()
            yield outcome


def run_watched(config: RunConfig, notes: Path, *, executor_type: Any = None, **options: Any) -> RunResult:
    """A run as a flow whose shards are scored on the cluster."""
    from prefect import flow

    from flows.on_ray.executor import RayExecutor, ray_executor

    notes.mkdir(exist_ok=True)

    @flow(name="bioqa-test")
    def run_it() -> RunResult:
        with ray_executor(config) as executor:
            chosen = executor if executor_type is None else executor_type(config, executor.runner)
            assert isinstance(chosen, RayExecutor)
            return run_job(config, executor=Watched(chosen, notes, **options))

    return run_it()


def notes_of(folder: Path, kind: str) -> list[list[str]]:
    return [path.name.split("-")[1:] for path in sorted(folder.iterdir()) if path.name.startswith(kind)]


def check_rows_of_local_run(config: RunConfig, folder: Path) -> None:
    local = settings(config, out=folder / "local", runner="local", ray_address=None)
    run_job(local)
    check_same_rows(config.out, local.out)


@pytest.mark.slow
@QUIET
def test_a_deployments_flow_gives_the_rows_of_a_local_run(
    config: RunConfig, tmp_path: Path, new_cluster: Callable[..., Any]
) -> None:
    from prefect.flows import load_flow_from_entrypoint

    cluster = new_cluster({"num_cpus": 1}, {"num_cpus": 1}, {"num_cpus": 1})
    config = settings(config, runner="ray", ray_address=cluster.address, shard_pairs=4)
    manifest = load_flow_from_entrypoint(f"{ROOT}/flows/run.py:run")(config)
    assert manifest.status == "completed" and manifest.n_scored == manifest.n_pairs > 10
    check_rows_of_local_run(config, tmp_path)


@pytest.mark.slow
@QUIET
def test_a_node_killed_in_the_middle_costs_nothing(
    config: RunConfig, tmp_path: Path, new_cluster: Callable[..., Any]
) -> None:
    cluster = new_cluster({"num_cpus": 1}, {"num_cpus": 1}, {"num_cpus": 1})
    config = settings(config, runner="ray", ray_address=cluster.address)
    notes = tmp_path / "notes"
    lost: list[list[str]] = []

    def kill_a_node() -> None:
        raylets = {n.all_processes["raylet"][0].process.pid for n in cluster.worker_nodes}
        lost.append(wait_for(lambda: unfinished(notes, raylets) or [], "a shard that a worker has begun"))
        for pid in [parent(int(lost[0][0])), int(lost[0][0])]:
            os.kill(pid, signal.SIGKILL)

    result = run_watched(config, notes, after={6: kill_a_node})
    assert result.manifest.status == "completed" and not result.failures
    done = notes_of(notes, "done")
    [[dead, row_group, _]] = lost
    assert [row_group] == [note[1] for note in done if note[1] == row_group], "scored once, on another node"
    assert dead not in {note[0] for note in done if note[1] == row_group}
    assert {note[2] for note in done} == {"1"}, "each process loads the model once"
    assert len({note[0] for note in done}) == 3
    assert len(done) == result.manifest.n_scored == result.manifest.n_pairs
    assert task_states() == {"Completed"}
    check_rows_of_local_run(config, tmp_path)


def unfinished(notes: Path, raylets: set[int]) -> list[str] | None:
    """A note of a shard that a worker below one of the raylets has begun and not done."""
    done = {tuple(note[:2]) for note in notes_of(notes, "done")}
    begun = [n for n in notes_of(notes, "begun") if tuple(n[:2]) not in done and parent(int(n[0])) in raylets]
    return begun[0] if begun else None


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except FileNotFoundError:
        return -1


def task_states() -> set[str]:
    """Of the score tasks of the newest flow run, once Prefect's server knows all their ends."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    def ended() -> set[str]:
        with get_client(sync_client=True) as client:
            [newest] = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[newest.id])))
        names = {str(t.state_name) for t in found if t.name.startswith("score-")}
        return set() if names & {"Running", "Pending", "AwaitingRetry"} else names

    return wait_for(ended, "the ends of all tasks")


@pytest.mark.slow
@QUIET
def test_workers_keep_their_process_and_one_gpu_each(
    config: RunConfig, tmp_path: Path, new_cluster: Callable[..., Any]
) -> None:
    """Logical GPUs: Ray hands them out and sets CUDA_VISIBLE_DEVICES, the model runs on the CPU."""
    from flows.on_ray.executor import RayExecutor

    class OnGpus(RayExecutor):
        def share(self, device: str) -> Share:
            return super().share("cuda")

    cluster = new_cluster({"num_cpus": 2, "num_gpus": 2})
    config = settings(config, runner="ray", ray_address=cluster.address)
    result = run_watched(config, tmp_path / "notes", executor_type=OnGpus)
    assert result.manifest.status == "completed"
    done = notes_of(tmp_path / "notes", "done")
    assert len(done) == result.manifest.n_pairs > 20
    assert len({pid for pid, *_ in done}) == 2
    assert {(loads, gpu) for _, _, loads, gpu in done} == {("1", "0"), ("1", "1")}


@pytest.mark.slow
@QUIET
def test_shards_that_fail_or_kill_their_worker_cost_only_themselves(
    config: RunConfig, tmp_path: Path, new_cluster: Callable[..., Any]
) -> None:
    cluster = new_cluster({"num_cpus": 1}, {"num_cpus": 1}, {"num_cpus": 1})
    config = settings(config, runner="ray", ray_address=cluster.address)
    result = run_watched(config, tmp_path / "notes", fails=2, dies=5)
    assert result.manifest.status == "partial"
    assert result.manifest.n_scored == result.manifest.n_pairs - 2
    assert len(result.failures) == 2
    assert sum("died" in failure for failure in result.failures) == 1
    tries = [note[1] for note in notes_of(tmp_path / "notes", "begun")]
    assert tries.count("2") == 2, "one retry of Prefect's"
    assert tries.count("5") == 3, "two retries of Ray's"
    assert task_states() == {"Completed", "Failed", "Crashed"}


@pytest.mark.slow
@QUIET
def test_nodes_that_cannot_score_are_named_before_anything_is_scored(
    config: RunConfig, tmp_path: Path, new_cluster: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.on_ray.executor

    cluster = new_cluster({"num_cpus": 1})
    config = settings(config, runner="ray", ray_address=cluster.address)
    with pytest.raises(ConfigError, match="the Ray cluster has no GPU; use `device cpu`"):
        run_watched(settings(config, model=config.model.model_copy(update={"device": "cuda"})), tmp_path / "notes")
    with monkeypatch.context() as patch:
        patch.setattr(flows.on_ray.executor, "__version__", "0.0.1")
        with pytest.raises(ConfigError, match=r"node \S+: bioqa is \S+ there and 0\.0\.1 here"):
            run_watched(config, tmp_path / "notes")
    paths_of = flows.on_ray.executor.paths_of
    with monkeypatch.context() as patch:
        patch.setattr(flows.on_ray.executor, "paths_of", lambda job: [*paths_of(job), tmp_path / "elsewhere"])
        with pytest.raises(ConfigError, match=r"node \S+: \S+/elsewhere is not there; all nodes have to find"):
            run_watched(config, tmp_path / "notes")
    assert not list((tmp_path / "notes").iterdir())


@pytest.mark.slow
def test_a_ray_of_our_own_listens_on_loopback_and_leaves_no_token_behind(ray: Any, tmp_path: Path) -> None:
    program = """
import psutil
from flows.on_ray.cluster import connected
with connected(None, 3) as runner:
    import ray
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    assert ray.cluster_resources()["CPU"] >= 3
    found = [c.laddr.ip for p in psutil.Process().children(recursive=True) for c in p.net_connections()
             if c.status == psutil.CONN_LISTEN]
    print("listening", len(found), sorted(set(found)))
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("listening")]
    _, count, addresses = line.split(maxsplit=2)
    assert int(count) > 3
    assert set(ast.literal_eval(addresses)) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert not (tmp_path / ".ray").exists()


@pytest.mark.slow
@QUIET
def test_an_address_without_ray_is_said_at_once(config: RunConfig, ray: Any, prefect_server: None) -> None:
    from flows.run import run

    with pytest.raises(BioqaError, match=r"`ray_address 127\.0\.0\.1:9`: no Ray cluster answers there"):
        run(settings(config, runner="ray", ray_address="127.0.0.1:9"))
