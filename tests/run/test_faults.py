"""Faults, put into real runs at random moments: nothing is lost, nothing is doubled, the next run goes on.

Every fault strikes a process that runs the command line, while another process reads the data set all the time. The
default run has a few; `pytest -m slow tests/run/test_faults.py` has the whole matrix and prints what came of it.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bioqa_pipeline.dataset.manifest import RunManifest
from support.fault_bench import Bench, check_committed, make_bench, manifests, recover, rows, show
from support.fault_processes import Run, Server, Strike, is_alive, wait_for, watched, workers_of

# The first steps make the folder and open its lock, the last ones come after the manifest.
STEPS_BEFORE, STEPS_AFTER = 5, 8


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("faults")
    with Server(folder, {"BIOQA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}) as server:
        bench = make_bench(server, folder, "--no-prefect")
        yield bench
    show(request.config, bench.counts)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a signal comes: before the run's n-th change to the data set, or after so many seconds."""

    step: int | None = None
    seconds: float = 0.0

    @classmethod
    def draw(cls, bench: Bench, rng: random.Random, share: float) -> Moment:
        """At any time of the first `share` of a run."""
        if rng.random() < 0.7:
            return cls(step=rng.randint(1, round(share * bench.steps)))
        return cls(seconds=rng.uniform(0, share * bench.seconds))


def strike(bench: Bench, root: Path, moment: Moment, signum: int, *, group: bool = False) -> Run:
    """A run that the signal meets at this moment, or that ends before it."""
    if moment.step is not None:
        run = bench.start(root, strike=Strike(root, moment.step, signum))
    else:
        run = bench.start(root)
        time.sleep(moment.seconds)
        if not run.ended():
            run.send(signum, group=group)
    run.wait()
    return run


def new_manifest(root: Path, known: dict[str, RunManifest]) -> RunManifest | None:
    new = [m for run_id, m in manifests(root).items() if run_id not in known]
    assert len(new) <= 1
    return new[0] if new else None


def kill(bench: Bench, rng: random.Random, root: Path, share: float = 1.0) -> str:
    kind = "flow: SIGKILL"
    run = strike(bench, root, Moment.draw(bench, rng, share), signal.SIGKILL)
    assert run.code in {-signal.SIGKILL, 0}, run.output()
    bench.count(kind, "injected")
    bench.count(kind, "struck", run.code != 0)
    return kind


