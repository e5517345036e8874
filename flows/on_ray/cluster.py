"""A Ray cluster, started here or joined: what its nodes have, and whether they can score a job.

Ray is imported only once it is asked for; it is an extra of the project. Knows nothing about Prefect's tasks.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec
from urllib.parse import urlsplit

from bioqa_pipeline import __version__
from bioqa_pipeline.config import ModelConfig
from bioqa_pipeline.errors import BioqaError, ConfigError
from bioqa_pipeline.qa.threads import core_count
from bioqa_pipeline.run.preflight import resolve_model
from flows.on_ray.requirements import require_ray

if TYPE_CHECKING:
    from prefect_ray import RayTaskRunner

logger = logging.getLogger(__name__)

P = ParamSpec("P")

CONNECT_SECONDS = 10.0
# Until a node has started a process, imported torch and answered; one whose resources others hold answers later.
ANSWER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Share:
    """What one shard is scored with."""

    n_cpus: int
    n_gpus: int

    def slots(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Shards that nodes with these resources score at once."""
        if self.n_gpus:
            return sum(int(node.get("GPU", 0)) for node in nodes)
        return sum(int(node.get("CPU", 0)) // self.n_cpus for node in nodes)


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node says of itself: device and precision as they are there, and what keeps it from scoring."""

    host: str
    device: str = ""
    precision: str = ""
    problems: tuple[str, ...] = ()


@contextmanager
def connected(address: str | None, n_workers: int | Literal["auto"]) -> Iterator[RayTaskRunner[Any]]:
    """Prefect's task runner on a Ray cluster; None starts one on this machine and ends it afterwards.

    A Ray that is started here listens on loopback only, asks for a token that nobody else has, and reports no usage.

    Args:
        n_workers: so many find a core each on a Ray that is started here.

    Raises:
        ConfigError: nothing answers at the address.
    """
    require_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        runner = _own_ray(n_workers)
    else:
        _check_reachable(address)
        runner = _runner({"address": address})
    try:
        with _sigterm_kept():
            runner.__enter__()
    except (ConnectionError, RuntimeError, ValueError) as exc:
        where = "a Ray on this machine cannot be started" if address is None else f"`ray_address {address}`"
        raise ConfigError(f"{where}: {exc}") from exc
    try:
        yield runner
    finally:
        runner.__exit__(None, None, None)


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray takes the signal for itself and would end the process before the run has written how it ended."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _own_ray(n_workers: int | Literal["auto"]) -> RayTaskRunner[Any]:
    # Ray takes an address other than loopback, and listens there, unless it is told that it is on such a system.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        # In the environment of Ray's processes alone; Ray's own way is a file in the home directory.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    n_cores = core_count() if n_workers == "auto" else max(core_count(), n_workers)
    return _runner({"address": "local", "num_cpus": n_cores, "include_dashboard": False})


def _runner(init: dict[str, Any]) -> RayTaskRunner[Any]:
    from prefect_ray import RayTaskRunner

    # The address is not given to the runner itself, to which "auto" means: start one, if there is none. What workers
    # log is in Prefect, task by task, and in Ray's own files.
    return RayTaskRunner(init_kwargs={**init, "logging_level": logging.WARNING, "log_to_driver": False})


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    if address == "auto":
        return
    url = urlsplit(address if "://" in address else f"//{address}")
    try:
        socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=CONNECT_SECONDS).close()
    except OSError as exc:
        raise ConfigError(f"`ray_address {address}`: no Ray cluster answers there: {exc}") from exc


def living_nodes() -> list[dict[str, Any]]:
    """The nodes that can run anything, as Ray describes them."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()
    return [node for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def share_of(nodes: Sequence[Mapping[str, float]], *, on_gpu: bool, workers: int | Literal["auto"]) -> Share:
    """Cuts nodes into equal shares, as Ray asks the same of every node.

    On GPUs a share is one GPU and its part of the cores. On CPUs "auto" is the whole of the smallest node; a number of
    workers makes shares as large as leave room for so many.

    Args:
        nodes: their resources, such as {"CPU": 16.0, "GPU": 2.0}.
    """
    if on_gpu:
        with_gpus = [(int(n.get("CPU", 0)), int(n["GPU"])) for n in nodes if n.get("GPU", 0) >= 1]
        cores = min((cpus // gpus for cpus, gpus in with_gpus), default=0)
        return Share(n_cpus=cores, n_gpus=1)
    cpus = [int(n["CPU"]) for n in nodes if n.get("CPU", 0) >= 1]
    size = min(cpus, default=1)
    while workers != "auto" and size > 1 and sum(n // size for n in cpus) < workers:
        size -= 1
    return Share(n_cpus=size, n_gpus=0)


def ask_nodes(function: Callable[P, NodeReport], share: Share, *args: P.args, **kwargs: P.kwargs) -> list[NodeReport]:
    """Calls a function once on every node that can score, in a process that will score; busy nodes are left out.

    A node that dies over it, or cannot import the project, reports that as its problem.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=share.n_cpus, num_gpus=share.n_gpus, max_calls=0, max_retries=0)(function)
    asked = {}
    for node in living_nodes():
        if node["Resources"].get("GPU", 0) >= share.n_gpus and node["Resources"]["CPU"] >= share.n_cpus:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[remote.options(scheduling_strategy=there).remote(*args, **kwargs)] = node
    answered, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS) if asked else ([], [])
    reports = []
    for ref in answered:
        try:
            reports.append(ray.get(ref))
        except Exception as exc:
            reports.append(NodeReport(_name(asked[ref]), problems=(str(exc).strip().splitlines()[-1],)))
    for ref in late:
        logger.warning("%s has not answered for %g s: it is busy", _name(asked[ref]), ANSWER_SECONDS)
        ray.cancel(ref)
    return reports


def _name(node: Mapping[str, Any]) -> str:
    return str(node.get("NodeManagerHostname") or node["NodeManagerAddress"])


def describe_node(model: ModelConfig, version: str, python: str, prefect_url: str) -> NodeReport:
    """Runs on a node: what the model would run on there, and whether the node works for a run like this."""
    host = socket.gethostname()
    try:
        resolved = resolve_model(model)
    except BioqaError as exc:
        return NodeReport(host, problems=(str(exc),))
    problems = []
    if version != __version__:
        problems.append(f"bioqa is {__version__} there and {version} here")
    if python != platform.python_version():
        problems.append(f"Python is {platform.python_version()} there and {python} here")
    url = urlsplit(prefect_url)
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((str(url.hostname), port), timeout=CONNECT_SECONDS).close()
    except OSError as exc:
        problems.append(
            f"the Prefect server at {prefect_url} cannot be reached from there ({exc}): start one that every node "
            "can reach and give its address in PREFECT_API_URL"
        )
    return NodeReport(host, resolved.device, resolved.precision, tuple(problems))


def find_paths(paths: Sequence[Path]) -> NodeReport:
    """Runs on a node: whether the paths are there."""
    missing = [f"{path} is not there" for path in paths if not path.exists()]
    return NodeReport(socket.gethostname(), problems=tuple(missing))


def raise_problems(reports: Sequence[NodeReport], way_out: str) -> None:
    """Raises ConfigError with what the nodes complain of, where they do."""
    said = [f"node {report.host}: {problem}" for report in reports for problem in report.problems]
    if said:
        raise ConfigError("; ".join(said) + f"; {way_out}")
