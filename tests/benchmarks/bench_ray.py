"""What a shard costs besides its scoring: worker processes, the same as Prefect tasks, and Prefect tasks on Ray.

    nice -n 5 .venv/bin/python tests/benchmarks/bench_ray.py [--shards 200] [--workers 2] [--rounds 3]

Shards that do nothing, in turn through `Pooled` (--no-prefect), `PrefectExecutor` (--runner local) and `RayExecutor`
(--runner ray, a Ray of its own on this machine). Measured from the moment when the first shards are done, so that the
start of processes does not count; that start is given by itself. The last line is JSON: medians over the rounds, in
milliseconds a shard and seconds to the first shards.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Worker processes import the job's class: it must not live in __main__.
    from bench_ray import main

    from flows.environment import apply_defaults

    apply_defaults()
    main()
    sys.exit()

from bioqa_pipeline.config import ModelConfig, RunConfig
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport

FIRST = 20


@dataclass(frozen=True)
class NothingToDo:
    """Stands for a ScoringJob."""

    model: ModelConfig
    root: Path
    store_path: Path
    plan: str = "."

    def score(self, shard: ShardPlan, progress: Progress | None = None) -> ShardReport:
        return ShardReport(shard.shard_id, shard.n_pairs, 1, 0.0, ())


def drain(executor: Any, job: NothingToDo, shards: list[ShardPlan]) -> tuple[float, float]:
    """Seconds to the first shards, and seconds a shard from there."""
    begun = time.perf_counter()
    for n_done, outcome in enumerate(executor.score(job, shards, lambda _: None), start=1):
        assert isinstance(outcome, ShardReport), outcome
        if n_done == FIRST:
            first = time.perf_counter()
    return first - begun, (time.perf_counter() - first) / (len(shards) - FIRST)


def pooled(config: RunConfig, job: NothingToDo, shards: list[ShardPlan]) -> tuple[float, float]:
    from bioqa_pipeline.run.workers import Pooled

    return drain(Pooled(int(config.workers)), job, shards)


def on_prefect(config: RunConfig, job: NothingToDo, shards: list[ShardPlan]) -> tuple[float, float]:
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    from flows.tasks import PrefectExecutor

    runner: Any = ThreadPoolTaskRunner(max_workers=64)
    return flow(task_runner=runner)(lambda: drain(PrefectExecutor(int(config.workers)), job, shards))()


def on_ray(config: RunConfig, job: NothingToDo, shards: list[ShardPlan]) -> tuple[float, float]:
    from prefect import flow

    from flows.on_ray.executor import ray_executor

    def run() -> tuple[float, float]:
        begun = time.perf_counter()
        with ray_executor(config) as executor:
            connecting = time.perf_counter() - begun
            first, each = drain(executor, job, shards)
            return connecting + first, each

    return flow(run)()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    shards = [ShardPlan(f"shard-{i}", i, 1) for i in range(args.shards + FIRST)]
    ways: dict[str, Callable[..., tuple[float, float]]] = {"processes": pooled, "prefect": on_prefect, "ray": on_ray}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(questions=Path("q.txt"), out=Path(folder), workers=args.workers, runner="ray")
        job = NothingToDo(ModelConfig(device="cpu"), root=Path(folder), store_path=Path(folder))
        for number in range(args.rounds):
            for name, way in ways.items():
                first, each = way(config, job, shards)
                found[name].append((first, each))
                print(f"round {number + 1} {name:10} first shards {first:6.1f} s, then {each * 1000:7.1f} ms a shard")
    medians = {
        name: {
            "ms_per_shard": round(statistics.median(each for _, each in values) * 1000, 1),
            "seconds_to_first": round(statistics.median(first for first, _ in values), 1),
        }
        for name, values in found.items()
    }
    for name in ("prefect", "ray"):
        print(
            f"{name}: {medians[name]['ms_per_shard'] / medians['processes']['ms_per_shard']:.1f} times processes alone"
        )
    print(json.dumps({"shards": args.shards, "workers": args.workers, "rounds": args.rounds, **medians}))
