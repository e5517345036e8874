"""Faults of the machine around real runs: full disks, clocks that jump, models and records that cannot be scored."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from bioqa_pipeline.dataset.reader import Dataset
from support.fault_bench import SCORES, Bench, check_committed, make_bench, manifests, recover, rows, show
from support.fault_processes import Server, Strike, watched
from support.paths import ROOT

pytestmark = pytest.mark.slow

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("faults")
    with Server(folder, {"BIOQA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}) as server:
        bench = make_bench(server, folder, "--no-prefect")
        yield bench
    show(request.config, bench.counts)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is refused here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)


def used_kilobytes(folder: Path) -> int:
    blocks = {(s.st_ino, s.st_size) for p in folder.rglob("*") if (s := p.stat()) and p.is_file()}
    return sum(-(-size // 4096) * 4 for _, size in blocks)


@pytest.mark.parametrize("seed", range(16))
def test_a_disk_that_fills_up(bench: Bench, small_disk: Path, seed: int) -> None:
    kind = "disk: full"
    rng = random.Random(seed)
    root = small_disk / "set"
    with watched(bench.server, root):
        resize(small_disk, rng.randint(8, used_kilobytes(bench.folder / "set-1") + 20))
        for _ in range(2):
            run = bench.start(root)
            assert run.wait() in {0, 1}, run.output()
            bench.count(kind, "injected")
            bench.count(kind, "struck", run.code != 0)
            assert "Traceback" not in run.output(), run.output()
            assert run.code == 0 or "No space left" in run.output() or "disk is full" in run.output(), run.output()
            check_committed(bench, root, kind)
            resize(small_disk, used_kilobytes(small_disk) + rng.randint(4, 40))
        resize(small_disk, 4096)
        recover(bench, root, kind)


@pytest.fixture(scope="module")
def clocked(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Bench, Server, Path]]:
    """The bench again, its runs' clock off by what a file says."""
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed")
    folder = tmp_path_factory.mktemp("clock")
    clock = folder / "clock"
    clock.write_text("+0\n")
    env = {
        **{"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"},
        **{"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"},
        **{"BIOQA_CACHE": str(bench.folder / "cache"), "OMP_NUM_THREADS": "1"},
    }
    with Server(folder, env) as server:
        yield (
            Bench(server, folder, bench.job, bench.reference, bench.steps, bench.seconds, bench.counts),
            bench.server,
            clock,
        )


def put_clock(clock: Path, hours: float) -> None:
    new = clock.with_suffix(".new")
    new.write_text(f"{hours * 3600:+.0f}\n")
    new.replace(clock)


@pytest.mark.parametrize("seed", range(12))
def test_a_clock_that_jumps_between_and_during_runs(clocked: tuple[Bench, Server, Path], seed: int) -> None:
    bench, reader, clock = clocked
    kind = "clock: jumps"
    rng = random.Random(seed)
    root = bench.root()
    order: list[str] = []
    with watched(reader, root):
        for hours in (rng.uniform(24, 100), rng.uniform(-100, 20), rng.uniform(-200, -100)):
            put_clock(clock, hours)
            run = bench.start(root, strike=Strike(root, rng.randint(20, bench.steps), signal.SIGKILL))
            time.sleep(rng.uniform(0, bench.seconds))
            put_clock(clock, hours + rng.choice((-1, 1)) * rng.uniform(1, 10))
            run.wait()
            bench.count(kind, "injected", 2)
            bench.count(kind, "struck", 2)
            order += manifests(root).keys() - set(order)
            check_committed(bench, root, kind)
            assert Dataset(root).answers(current=True).collect().height == len(rows(root))
        recover(bench, root, kind)
        order += manifests(root).keys() - set(order)
    runs = Dataset(root).runs()
    assert [run.run_id for run in runs] == order
    assert all(run.started_at <= run.finished_at for run in runs)
    assert all(before.finished_at < after.started_at for before, after in pairwise(runs))
    scored = Dataset(root).answers().group_by("run_id").agg(pl.col("scored_at").min()).collect()
    began = {run.run_id: run.started_at for run in runs}
    assert all(scored_at >= began.get(run_id, scored_at) for run_id, scored_at in scored.iter_rows())
    put_clock(clock, 0)