def interrupt(bench: Bench, rng: random.Random, root: Path, share: float = 1.0) -> str:
    """Ctrl-C or SIGTERM, to the process or to its group: the run says so, and leaves a manifest that says it too."""
    signum, code, name = rng.choice(((signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")))
    kind = f"flow: {name}"
    known = manifests(root)
    moment = Moment.draw(bench, rng, share)
    run = strike(bench, root, moment, signum, group=rng.random() < 0.5)
    bench.count(kind, "injected")
    bench.count(kind, "struck", run.code != 0)
    # Python has no handler for the signal before the command begins and after it has ended.
    outside = not root.exists() or "\npage: " in run.output()
    if run.code == 0 or (run.code == -signum and moment.step is None and outside):
        return kind
    assert run.code == code, f"{moment}, {run.code}: {run.output()}"
    assert "the same command goes on from there" in run.output()
    assert "Traceback" not in run.output()
    manifest = new_manifest(root, known)
    if manifest is not None and manifest.status == "completed":
        # The signal came when all was committed, and only files of earlier runs were still to be replaced.
        assert len(rows(root)) == len(bench.planned)
    elif moment.step is not None and moment.step > STEPS_BEFORE:
        assert manifest is not None, f"{moment}: {run.output()}"
        assert manifest.status == "failed"
        assert manifest.error in {"KeyboardInterrupt", "Terminated: SIGTERM"}
    return kind


def kill_cold(bench: Bench, rng: random.Random, root: Path) -> str:
    """The first run of all, killed while it imports the records and makes their index."""
    kind = "flow, cold cache: SIGKILL"
    cache = root.with_name(f"{root.name}-cache")
    env = {"BIOQA_CACHE": str(cache)}
    for _ in range(2):
        run = bench.start(root, strike=Strike(cache, rng.randint(1, 60), signal.SIGKILL), env=env)
        assert run.wait() in {-signal.SIGKILL, 0}, run.output()
        bench.count(kind, "injected")
        bench.count(kind, "struck", run.code != 0)
        check_committed(bench, root, kind)
    recover(bench, root, kind, env=env)
    shutil.rmtree(cache)
    return kind


def kill_workers(bench: Bench, rng: random.Random, root: Path) -> str:
    """Some workers of a run die, one after the other; each takes no more than the shard it scores."""
    kind = "worker: SIGKILL"
    run = bench.start(root, "--workers", "2", "--shard-pairs", "1")
    killed = 0
    pause = rng.uniform(0.05, 1.5)
    while killed < 5 and not run.ended():
        if workers := workers_of(run.pid):
            time.sleep(rng.uniform(0, pause))
            killed += Run(rng.choice(workers), run.log, bench.server).try_to_send(signal.SIGKILL)
    assert run.wait() in {0, 1}, run.output()
    bench.count(kind, "injected", killed)
    bench.count(kind, "struck", killed)
    [manifest] = manifests(root).values()
    missing = len(bench.planned) - len(rows(root))
    assert manifest.n_failed == missing == manifest.n_pairs - manifest.n_scored
    assert manifest.status == ("partial" if missing else "completed")
    assert run.code == (1 if missing else 0)
    assert all("worker process died" in failure for failure in manifest.failures)
    assert len(manifest.failures) == missing
    return kind


def kill_flow_with_workers(bench: Bench, rng: random.Random, root: Path) -> str:
    """The workers of a killed flow end by themselves and harm nothing."""
    kind = "flow with workers: SIGKILL"
    run = bench.start(root, "--workers", "2", "--shard-pairs", "1")
    wait_for(lambda: run.ended() or len(workers_of(run.pid)) == 2)
    time.sleep(rng.uniform(0, 6))
    workers = workers_of(run.pid)
    struck = not run.ended()
    if struck:
        run.send(signal.SIGKILL)
    bench.count(kind, "injected")
    bench.count(kind, "struck", struck)
    run.wait()
    assert wait_for(lambda: not any(map(is_alive, workers)))
    return kind


def interrupt_workers(bench: Bench, rng: random.Random, root: Path) -> str:
    """Ctrl-C in a terminal reaches the workers, too; the run waits for none of them."""
    signum, code, name = rng.choice(((signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")))
    kind = f"flow with workers: {name}"
    run = bench.start(root, "--workers", "2", "--shard-pairs", "1")
    wait_for(lambda: run.ended() or len(workers_of(run.pid)) == 2)
    time.sleep(rng.uniform(0, 6))
    workers = workers_of(run.pid)
    struck = not run.ended()
    if struck:
        run.send(signum, group=rng.random() < 0.7)
    run.wait()
    bench.count(kind, "injected")
    bench.count(kind, "struck", run.code != 0)
    assert run.code in ({code, 0} if struck else {0}), run.output()
    assert "Traceback" not in run.output(), run.output()
    assert wait_for(lambda: not any(map(is_alive, workers)))
    [manifest] = manifests(root).values()
    assert manifest.status == ("failed" if run.code else "completed")
    return kind


def two_at_once(bench: Bench, rng: random.Random, root: Path) -> str:
    """The second run waits, or says at once who holds the data set; then it scores what the first left."""
    kind = "two runs at once"
    first = bench.start(root, strike=Strike(root, rng.randint(STEPS_BEFORE, bench.steps - STEPS_AFTER), signal.SIGSTOP))
    assert wait_for(lambda: is_stopped(first.pid))
    refused = bench.start(root, "--no-wait")
    assert refused.wait() == 1
    assert "another run writes this data set: run " in refused.output() and f"pid {first.pid} " in refused.output()
    assert "Traceback" not in refused.output()
    second = bench.start(root)
    time.sleep(rng.uniform(0, 1.5))
    assert not second.ended()
    first.send(signal.SIGCONT)
    if dies := rng.random() < 0.5:
        time.sleep(rng.uniform(0, 0.5))
        if dies := not first.ended():
            first.send(signal.SIGKILL)
    assert first.wait() in ({-signal.SIGKILL, 0} if dies else {0}), first.output()
    assert second.wait() == 0, second.output()
    bench.count(kind, "injected", 2)
    bench.count(kind, "struck", 2)
    found = manifests(root)
    assert sum(m.n_scored for m in found.values()) <= len(bench.planned)
    assert max(m.n_scored + m.n_reused for m in found.values()) == len(bench.planned)
    return kind


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


MATRIX = {
    kill: 70,
    interrupt: 60,
    kill_cold: 10,
    kill_workers: 8,
    kill_flow_with_workers: 6,
    interrupt_workers: 8,
    two_at_once: 10,
}


@pytest.mark.parametrize("fault", [kill, interrupt])
def test_five_faults_in_a_row(bench: Bench, fault: Callable[..., str]) -> None:
    rng = random.Random(fault.__name__)
    root = bench.root()
    kind = ""
    with watched(bench.server, root):
        for _ in range(5):
            kind = fault(bench, rng, root, share=0.5)
            check_committed(bench, root, kind)
        recover(bench, root, kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "seed"),
    [pytest.param(f, seed, id=f"{f.__name__}-{seed}") for f, n in MATRIX.items() for seed in range(n)],
)
def test_one_fault_and_the_run_after_it(bench: Bench, fault: Callable[..., str], seed: int) -> None:
    rng = random.Random(1000 + seed)
    root = bench.root()
    with watched(bench.server, root):
        kind = fault(bench, rng, root)
        recover(bench, root, kind)
    shutil.rmtree(root)
