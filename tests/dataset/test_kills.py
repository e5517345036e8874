from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from support.dataset_processes import GENERATION, check_whole, numbers, pair, read_forever, run_once, write_forever
from support.dataset_rows import METADATA, chunk_rows

# New processes are forks of a clean one that has the large libraries loaded, pandas too, which pyarrow loads where it
# finds it: a tenth of the time of a fresh start.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pandas", "polars", "pyarrow.parquet", "bioqa_pipeline.dataset.reader"])


def start_writer(root: Path, seed: int) -> BaseProcess:
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=write_forever, args=(root, seed, theirs))
    process.start()
    theirs.close()
    assert ours.poll(60)
    return process


def kill(process: BaseProcess) -> None:
    assert process.is_alive(), f"a writer ended by itself with exit code {process.exitcode}"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@contextmanager
def reader(root: Path) -> Iterator[Connection]:
    """A process that reads all the time, until something is sent to it."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=read_forever, args=(root, theirs))
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def check_after_kills(root: Path, rng: random.Random) -> None:
    """A last run over all pairs that were begun, then every pair is there once and nothing else is."""
    committed = numbers(root)
    total = -(-(max(committed, default=0) + 1) // GENERATION) * GENERATION
    run_once(root, [pair(i) for i in range(total)], rng, nap_seconds=0)
    assert numbers(root) == list(range(total))
    assert check_whole(root) == total
    folders = {entry.name: sorted(p.stem for p in entry.iterdir()) for entry in root.iterdir() if entry.is_dir()}
    assert folders.pop("_staging") == []
    assert {name.partition("-")[0] for name in folders.pop("_log")} == {"done"}
    assert folders.pop("current") == ["current"]
    assert folders.keys() == {"answers", "chunks", "summary", "runs"}
    assert folders["chunks"] == folders["answers"]
    assert folders["summary"] == folders["runs"]
    suffixes = {(path.parent.name, path.suffix) for path in root.glob("[!_]*/*")}
    tables = {(name, ".parquet") for name in ("answers", "chunks", "summary", "current")}
    assert suffixes == tables | {("runs", ".json")}


@pytest.mark.parametrize("kills", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_kills_at_random_moments(tmp_path: Path, kills: int) -> None:
    rng = random.Random(kills)
    root = tmp_path / "set"
    interrupted = 0
    with reader(root) as results:
        # A busy machine can be too slow for the given kills to meet anything: then there are more of them.
        for seed in range(10 * kills):
            if seed >= kills and interrupted and any(root.glob("answers/*")):
                break
            writer = start_writer(root, seed)
            time.sleep(rng.uniform(0, rng.choice((0.05, 0.3))))
            kill(writer)
            interrupted += any(path.is_file() for path in root.glob("_staging/**/*"))
        results.send("stop")
        assert results.poll(60)
        found = results.recv()
    assert isinstance(found, tuple), found
    rounds, seen = found
    assert rounds > 0
    assert seen > 0
    assert interrupted > 0
    check_after_kills(root, rng)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_two_runs_at_once_killed_in_turn(tmp_path: Path, kills: int) -> None:
    rng = random.Random(kills)
    root = tmp_path / "set"
    writers = [start_writer(root, seed) for seed in (1000, 1001)]
    with reader(root) as results:
        for seed in range(kills):
            time.sleep(rng.uniform(0, 0.4))
            kill(writers.pop(rng.randrange(2)))
            writers.append(start_writer(root, seed))
        results.send("stop")
        assert results.poll(60)
        found = results.recv()
    for writer in writers:
        kill(writer)
    assert isinstance(found, tuple), found
    check_after_kills(root, rng)


def run_with_slow_worker(root: Path, pipe: Connection) -> None:
    """A flow whose worker, a process of its own, stages a shard long after the flow is dead."""
    with Dataset(root).writer("flow"):
        worker = multiprocessing.get_context("spawn").Process(target=stage_when_told, args=(root, pipe))
        worker.start()
        time.sleep(600)


def stage_when_told(root: Path, pipe: Connection) -> None:
    pipe.send(os.getpid())
    pipe.recv()
    rows = [pair(i) for i in range(4)]
    write_staged(root, "flow", make_shard_id([row.pair_id for row in rows]), rows, chunk_rows(rows), METADATA)
    pipe.send("staged")


def test_a_worker_that_outlives_a_killed_flow_doubles_nothing(tmp_path: Path) -> None:
    root = tmp_path / "set"
    ours, theirs = CONTEXT.Pipe()
    flow = CONTEXT.Process(target=run_with_slow_worker, args=(root, theirs))
    flow.start()
    assert ours.poll(60)
    worker = ours.recv()
    kill(flow)
    rows = [pair(i) for i in range(4)]
    shard_id = make_shard_id([row.pair_id for row in rows])
    with Dataset(root).writer("next", wait=False) as writer:
        os.kill(worker, 0)
        write_staged(root, "next", shard_id, rows, chunk_rows(rows), METADATA)
        ours.send("go")
        assert ours.poll(60)
        assert ours.recv() == "staged"
        assert writer.commit_shard(shard_id)
        assert not writer.commit_shard(shard_id)
    assert len(list((root / "_staging" / "flow").iterdir())) == 1
    run_once(root, rows, random.Random(0), nap_seconds=0)
    assert numbers(root) == [0, 1, 2, 3]
    assert list((root / "_staging").iterdir()) == []
