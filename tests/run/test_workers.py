from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from bioqa_pipeline.config import ModelConfig, RunConfig
from bioqa_pipeline.errors import BioqaError, InputError, ShardError, SourceError, SourceErrorKind
from bioqa_pipeline.run import executor, workers
from bioqa_pipeline.run.executor import Executor, in_flight
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.workers import Pooled, WorkerPool
from support.fake_job import FakeJob, shards
from support.paths import ROOT, TESTS
from support.waiting import wait_for


def test_dead_workers_are_replaced_and_cost_only_their_shard(tmp_path: Path) -> None:
    done: list[float] = []
    names = ["fine-1", "once-1", "fine-2", "dies-1", "fails-1", "fine-3", "once-2", "fine-4"]
    outcomes = list(Pooled(2).score(FakeJob(tmp_path), shards(*names), done.append))  # type: ignore[arg-type]
    said = {o.shard_id: type(o) for o in outcomes}
    assert said == {n: ShardError if n in {"dies-1", "fails-1"} else ShardReport for n in names}
    assert sum(done) == 2 * 6


def test_an_error_comes_back_from_a_worker_as_it_was_and_leaves_the_worker_alive(tmp_path: Path) -> None:
    with WorkerPool(1) as pool:
        pool.score(FakeJob(tmp_path), shards("fine-1")[0])  # type: ignore[arg-type]
        with pytest.raises(ShardError, match=r"^shard fails-1: no$") as found:
            pool.score(FakeJob(tmp_path), shards("fails-1")[0])  # type: ignore[arg-type]
        assert found.value.shard_id == "fails-1"
        pool.score(FakeJob(tmp_path), shards("fine-2")[0])  # type: ignore[arg-type]
    assert len(list(tmp_path.glob("pid-*"))) == 1


@pytest.mark.parametrize(
    "error",
    [
        ShardError("no", shard_id="s"),
        InputError("no", "q.txt", 3),
        SourceError("no", kind=SourceErrorKind.TOO_MANY),
    ],
)
def test_errors_pass_whole_between_processes(error: BioqaError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_each_worker_sees_one_gpu_and_keeps_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    list(Pooled(2).score(FakeJob(tmp_path), shards(*(f"fine-{i}" for i in range(12))), lambda _: None))  # type: ignore[arg-type]
    processes = [p.name.split("-")[1:] for p in tmp_path.iterdir()]
    assert len(processes) == 2
    assert sorted(device for _, device in processes) == ["4", "7"]


def test_workers_share_the_gpus_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for module in (workers, executor):
        monkeypatch.setattr(module, "visible_gpus", lambda: 1)
    pool = Pooled(2)
    list(pool.score(FakeJob(tmp_path), shards(*(f"fine-{i}" for i in range(6))), lambda _: None))  # type: ignore[arg-type]
    assert [p.name.split("-")[2] for p in tmp_path.iterdir()] == ["0", "0"]
    assert (pool.n_workers, pool.n_devices) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "device", "n_gpus", "n_workers"),
    [("auto", "auto", 0, 1), ("auto", "cuda", 1, 1), ("auto", "auto", 3, 6), ("auto", "cpu", 3, 1), (5, "cuda", 3, 5)],
)
def test_several_gpus_have_two_workers_each(
    asked: int | str, device: str, n_gpus: int, n_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "visible_gpus", lambda: n_gpus)
    config = RunConfig(questions=Path("q.txt"), out=Path("o"), workers=asked, model=ModelConfig(device=device))  # type: ignore[arg-type]
    assert workers.worker_count(config) == n_workers


def test_a_gpu_has_its_next_shard_prepared_meanwhile() -> None:
    """Each shard waits until the next one has begun."""
    begun = {shard.shard_id: threading.Event() for shard in shards("0", "1", "2", "3")}

    class Job:
        model = ModelConfig(device="cuda")

        def score(self, shard: ShardPlan, progress: object) -> ShardReport:
            begun[shard.shard_id].set()
            if shard.shard_id == "1":
                raise ShardError("no", shard_id="1")
            following = begun.get(str(int(shard.shard_id) + 1))
            assert following is None or following.wait(timeout=30)
            return ShardReport(shard.shard_id, shard.n_pairs, 1, 0.1, ())

    found = list(Executor().score(Job(), shards(*begun), lambda _: None))  # type: ignore[arg-type]
    assert [(type(o), o.shard_id) for o in found] == [(ShardError if n == "1" else ShardReport, n) for n in begun]


