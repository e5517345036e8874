"""One run of the main job: settings in, a committed data set and a manifest out.

The order of the stages stands here once; how a stage is executed, in this process, as a Prefect task or on other
machines, is the `Executor`'s. Knows nothing about Prefect, terminals or arguments.
"""

from __future__ import annotations

import json
import logging
import platform
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import SecretStr

from bioqa_pipeline import __version__
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import ModelConfig, RunConfig, ScoringConfig
from bioqa_pipeline.dataset.manifest import MOST_NAMED, RetrievalRecord, RunManifest, RunStatus, SkippedRecord
from bioqa_pipeline.dataset.reader import Dataset, DatasetWriter
from bioqa_pipeline.dataset.schemas import SCHEMA_VERSION, STAGING
from bioqa_pipeline.errors import BioqaError, DatasetError, InputError, ShardError
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.inference import load_scorer, resolve_device, resolve_engine, resolve_precision
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.questions.files import QuestionFile, read_questions
from bioqa_pipeline.questions.query_lint import query_problems
from bioqa_pipeline.records import MergedAnswer, Retrieval, RetrievalOutcome
from bioqa_pipeline.report.page import write_report
from bioqa_pipeline.run.pipeline import (
    FailedPair,
    Progress,
    RunIdentity,
    RunPlan,
    ShardPlan,
    ShardReport,
    automatic_shard_pairs,
    count_statuses,
    plan_run,
    planned_pairs,
    retrieve,
    score_shard,
    summarise,
)
from bioqa_pipeline.sources import check_source, open_source
from bioqa_pipeline.sources.base import Source
from bioqa_pipeline.storage.local import Storage
from bioqa_pipeline.storage.uri import ObjectUri

logger = logging.getLogger(__name__)

T = TypeVar("T")

REPORTED_PACKAGES = ("torch", "transformers", "tokenizers", "polars", "pyarrow", "biopython", "prefect")
# The stage that makes the run a part of the data set.
FINISH = "finish"
# PubMed dates an entry by the day and indexes late: two days' overlap loses nothing and costs what is scored already.
SINCE_OVERLAP = timedelta(days=2)
# Of a shard that failed as a whole.
NAMED_PAIRS = 8


class Reporter(Protocol):
    """Where a run says how far it is."""

    def say(self, text: str) -> None: ...

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Progress]: ...


class SilentReporter:
    """Says nothing."""

    def say(self, text: str) -> None:
        pass

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda steps: None)


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """All that a worker process needs to score shards of a run: settings and paths, no data."""

    model: ModelConfig
    scoring: ScoringConfig
    threshold: float
    plan: str
    store_path: Path
    root: Path | ObjectUri
    identity: RunIdentity

    def score(self, shard: ShardPlan, progress: Progress | None = None) -> ShardReport:
        """Scores and stages one shard; the model is loaded once a process."""
        with _loading:
            scorer = load_pair_scorer(self.model, self.scoring, self.threshold)
        store = AbstractStore(self.store_path)
        return score_shard(self.plan, shard, store, scorer, self.identity, self.root, progress=progress)


_loading = threading.Lock()


@lru_cache(maxsize=1)
def load_pair_scorer(model: ModelConfig, scoring: ScoringConfig, threshold: float) -> PairScorer:
    """The checkpoint on its device, kept for the life of the process."""
    checkpoint = open_checkpoint(model.name, casing=model.casing)
    scorer = load_scorer(checkpoint, device=model.device, precision=model.precision, engine=model.engine)
    logger.info("%s: %s", checkpoint.description, scorer.info)
    return PairScorer(
        scorer, checkpoint.tokenizer(), scoring, threshold=threshold, calibration=checkpoint.settings.calibration
    )


def resolve_model(model: ModelConfig) -> ModelConfig:
    """Device and precision as they are on this machine.

    Raises:
        ConfigError: this machine has no such device, or the device no such precision or engine.
    """
    device = resolve_device(model.device)
    precision = resolve_precision(model.precision, device)
    resolve_engine(model.engine, device, n_pairs=0)
    return model.model_copy(update={"device": device, "precision": precision})


class Executor(Protocol):
    """How stages are executed.

    Attributes:
        n_workers: how many shards are scored at once, as far as that is known.
    """

    n_workers: int

    def resolve(self, model: ModelConfig) -> ModelConfig:
        """Device and precision as they are where shards are scored; raises ConfigError."""
        ...

    def stage(self, name: str, function: Callable[[], T]) -> T:
        """Calls a function of the flow's own process."""
        ...

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Iterator[ShardReport | ShardError]:
        """Scores all shards, in any order; one that fails gives its error in place of a report."""
        ...