def test_the_answer_scored_last_is_current_though_the_clock_was_put_back(clocked: tuple[Bench, Server, Path]) -> None:
    bench, _, clock = clocked
    folder = bench.folder / "records"
    folder.mkdir()
    sample = ROOT / "data" / "sample"
    for file in sample.glob("*.xml"):
        shutil.copy(file, folder)
    root = bench.root()
    env = {"BIOQA_CACHE": str(bench.folder / "own-cache")}
    options = ("--source", "medline", "--medline-dir", str(folder))
    put_clock(clock, 48)
    assert bench.start(root, *options, env=env).wait() == 0
    first = Dataset(root).answers().select("pair_id", "question_id", "pmid", "scored_at").collect()
    revised = first["pmid"][0]
    for file in folder.glob("*.xml"):
        text = file.read_text("utf-8")
        record = text.find(f">{revised}</PMID>")
        if record >= 0:
            start = text.index("<AbstractText", record)
            place = text.index(">", start) + 1
            file.write_text(f"{text[:place]}Revised since. {text[place:]}", "utf-8")
    put_clock(clock, 0)
    run = bench.start(root, *options, env=env)
    assert run.wait() == 0, run.output()
    assert "the clock was put back" in run.output()
    both = Dataset(root).answers().filter(pl.col("pmid") == revised).collect()
    n_before = len(first.filter(pl.col("pmid") == revised))
    assert len(both) > n_before
    [ahead, true] = Dataset(root).runs()
    assert ahead.started_at > datetime.now(UTC)
    assert true.started_at > ahead.finished_at
    current = Dataset(root).answers(current=True).filter(pl.col("pmid") == revised).collect()
    assert set(current["run_id"]) == {true.run_id}
    assert len(current) == len(both) - n_before


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("workers", [1, 2])
def test_shards_that_always_fail(bench: Bench, seed: int, workers: int) -> None:
    if workers == 2 and seed > 1:
        pytest.skip("once is enough with workers")
    kind = "shard: always fails"
    rng = random.Random(seed)
    broken = rng.sample(sorted(bench.reference["pmid"].unique()), rng.randint(1, 3))
    env = {"FAULT_PMIDS": " ".join(map(str, broken))}
    root = bench.root()
    lost: list[set[str]] = []
    with watched(bench.server, root):
        for _ in range(2):
            run = bench.start(root, "--workers", str(workers), env=env)
            assert run.wait() == 1, run.output()
            bench.count(kind, "injected", len(broken))
            bench.count(kind, "struck", len(broken))
            missing = bench.reference.filter(
                ~pl.col("pair_id").is_in(check_committed(bench, root, kind)["pair_id"].implode())
            )
            manifest = Dataset(root).runs()[-1]
            assert (manifest.status, manifest.n_failed) == ("partial", len(missing))
            named = " ".join(manifest.failures)
            assert "this record is broken" in named
            assert all(f"{q}, PMID {pmid}" in named for q, pmid in missing.select("question_id", "pmid").iter_rows())
            assert set(broken) <= set(missing["pmid"])
            assert all(str(pmid) in run.output() for pmid in broken)
            lost.append(set(missing["pair_id"]))
        assert lost[1] <= lost[0]
        recover(bench, root, kind)


@pytest.mark.parametrize("character", ["%", "(", "6", "/"])
def test_a_poisoned_window_costs_its_pairs_alone(bench: Bench, character: str) -> None:
    kind = "window: NaN"
    model = bench.folder / f"poisoned-{ord(character)}"
    shutil.copytree(bench.folder / "model", model)
    words = (model / "vocab.txt").read_text("utf-8").splitlines()
    state = load_file(model / "model.safetensors")
    for word in (character, f"##{character}"):
        state["bert.embeddings.word_embeddings.weight"][words.index(word)] = 3e38
    save_file(state, model / "model.safetensors", metadata={"format": "pt"})
    tokens = texts_with(bench, character)
    job = [str(model) if part == str(bench.folder / "model") else part for part in bench.job]
    root = bench.root()
    key = ["question_id", "pmid"]
    for attempt in range(2):
        run = bench.server.start([*job, "--out", str(root)])
        assert run.wait() == 1, run.output()
        found = rows(root)
        assert not set(found["pmid"]) & tokens
        assert set(found["pmid"]) | tokens == set(bench.reference["pmid"])
        expected = bench.reference.filter(~pl.col("pmid").is_in(list(tokens))).sort(key)
        assert found.sort(key).select(key).equals(expected.select(key))
        for name in SCORES:
            assert (found.sort(key)[name] - expected[name]).abs().fill_null(0).max() < 1e-4
        manifest = Dataset(root).runs()[-1]
        lost = bench.reference.filter(pl.col("pmid").is_in(list(tokens)))
        assert (manifest.n_failed, manifest.n_scored) == (len(lost), 0 if attempt else len(found))
        named = " ".join(manifest.failures)
        assert all(f"{q}, PMID {pmid}" in named for q, pmid in lost.select(key).iter_rows())
        bench.count(kind, "injected", len(lost))
        bench.count(kind, "struck", len(lost))


def texts_with(bench: Bench, character: str) -> set[int]:
    """PMIDs of the abstracts that have this character."""
    from bioqa_pipeline.config import SourceConfig
    from bioqa_pipeline.sources import open_source

    before = os.environ.get("BIOQA_CACHE")
    os.environ["BIOQA_CACHE"] = str(bench.folder / "cache")
    try:
        abstracts = open_source(SourceConfig()).store.get(bench.reference["pmid"].unique().to_list())
    finally:
        if before is None:
            del os.environ["BIOQA_CACHE"]
        else:
            os.environ["BIOQA_CACHE"] = before
    return {a.pmid for a in abstracts if character in a.text}
