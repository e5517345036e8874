"""One run of the main job: settings in, a committed data set and a manifest out.

The order of the stages stands here once; how a stage is executed, in this process, as a task of an orchestrator or on
other machines, is the `Executor`'s.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property

from pydantic import SecretStr

from bioqa_pipeline.config import NUMBERS, RunConfig
from bioqa_pipeline.dataset.manifest import MOST_NAMED, RunManifest, SkippedRecord, shortened
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import SCHEMA_VERSION, STAGING
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import BioqaError
from bioqa_pipeline.messages import shown
from bioqa_pipeline.qa.devices import emulated
from bioqa_pipeline.qa.engines import faster_engine, resolve_engine
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Retrieval, RetrievalOutcome
from bioqa_pipeline.run.clock import since_last_run, start_time
from bioqa_pipeline.run.commits import commit_scored
from bioqa_pipeline.run.current import update_current
from bioqa_pipeline.run.executor import FINISH, Executor
from bioqa_pipeline.run.manifest import run_cost, run_status, unfinished_manifest
from bioqa_pipeline.run.pages import RunPages
from bioqa_pipeline.run.plan import automatic_shard_pairs, count_statuses, plan_run, scan_plan
from bioqa_pipeline.run.preflight import Preflight, preflight
from bioqa_pipeline.run.progress import Reporter
from bioqa_pipeline.run.records import FailedPair, RunIdentity, RunPlan, RunResult, ShardReport
from bioqa_pipeline.run.retrieve import retrieve
from bioqa_pipeline.run.score import ScoringJob
from bioqa_pipeline.run.summarise import summarise
from bioqa_pipeline.sources import check_source, open_source, what_source_leaves_out
from bioqa_pipeline.sources.base import Source

logger = logging.getLogger(__name__)


def run_job(
    config: RunConfig,
    *,
    executor: Executor | None = None,
    reporter: Reporter | None = None,
    api_key: SecretStr | None = None,
    ready: Preflight | None = None,
) -> RunResult:
    """Runs the main job from question file to manifest.

    Single abstracts, searches and shards that fail are counted and named in the result, the rest is committed. An error
    that breaks the run off is written to the manifest and raised; what was committed before it stays.

    Args:
        api_key: for source pubmed; None takes NCBI_API_KEY where that is set.
        ready: what `preflight` gave for these settings, where it was asked already.

    Raises:
        BioqaError: the run cannot start or go on.
    """
    run = _Run(config, ready or preflight(config), executor or Executor(), reporter or Reporter(), api_key)
    return run.run()


class _Run:
    def __init__(
        self,
        config: RunConfig,
        ready: Preflight,
        executor: Executor,
        reporter: Reporter,
        api_key: SecretStr | None,
    ) -> None:
        self.started = datetime.now(UTC)
        self.run_id = f"{self.started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.begun = time.monotonic()
        self.executor, self.reporter, self.api_key = executor, reporter, api_key
        self.dataset = Dataset(config.out)
        self.timings: dict[str, float] = {}
        self.ready = ready
        check_source(config.source)
        model = executor.resolve(config.model)
        scoring = config.scoring.changed(windows=self.ready.checkpoint.settings.windows)
        self.config = config.changed(
            questions=ready.questions.path,
            model=model,
            scoring=scoring,
            threshold=self.ready.threshold,
            out=config.out.absolute(),
        )
        self.scoring_key = scoring.key(
            checkpoint_digest=self.ready.checkpoint.digest, precision=model.precision, schema_version=SCHEMA_VERSION
        )
        self.failures: list[str] = []
        self.pages = RunPages(self.dataset, self.config, self.run_id, self.failures)
        # What of the run is known so far, for the manifest of one that breaks off.
        self.source: Source | None = None
        self.retrievals: list[Retrieval] = []
        self.reports: list[ShardReport] = []

    def run(self) -> RunResult:
        for line in self.ready.introduction():
            self.reporter.say(line)
        with self.dataset.writer(self.run_id, wait=self.config.wait_for_lock) as writer:
            try:
                # Waiting for the data set is no part of the run.
                self.started, self.begun = start_time(self.dataset), time.monotonic()
                return self._run(writer)
            except BaseException as exc:
                self._finish_failed(writer, exc)
                raise

    def _run(self, writer: DatasetWriter) -> RunResult:
        since = since_last_run(self.dataset) if self.config.source.since_last_run else None
        self.source = source = open_source(
            self.config.source,
            since=since,
            api_key=self.api_key,
            with_titles=self.config.scoring.passage != "abstract",
        )
        for line in what_source_leaves_out(source.describe(), self.config.source, self.config.scoring.passage):
            self.reporter.say(line)
        self.retrievals = self._retrieve(source)
        plan = self._plan(source, self.retrievals, writer)
        failed = self._score(source, plan, writer)
        answers = self._summarise(source, plan, writer)
        pages = self.pages
        asked, searches = self.ready.questions.questions, self.retrievals
        with pages.whole_without("table of current answers"):
            pages.current = update_current(
                self.identity, self.dataset, asked, searches, plan.name, source.store, answers
            )
        manifest = self._manifest().changed(
            status=run_status(self.retrievals, self.failures),
            n_pairs=plan.n_pairs,
            n_reused=plan.n_reused,
            n_failed=len(failed),
            statuses=count_statuses(plan, self.dataset.storage, failed),
            skipped=tuple(SkippedRecord.of(m) for m in plan.missing[:MOST_NAMED]),
        )
        manifest = self.executor.stage(FINISH, lambda: pages.finish(writer, manifest))
        return RunResult(manifest, tuple(answers), tuple(self.failures), pages.has_page, pages.delta)

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
                    passage=self.config.scoring.passage,
                ),
            )
        for line in plan.in_words():
            self.reporter.say(line)
        return plan

    def _shard_pairs(self, n_new: int) -> int:
        if self.config.shard_pairs != "auto":
            return self.config.shard_pairs
        on_gpu = self.config.model.device.startswith("cuda")
        return automatic_shard_pairs(n_new, on_gpu=on_gpu, n_workers=self.executor.n_workers)

    def _score(self, source: Source, plan: RunPlan, writer: DatasetWriter) -> list[FailedPair]:
        total = plan.n_pairs - plan.n_reused
        model = self.config.model
        # By all pairs, so that a run that goes on has the engine, and with it the bits, with which it began.
        model = model.changed(engine=resolve_engine(model.engine, model.device, n_pairs=plan.n_pairs))
        job = ScoringJob(
            model=model,
            scoring=self.config.scoring,
            plan=plan.name,
            store_path=source.store.path,
            root=self.config.out,
            identity=self.identity,
        )
        if not plan.shards:
            return []
        self.reporter.say(f"scoring on {model.device} in {NUMBERS[model.precision]} with {model.engine}")
        hints = faster_engine(self.config.model.engine, model.device, n_pairs=total), emulated(model)
        for hint in filter(None, hints):
            self.reporter.say(hint)
        with (
            self._timed("score"),
            self.reporter.stage("scoring", total, "pairs") as progress,
            closing(self.executor.score(job, plan.shards, progress)) as outcomes,
        ):
            return commit_scored(outcomes, plan, self.dataset.storage, writer, self.failures, self.reports)

    def _summarise(self, source: Source, plan: RunPlan, writer: DatasetWriter) -> list[MergedAnswer]:
        with self._timed("summarise"):
            answers = self.executor.stage(
                "summarise",
                lambda: summarise(
                    self.ready.questions.questions,
                    self.retrievals,
                    scan_plan(self.dataset.storage, plan.name).select("question_index", "pair_id"),
                    self.dataset.answers(),
                    source.store,
                    self.identity,
                ),
            )
            writer.write_summary(answers, {"config": self.identity.config_json})
        return answers

    @cached_property
    def identity(self) -> RunIdentity:
        """Of the run from when it has begun."""
        checkpoint = self.ready.checkpoint
        return RunIdentity(
            run_id=self.run_id,
            started_at=self.started,
            scoring_key=self.scoring_key,
            model=checkpoint.name,
            model_revision=checkpoint.revision,
            config_json=self.config.model_dump_json(),
            threshold=self.ready.threshold,
            max_answers=self.config.max_answers,
            is_calibrated=checkpoint.settings.calibration is not None,
        )

    def _manifest(self) -> RunManifest:
        return unfinished_manifest(
            self.identity,
            self.config,
            self.ready,
            # By the steady clock, so that no run ends before it began.
            finished_at=max(datetime.now(UTC), self.started + timedelta(seconds=time.monotonic() - self.begun)),
            retrievals=self.retrievals,
            failures=self.failures,
            timings_seconds=self.timings,
            source=self.source.describe() if self.source else {},
            reports=self.reports,
            cost=run_cost(self.reports, self.config.model, self.timings, self.executor),
        )

    def _finish_failed(self, writer: DatasetWriter, exc: BaseException) -> None:
        """A manifest for a run that broke off; that it cannot be written either must not hide why."""
        error = shown(f"{type(exc).__name__}: {exc}").rstrip(": ")
        try:
            manifest = self._manifest().changed(error=shortened(error), n_pairs=sum(r.n_pairs for r in self.reports))
            # Who interrupts a run does not wait for a page, and may kill it before there is a manifest.
            finish = self.pages.finish if isinstance(exc, Exception) else DatasetWriter.finish
            finish(writer, manifest)
        except (BioqaError, OSError) as second:
            logger.error("the manifest of run %s could not be written: %s", self.run_id, second)