class InProcess:
    """One stage after the other, here."""

    n_workers = 1

    def resolve(self, model: ModelConfig) -> ModelConfig:
        return resolve_model(model)

    def stage(self, name: str, function: Callable[[], T]) -> T:
        return function()

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Iterator[ShardReport | ShardError]:
        for shard in shards:
            try:
                yield job.score(shard, progress)
            except ShardError as exc:
                yield exc


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to; `answers` in the order of the question file."""

    manifest: RunManifest
    answers: tuple[MergedAnswer, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preflight:
    """What can be checked before anything is started."""

    questions: QuestionFile
    checkpoint: Checkpoint
    threshold: float


def preflight(config: RunConfig) -> Preflight:
    """Reads the questions and opens the checkpoint, so that what is wrong with them is said at once.

    Raises:
        InputError: the file of questions.
        CheckpointError: the model.
        ConfigError: device or precision.
    """
    questions = read_questions(config.questions)
    for question in questions.questions:
        if question.query is not None and (problems := query_problems(question.query)):
            raise InputError(f"the query of this question: {'; '.join(problems)}", questions.path, question.line)
    if config.runner == "local":
        resolve_model(config.model)
    checkpoint = open_checkpoint(config.model.name, casing=config.model.casing)
    threshold = checkpoint.settings.score_diff_threshold if config.threshold is None else config.threshold
    return Preflight(questions=questions, checkpoint=checkpoint, threshold=threshold)


def run_job(
    config: RunConfig,
    *,
    executor: Executor | None = None,
    reporter: Reporter | None = None,
    api_key: SecretStr | None = None,
) -> RunResult:
    """Runs the main job from question file to manifest.

    Single abstracts, searches and shards that fail are counted and named in the result, the rest is committed. An error
    that breaks the run off is written to the manifest and raised; what was committed before it stays.

    Args:
        api_key: for source pubmed; None takes NCBI_API_KEY where that is set.

    Raises:
        BioqaError: the run cannot start or go on.
    """
    return _Run(config, executor or InProcess(), reporter or SilentReporter(), api_key).run()


class _Run:
    def __init__(self, config: RunConfig, executor: Executor, reporter: Reporter, api_key: SecretStr | None) -> None:
        self.started = datetime.now(UTC)
        self.run_id = f"{self.started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.begun = time.monotonic()
        self.executor, self.reporter, self.api_key = executor, reporter, api_key
        self.dataset = Dataset(config.out)
        self.timings: dict[str, float] = {}
        self.ready = preflight(config)
        check_source(config.source)
        model = executor.resolve(config.model)
        scoring = config.scoring.model_copy(update={"windows": self.ready.checkpoint.settings.windows})
        self.config = config.model_copy(
            update={"model": model, "scoring": scoring, "threshold": self.ready.threshold, "out": config.out.absolute()}
        )
        self.scoring_key = scoring.key(
            checkpoint_digest=self.ready.checkpoint.digest, precision=model.precision, schema_version=SCHEMA_VERSION
        )
        self.failures: list[str] = []
        # What of the run is known so far, for the manifest of one that breaks off.
        self.source: Source | None = None
        self.retrievals: list[Retrieval] = []

    def run(self) -> RunResult:
        self._introduce()
        with self.dataset.writer(self.run_id, wait=self.config.wait_for_lock) as writer:
            try:
                self._start_clock()
                return self._run(writer)
            except BaseException as exc:
                self._finish_failed(writer, exc)
                raise

    def _run(self, writer: DatasetWriter) -> RunResult:
        self.source = source = open_source(self.config.source, since=self._since(), api_key=self.api_key)
        self.retrievals = self._retrieve(source)
        plan = self._plan(source, self.retrievals, writer)
        reports, failed = self._score(source, plan, writer)
        answers = self._summarise(plan, writer)
        manifest = self._manifest(status="partial" if self.failures else "completed").model_copy(
            update={
                "n_pairs": plan.n_pairs,
                "n_reused": plan.n_reused,
                "n_scored": sum(r.n_pairs for r in reports),
                "n_failed": len(failed),
                "n_windows": sum(r.n_windows for r in reports),
                "statuses": count_statuses(plan, self.dataset.storage, failed),
                "skipped": tuple(SkippedRecord.of(m) for m in plan.missing[:MOST_NAMED]),
            }
        )
        manifest = self.executor.stage(FINISH, lambda: self._finish(writer, manifest))
        return RunResult(manifest=manifest, answers=tuple(answers), failures=tuple(self.failures))

    def _finish(self, writer: DatasetWriter, manifest: RunManifest) -> RunManifest:
        self._write_page(writer, manifest)
        return writer.finish(manifest)

    def _introduce(self) -> None:
        questions = self.ready.questions
        for merged in questions.merged:
            lines = ", ".join(map(str, merged.lines))
            dropped = f", the ids {', '.join(merged.dropped_ids)} are not used" if merged.dropped_ids else ""
            self.reporter.say(
                f"{questions.path}: asked on lines {lines}, answered once as {merged.id}{dropped}: {merged.text}"
            )
        self.reporter.say(f"{len(questions.questions):,} questions; model {self.ready.checkpoint.description}")

    def _start_clock(self) -> None:
        """Starts the run later than all that the data set holds, also where the clock has been put back since."""
        self.started = datetime.now(UTC)
        try:
            last = self.dataset.last_time()
        except DatasetError as exc:
            logger.warning("when the last run ended is not known: %s", exc)
            last = None
        if last is not None and last >= self.started:
            logger.warning("the clock was put back: this run's times go on from %s, the last in the data set", last)
            self.started = last + timedelta(microseconds=1)
        self.begun = time.monotonic()

    def _since(self) -> datetime | None:
        """When the last finished run began; one that began in the future had a wrong clock and says nothing."""
        if not self.config.source.since_last_run:
            return None
        now = datetime.now(UTC)
        finished = [m.started_at for m in self.dataset.runs() if m.status == "completed" and m.started_at < now]
        return max(finished) - SINCE_OVERLAP if finished else None

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = round(time.perf_counter() - started, 3)

    def _retrieve(self, source: Source) -> list[Retrieval]:
        questions = self.ready.questions.questions
        limit = self.config.source.max_abstracts
        with self._timed("retrieve"), self.reporter.stage("searching", len(questions), "questions") as progress:
            retrievals = self.executor.stage("search", lambda: retrieve(questions, source, limit, progress=progress))
        self.failures += [
            f"search for {r.question_id} failed: {r.error}" for r in retrievals if r.outcome is RetrievalOutcome.FAILED
        ]
        return retrievals

    def _plan(self, source: Source, retrievals: Sequence[Retrieval], writer: DatasetWriter) -> RunPlan:
        pmids = list(dict.fromkeys(hit.pmid for r in retrievals for hit in r.hits))
        with self._timed("fetch"), self.reporter.stage("fetching", len(pmids), "abstracts") as progress:
            missing = self.executor.stage("fetch", lambda: source.ensure(pmids, progress=progress))
        with self._timed("plan"):
            plan = self.executor.stage(
                "plan",
                lambda: plan_run(
                    self.ready.questions.questions,
                    retrievals,
                    missing,
                    source.store,
                    writer.done,
                    scoring_key=self.scoring_key,
                    shard_pairs=self._shard_pairs,
                    storage=self.dataset.storage,
                    name=f"{STAGING}/{self.run_id}/plan.parquet",
                ),
            )
        new = plan.n_pairs - plan.n_reused
        self.reporter.say(
            f"{plan.n_pairs:,} (question, abstract) pairs: {plan.n_reused:,} in the data set already, {new:,} new"
        )
        return plan

    def _shard_pairs(self, n_new: int) -> int:
        if self.config.shard_pairs != "auto":
            return self.config.shard_pairs
        on_gpu = self.config.model.device.startswith("cuda")
        return automatic_shard_pairs(n_new, on_gpu=on_gpu, n_workers=self.executor.n_workers)

    def _score(
        self, source: Source, plan: RunPlan, writer: DatasetWriter
    ) -> tuple[list[ShardReport], list[FailedPair]]:
        identity = RunIdentity(
            run_id=self.run_id,
            started_at=self.started,
            scoring_key=self.scoring_key,
            model=self.ready.checkpoint.name,
            model_revision=self.ready.checkpoint.revision,
            config_json=self.config.model_dump_json(),
        )
        total = plan.n_pairs - plan.n_reused
        model = self.config.model
        model = model.model_copy(update={"engine": resolve_engine(model.engine, model.device, n_pairs=total)})
        job = ScoringJob(
            model=model,
            scoring=self.config.scoring,
            threshold=self.ready.threshold,
            plan=plan.name,
            store_path=source.store.path,
            root=self.config.out,
            identity=identity,
        )
        by_id = {shard.shard_id: shard for shard in plan.shards}
        reports: list[ShardReport] = []
        failed: list[FailedPair] = []
        if not plan.shards:
            return reports, failed
        self.reporter.say(f"scoring on {model.device} in {model.precision} with {model.engine}")
        with (
            self._timed("score"),
            self.reporter.stage("scoring", total, "pairs") as progress,
            _ended_with(self.executor.score(job, plan.shards, progress)) as outcomes,
        ):
            for outcome in outcomes:
                if isinstance(outcome, ShardError):
                    lost = _pairs_of(plan, self.dataset.storage, by_id[outcome.shard_id], str(outcome))
                    failed += lost
                    self.failures.append(f"{outcome}; lost with it: {_named(lost)}")
                    logger.error("%s", outcome)
                    continue
                writer.commit_shard(outcome.shard_id)
                reports.append(outcome)
                failed += outcome.failed
                self.failures += [f"{f.question_id}, PMID {f.pmid}: {f.reason}" for f in outcome.failed]
        return reports, failed

    def _summarise(self, plan: RunPlan, writer: DatasetWriter) -> list[MergedAnswer]:
        with self._timed("summarise"):
            answers = self.executor.stage(
                "summarise",
                lambda: summarise(
                    self.ready.questions.questions,
                    plan.name,
                    self.dataset,
                    threshold=self.ready.threshold,
                    max_answers=self.config.max_answers,
                ),
            )
            writer.write_summary(answers, {"config": self.config.model_dump_json()})
        return answers

    def _manifest(self, *, status: RunStatus, error: str | None = None) -> RunManifest:
        checkpoint = self.ready.checkpoint
        return RunManifest(
            run_id=self.run_id,
            started_at=self.started,
            finished_at=max(datetime.now(UTC), self.started + timedelta(seconds=time.monotonic() - self.begun)),
            status=status,
            n_questions=len(self.ready.questions.questions),
            n_pairs=0,
            n_windows=0,
            n_scored=0,
            n_reused=0,
            retrievals=tuple(RetrievalRecord.of(r) for r in self.retrievals),
            n_failures=len(self.failures),
            failures=tuple(self.failures[:MOST_NAMED]),
            config=json.loads(self.config.model_dump_json()),
            versions={
                "bioqa": __version__,
                "python": platform.python_version(),
                **{p: version(p) for p in REPORTED_PACKAGES},
            },
            timings_seconds=self.timings,
            scoring_key=self.scoring_key,
            source=self.source.describe() if self.source else {},
            model={
                "name": checkpoint.name,
                "revision": checkpoint.revision,
                "digest": checkpoint.digest,
                "casing": checkpoint.casing,
            },
            error=error,
        )

    def _write_page(self, writer: DatasetWriter, manifest: RunManifest) -> None:
        """The run's page, before its manifest; whatever is wrong with it, the run ends as it would without."""
        try:
            writer.write_page(write_report(self.dataset, self.run_id, manifest=manifest))
        except Exception as exc:
            is_explained = isinstance(exc, BioqaError)
            logger.error("the page of run %s could not be made: %s", self.run_id, exc, exc_info=not is_explained)
            self.failures.append(
                f"the run is whole, but its page could not be made: {type(exc).__name__}: {exc}; "
                f"make it again with: python -m flows.report --data-set {self.dataset.storage.location}"
            )

    def _finish_failed(self, writer: DatasetWriter, exc: BaseException) -> None:
        """A manifest for a run that broke off; that it cannot be written either must not hide why."""
        error = f"{type(exc).__name__}: {exc}".rstrip(": ")
        try:
            manifest = self._manifest(status="failed", error=error)
            # Who interrupts a run does not wait for a page, and may kill it before there is a manifest.
            if isinstance(exc, Exception):
                self._write_page(writer, manifest)
            writer.finish(manifest)
        except (BioqaError, OSError) as second:
            logger.error("the manifest of run %s could not be written: %s", self.run_id, second)


def _named(pairs: Sequence[FailedPair]) -> str:
    """The first few in full; all of them where they are few."""
    names = [f"{pair.question_id}, PMID {pair.pmid}" for pair in pairs[:NAMED_PAIRS]]
    more = f" and {len(pairs) - NAMED_PAIRS:,} more pairs" if len(pairs) > NAMED_PAIRS else ""
    return "; ".join(names) + more


@contextmanager
def _ended_with(outcomes: Iterator[T]) -> Iterator[Iterator[T]]:
    """Ends the work behind the iterator, where it is a generator, as soon as nobody asks for more of it."""
    try:
        yield outcomes
    finally:
        if isinstance(outcomes, Generator):
            outcomes.close()


def _pairs_of(plan: RunPlan, storage: Storage, shard: ShardPlan, reason: str) -> list[FailedPair]:
    pairs = planned_pairs(storage, plan.name, shard, ["question_id", "pmid"])
    return [FailedPair(question_id, pmid, reason) for question_id, pmid in pairs.iter_rows()]
