"""Faults of whole runs of the main job, from the file of questions to the manifest, with answers of a canned scorer."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, Self

import polars as pl
import pytest

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import BioqaError
from bioqa_pipeline.qa.scoring import PairScorer, PairScores
from bioqa_pipeline.records.texts import Passage
from bioqa_pipeline.run import clock, job, score
from bioqa_pipeline.run.job import run_job
from faults.disk import Disk
from faults.ledger import PROVENANCE, Finding, Ledger
from faults.on_disk import SCRATCH, DiskHistory
from faults.system import System
from faults.work import UnexpectedError
from support.checkpoints import make_checkpoint
from support.small_runs import small_config, write_records

QUESTIONS = ("Which drug treats malaria?", "Does a drug treat malaria?", "What treats malaria?", "Which drug treats?")


class CannedScorer:
    """A scorer that scores some pairs together once and says the same ever after."""

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[tuple[str, Passage], ...], PairScores] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(self, pairs: Sequence[tuple[str, Passage]], *, progress: Any = None) -> PairScores:
        key = tuple(pairs)
        if key not in self._known:
            self._known[key] = self._scorer.score(pairs)
        return self._known[key]


class Bench:
    """What all these runs share: records, a checkpoint, and what all questions come to where nothing disturbs them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=SCRATCH))
        write_records(self.folder / "records")
        self._settings = small_config(self.folder, make_checkpoint(self.folder / "model", layers=1))
        scorer = score.load_pair_scorer
        self._scorers: dict[Any, CannedScorer] = {}
        self.load = lambda *key: self._scorers.setdefault(key, CannedScorer(scorer(*key)))
        with self.patched():
            run_job(self.config(len(QUESTIONS), self.folder / "reference"))
        dataset = Dataset(self.folder / "reference")
        answers = dataset.answers().collect().drop(PROVENANCE).sort("pair_id")
        self.expected: pl.DataFrame = answers
        self.windows = dict(dataset.chunks().group_by("pair_id").len().collect().iter_rows())

    def config(self, n_questions: int, out: Path) -> RunConfig:
        path = self.folder / f"questions-{n_questions}.txt"
        path.write_text("\n".join(QUESTIONS[:n_questions]))
        return self._settings.changed(questions=path, out=out, shard_pairs=2)

    def planned(self, n_questions: int) -> set[str]:
        asked = self.expected.filter(pl.col("question").is_in(QUESTIONS[:n_questions]))
        return set(asked["pair_id"].to_list())

    @contextmanager
    def patched(self) -> Iterator[pytest.MonkeyPatch]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BIOQA_CACHE", str(self.folder / "cache"))
            patch.setattr(score, "load_pair_scorer", self.load)
            yield patch


@cache
def bench() -> Bench:
    import atexit

    made = Bench()
    atexit.register(shutil.rmtree, made.folder, ignore_errors=True)
    return made


class JobWork:
    """A run of the main job; writes down what it was promised."""

    def __init__(self, history: JobHistory) -> None:
        self.history = history

    def run(self, n_questions: int) -> None:
        history, ledger = self.history, self.history.ledger
        try:
            manifest = run_job(bench().config(n_questions, Path(history.dataset.storage.location))).manifest
        except BioqaError as exc:
            if not history.system.struck or "\n" in str(exc):
                raise UnexpectedError(f"{history.system.struck or 'no fault'}: {exc}") from exc
            return
        ledger.finished.add(manifest.run_id)
        if manifest.status == "completed":
            ledger.must |= bench().planned(n_questions)
            if manifest.n_pairs != manifest.n_scored + manifest.n_reused:
                raise UnexpectedError(f"a manifest that does not add up: {manifest}")
        elif not history.system.struck:
            raise UnexpectedError(f"without a fault {manifest.status}: {manifest.failures}")