def test_who_leaves_a_gpu_early_waits_for_no_shard() -> None:
    scored: list[str] = []

    class Job:
        model = ModelConfig(device="cuda")

        def score(self, shard: ShardPlan, progress: Progress) -> ShardReport:
            for _ in range(1 if shard.shard_id == "0" else 1000):
                time.sleep(0.001)
                progress(0)
            scored.append(shard.shard_id)
            return ShardReport(shard.shard_id, shard.n_pairs, 1, 0.1, ())

    outcomes = Executor().score(Job(), shards("0", "1", "2"), lambda _: None)  # type: ignore[arg-type]
    next(outcomes)
    outcomes.close()
    assert scored == ["0"]


def test_an_interrupt_on_a_gpu_waits_for_no_shard() -> None:
    """In a process of its own: what handles the signal is the process's."""
    program = textwrap.dedent(
        """
        import time
        from bioqa_pipeline.config import ModelConfig
        from bioqa_pipeline.run.executor import Executor
        from support.fake_job import shards

        class Job:
            model = ModelConfig(device="cuda")

            def score(self, shard, progress):
                print("begun", flush=True)
                for _ in range(6000):
                    time.sleep(0.01)
                    progress(0)

        try:
            list(Executor().score(Job(), shards("0", "1", "2"), lambda _: None))
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    paths = os.pathsep.join(str(p) for p in (TESTS, ROOT))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("interrupted\n", None)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from support.fake_job import FakeJob, shards
        from bioqa_pipeline.run.workers import WorkerPool
        if __name__ == "__main__":
            with WorkerPool(1) as pool:
                pool.score(FakeJob(Path({str(tmp_path)!r})), shards("fine-1")[0])
                print("ready", flush=True)
                time.sleep(600)
        """
    )
    script = tmp_path / "parent.py"
    script.write_text(program)
    paths = os.pathsep.join(str(p) for p in (TESTS, ROOT))
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        [mark] = tmp_path.glob("pid-*")
        worker = int(mark.name.split("-")[1])
        parent.kill()
    wait_for(lambda: not is_running(worker), "the end of a worker")


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_in_flight_is_bounded_and_keeps_the_order() -> None:
    under_way: list[int] = []
    most = 0

    def submit(item: int) -> int:
        nonlocal most
        under_way.append(item)
        most = max(most, len(under_way))
        return item

    taken = []
    for item in in_flight(range(20), submit, 3):
        under_way.remove(item)
        taken.append(item)
    assert taken == list(range(20))
    assert most == 3


def test_leaving_a_pool_early_ends_its_processes(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    outcomes = Pooled(1).score(FakeJob(tmp_path), shards("fine-1", "fine-2", "fine-3"), lambda _: None)  # type: ignore[arg-type]
    next(iter(outcomes))
    outcomes.close()  # type: ignore[attr-defined]
    wait_for(lambda: set(multiprocessing.active_children()) <= before, "the end of all workers")


def test_one_pool_serves_several_threads(tmp_path: Path) -> None:
    with WorkerPool(1) as pool:
        first, second = shards("fine-1", "fine-2")
        assert pool.score(FakeJob(tmp_path), first).shard_id == "fine-1"  # type: ignore[arg-type]
        assert pool.score(FakeJob(tmp_path), second).shard_id == "fine-2"  # type: ignore[arg-type]
    assert len(list(tmp_path.glob("pid-*"))) == 1


def test_what_workers_log_is_logged_here_whatever_becomes_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bioqa_pipeline")
    names = ["fine-1", "dies-1", "fine-2", "fails-1", "fine-3"]
    list(Pooled(2).score(FakeJob(tmp_path), shards(*names), lambda _: None))  # type: ignore[arg-type]
    said = {(r.processName, r.getMessage()) for r in caplog.records if r.name == "bioqa_pipeline.fake"}
    assert {message for _, message in said} == {f"scoring {name}" for name in names}
    assert {process for process, _ in said} == {"worker-0", "worker-1"}


def test_what_nobody_wants_to_hear_is_not_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "bioqa_pipeline")
    list(Pooled(1).score(FakeJob(tmp_path), shards("fine-1"), lambda _: None))  # type: ignore[arg-type]
    assert not [r for r in caplog.records if r.name == "bioqa_pipeline.fake"]
