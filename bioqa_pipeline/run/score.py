"""One shard of a plan into rows in the data set's staging."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import polars as pl

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import ModelConfig, ScoringConfig
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.errors import NonFiniteLogitError, ShardError
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.devices import processor_name
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScore, PairScorer
from bioqa_pipeline.records.scores import Pair
from bioqa_pipeline.records.texts import Passage, Question
from bioqa_pipeline.run.plan import planned_pairs
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import FailedPair, RunIdentity, ShardPlan, ShardReport
from bioqa_pipeline.run.rows import answer_row, chunk_rows
from bioqa_pipeline.storage.places import storage_at
from bioqa_pipeline.storage.uri import ObjectUri

logger = logging.getLogger(__name__)


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
    return open_pair_scorer(open_checkpoint(model.name, casing=model.casing), model, scoring, threshold)


def open_pair_scorer(
    checkpoint: Checkpoint, model: ModelConfig, scoring: ScoringConfig, threshold: float
) -> PairScorer:
    """The checkpoint on the device of these settings, loaded anew."""
    scorer = load_scorer(checkpoint, device=model.device, precision=model.precision, engine=model.engine)
    logger.info("%s: %s", checkpoint.description, scorer.info)
    return PairScorer(
        scorer, checkpoint.tokenizer(), scoring, threshold=threshold, calibration=checkpoint.settings.calibration
    )


def score_shard(
    plan: str,
    shard: ShardPlan,
    store: AbstractStore,
    scorer: PairScorer,
    identity: RunIdentity,
    root: Path | ObjectUri,
    *,
    progress: Progress | None = None,
) -> ShardReport:
    """Scores one shard of the plan of this name below `root` and stages its rows there; the caller commits them.

    A pair with logits that are not finite, or whose record changed since the plan, is left out and named in the report.

    Args:
        progress: called batch by batch with what was done, in pairs.

    Raises:
        ShardError: not one pair of the shard could be scored, or its rows could not be written.
    """
    started = time.perf_counter()
    try:
        storage = storage_at(root)
        pairs, failed = _load_pairs(planned_pairs(storage, plan, shard), store)
        scored, unscorable = score_pairs(pairs, scorer, progress)
        failed += unscorable
        if not scored:
            raise ShardError(
                f"none of {shard.n_pairs} pairs could be scored: {failed[0].reason}", shard_id=shard.shard_id
            )
        now = max(datetime.now(UTC), identity.started_at)
        answers = [answer_row(pair, score, scorer, identity, now) for pair, score in scored]
        chunks = [row for pair, score in scored for row in chunk_rows(pair, score, scorer, identity)]
        write_staged(storage, identity.run_id, shard.shard_id, answers, chunks, {"config": identity.config_json})
    except ShardError:
        raise
    except Exception as exc:
        raise ShardError(f"{type(exc).__name__}: {exc}", shard_id=shard.shard_id) from exc
    report = ShardReport(
        shard_id=shard.shard_id,
        n_pairs=len(scored),
        n_windows=len(chunks),
        seconds=time.perf_counter() - started,
        failed=tuple(failed),
        n_tokens=sum(row.n_tokens for row in chunks),
        processor=processor_name(scorer.scorer.info.device),
        engine=scorer.scorer.info.engine,
    )
    rate = len(chunks) / report.seconds
    logger.info("shard %s: %d pairs, %.1f windows/s, %d failed", shard.shard_id[:12], len(scored), rate, len(failed))
    return report


def _load_pairs(table: pl.DataFrame, store: AbstractStore) -> tuple[list[Pair], list[FailedPair]]:
    abstracts = {a.pmid: a for a in store.get(table["pmid"].unique(maintain_order=True).to_list())}
    pairs, failed = [], []
    for row in table.iter_rows(named=True):
        abstract = abstracts.get(row["pmid"])
        if abstract is None or abstract.content_hash != row["content_hash"]:
            reason = "the record changed in the abstract store since the run was planned"
            failed.append(FailedPair(row["question_id"], row["pmid"], reason))
            continue
        question = Question(id=row["question_id"], text=row["question"], user_columns=row["user_columns"])
        pairs.append(Pair(question=question, abstract=abstract, rank=row["rank"], pair_id=row["pair_id"]))
    return pairs, failed


def score_pairs(
    pairs: Sequence[Pair], scorer: PairScorer, progress: Progress | None
) -> tuple[list[tuple[Pair, PairScore]], list[FailedPair]]:
    """Scores pairs together; where a logit is not finite, one by one, so that the poisoned pair alone is lost."""
    asked = [
        (p.question.text, Passage(str(p.abstract.pmid), p.abstract.passage_text(scorer.config.passage))) for p in pairs
    ]
    try:
        return list(zip(pairs, scorer.score(asked, progress=progress), strict=True)), []
    except NonFiniteLogitError:
        logger.warning("a logit is not finite: scoring the %d pairs of the shard one by one", len(pairs))
    scored, failed = [], []
    for pair, question in zip(pairs, asked, strict=True):
        try:
            scored.append((pair, scorer.score([question], progress=progress)[0]))
        except NonFiniteLogitError as exc:
            failed.append(FailedPair(pair.question.id, pair.abstract.pmid, str(exc)))
    return scored, failed