class JobHistory(DiskHistory):
    """The life of a data set that runs of the main job write."""

    most = len(QUESTIONS)

    def __init__(self, rng: random.Random, system: System) -> None:
        # The order in which runs had the data set.
        self.order: list[str] = []
        super().__init__(rng, system, Ledger(bench().expected, bench().windows))

    def work(self) -> JobWork:  # type: ignore[override]
        return JobWork(self)

    def check(self) -> None:
        super().check()
        if self.findings or not self.dataset.storage.exists():
            return
        runs = [run for run in self.dataset.runs() if run.run_id in self.order]
        if [run.run_id for run in runs] != [r for r in self.order if r in {run.run_id for run in runs}]:
            self.findings.append(Finding("unexplained", "the times of runs are not in their order"))
        scored = dict(self.dataset.answers().group_by("run_id").agg(pl.col("scored_at").max()).collect().iter_rows())
        end = datetime.min.replace(tzinfo=UTC)
        for run in runs:
            if not end < run.started_at <= run.finished_at:
                self.findings.append(Finding("unexplained", f"run {run.run_id} began before the one before it ended"))
            end = max(run.finished_at, scored.get(run.run_id, run.finished_at))


@contextmanager
def job_history(rng: random.Random) -> Iterator[JobHistory]:
    with (
        tempfile.TemporaryDirectory(dir=SCRATCH) as folder,
        bench().patched() as patch,
        System(Disk(Path(folder))) as system,
    ):
        _spy(patch, lambda: history)
        history = JobHistory.__new__(JobHistory)
        history.__init__(rng, system)  # type: ignore[misc]
        yield history


def _spy(patch: pytest.MonkeyPatch, history: Any) -> None:
    """Sees which pairs are committed, and which runs begin."""
    staged: dict[str, set[str]] = {}
    stage, commit, writer = score.write_staged, DatasetWriter.commit_shard, Dataset.writer

    def write_staged(root: Any, run_id: str, shard_id: str, answers: Any, chunks: Any, metadata: Any) -> None:
        staged[shard_id] = set(answers["pair_id"].to_pylist())
        stage(root, run_id, shard_id, answers, chunks, metadata)

    def commit_shard(self: DatasetWriter, shard_id: str) -> bool:
        history().ledger.may |= staged[shard_id]
        added = commit(self, shard_id)
        history().ledger.must |= staged[shard_id]
        return added

    @contextmanager
    def open_writer(self: Dataset, run_id: str, *, wait: bool = True) -> Iterator[DatasetWriter]:
        history().ledger.begun.add(run_id)
        with writer(self, run_id, wait=wait) as opened:
            history().order.append(run_id)
            yield opened

    patch.setattr(score, "write_staged", write_staged)
    patch.setattr(DatasetWriter, "commit_shard", commit_shard)
    patch.setattr(Dataset, "writer", open_writer)


# Further ahead no clock is believed (bioqa_pipeline/run/clock.py).
MOST_SECONDS = 1e6


class JumpingClock:
    """Stands for `datetime` in the modules of a run: jumps now and then, also within a run."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._offset = timedelta()
        self.jumps = 0

    def __enter__(self) -> Self:
        clock_self = self

        class Jumping(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return clock_self.read(tz)

        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for module in (clock, job, score):
                patch.setattr(module, "datetime", Jumping)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, tz: tzinfo | None) -> datetime:
        if self._rng.random() < 0.3:
            self.jumps += 1
            seconds = self._rng.choice((1e-3, 1.0, 3600.0, 86400.0, MOST_SECONDS))
            self._offset = timedelta(seconds=self._rng.uniform(-seconds, seconds))
        return datetime.now(tz) + self._offset


def clock_jumped(history: JobHistory) -> None:
    """The clock goes back and forth, between runs and within them."""
    with JumpingClock(history.rng) as jumping:
        for _ in range(history.rng.randint(1, 2)):
            history.grow()
            history.work().run(history.n_pairs)
            history.check()
    history.inject(f"{jumping.jumps} jumps of the clock", times=jumping.jumps)
    history.recover()
