"""A job for faults to strike, what it comes to undisturbed, and what must hold after every fault."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from support.checkpoints import make_checkpoint
from support.fault_processes import Run, Server, Strike

QUESTIONS = "What causes scurvy?\nWhich gene is mutated in cystic fibrosis?\nWho discovered insulin?\n"
SCORES = ("span_score", "null_score", "score_diff", "span_log_prob", "null_log_prob", "margin", "answerability")
NO_STRIKE = 0


@dataclass(slots=True)
class Bench:
    """A fork server, a job, and what the job comes to where nothing disturbs it."""

    server: Server
    folder: Path
    job: tuple[str, ...]
    reference: pl.DataFrame
    steps: int
    seconds: float
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    n_roots: int = 0

    @property
    def planned(self) -> set[str]:
        return set(self.reference["pair_id"])

    def root(self) -> Path:
        """Where no data set is yet."""
        self.n_roots += 1
        return self.folder / f"set-{self.n_roots}"

    def start(
        self, root: Path, *options: str, strike: Strike | None = None, env: Mapping[str, str] | None = None
    ) -> Run:
        return self.server.start([*self.job, "--out", str(root), *options], strike=strike, env=env)

    def count(self, kind: str, what: str, times: int = 1) -> None:
        self.counts[kind, what] += times


def make_bench(server: Server, folder: Path, *options: str) -> Bench:
    """Runs the job once, undisturbed."""
    model = make_checkpoint(folder / "model", layers=1)
    questions = folder / "questions.txt"
    questions.write_text(QUESTIONS)
    job = (
        *("--questions", str(questions), "--model", str(model), "--max-abstracts", "10", "--shard-pairs", "2"),
        *("--device", "cpu", "--precision", "fp32", "--engine", "torch", "--quiet", *options),
    )
    bench = Bench(server, folder, job, pl.DataFrame(), steps=0, seconds=0)
    root = bench.root()
    started = time.monotonic()
    run = bench.start(root, strike=Strike(root, NO_STRIKE, 0))
    assert run.wait() == 0, run.output()
    bench.seconds = time.monotonic() - started
    bench.steps = int(re.findall(r"steps: (\d+)", run.output())[-1])
    bench.reference = rows(root)
    assert 10 <= len(list((root / "answers").iterdir())) <= 40
    return bench


def show(config: pytest.Config, counts: Counter[tuple[str, str]]) -> None:
    """The table of what was done and what came of it, past pytest's capture."""
    kinds = sorted({kind for kind, _ in counts})
    columns = ["injected", "struck", "pairs left", "lost", "doubled"]
    lines = [f"{'fault':<34}" + "".join(f"{c:>12}" for c in columns)]
    for kind in [*kinds, "all"]:
        values = [sum(n for (k, w), n in counts.items() if w == c and kind in {k, "all"}) for c in columns]
        lines.append(f"{kind:<34}" + "".join(f"{v:>12,}" for v in values))
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def rows(root: Path) -> pl.DataFrame:
    """What is committed, without what differs from run to run."""
    if not (root / "answers").is_dir():
        return pl.DataFrame(schema={"pair_id": pl.String})
    return Dataset(root).answers().drop("run_id", "scored_at").collect().sort("pair_id")


def check_rows(found: pl.DataFrame, reference: pl.DataFrame) -> None:
    """The rows are those of the reference, scores to within 1e-4."""
    expected = reference.filter(pl.col("pair_id").is_in(found["pair_id"].implode()))
    scores = [*SCORES, "n_best"]
    assert found.drop(scores).equals(expected.drop(scores))
    spans = [
        frame.select("pair_id", "n_best").explode("n_best", empty_as_null=False).unnest("n_best")
        for frame in (found, expected)
    ]
    exact = ["pair_id", "text", "start", "end"]
    assert spans[0].select(exact).equals(spans[1].select(exact))
    for name in SCORES:
        assert ((found[name] - expected[name]).abs().fill_null(0) < 1e-4).all(), name
        assert (found[name].is_null() == expected[name].is_null()).all()


def manifests(root: Path) -> dict[str, RunManifest]:
    return {run.run_id: run for run in Dataset(root).runs()} if (root / "runs").is_dir() else {}


def check_committed(bench: Bench, root: Path, kind: str) -> pl.DataFrame:
    """After a fault: what is there was planned, stands there once and is right."""
    found = rows(root)
    doubled = len(found) - found["pair_id"].n_unique()
    bench.count(kind, "doubled", doubled)
    assert not doubled
    assert set(found["pair_id"]) <= bench.planned
    if len(found):
        check_rows(found, bench.reference)
    return found


def recover(bench: Bench, root: Path, kind: str, *options: str, env: Mapping[str, str] | None = None) -> None:
    """The next run, undisturbed, scores what is missing and nothing else; then the data set is as if nothing was."""
    before = check_committed(bench, root, kind)
    known = manifests(root)
    run = bench.start(root, *options, env=env)
    assert run.wait() == 0, run.output()
    [manifest] = [m for run_id, m in manifests(root).items() if run_id not in known]
    missing = len(bench.planned) - len(before)
    bench.count(kind, "pairs left", missing)
    assert (manifest.status, manifest.n_failed) == ("completed", 0)
    assert (manifest.n_scored, manifest.n_reused) == (missing, len(before))
    found = check_committed(bench, root, kind)
    bench.count(kind, "lost", len(bench.planned - set(found["pair_id"])))
    assert set(found["pair_id"]) == bench.planned
    check_clean(root)


def check_clean(root: Path) -> None:
    """No leftover anywhere."""
    names = {entry.name: sorted(p.stem for p in entry.iterdir()) for entry in root.iterdir() if entry.is_dir()}
    assert names["_staging"] == []
    assert names["chunks"] == names["answers"]
    runs = Dataset(root).runs()
    assert {m.run_id for m in runs if m.status != "failed"} <= set(names["summary"]) <= {m.run_id for m in runs}
