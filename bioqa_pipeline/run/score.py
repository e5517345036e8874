"""One shard of a plan into rows in the data set's staging."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import ModelConfig, ScoringConfig
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.errors import NonFiniteLogitError, ShardError
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.devices import processor_name
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScorer, PairScores
from bioqa_pipeline.records.texts import Abstract, Passage
from bioqa_pipeline.run.plan import planned_pairs
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import FailedPair, RunIdentity, ShardPlan, ShardReport
from bioqa_pipeline.run.rows import AskedPairs, answer_table, chunk_table
from bioqa_pipeline.storage.places import storage_at
from bioqa_pipeline.storage.uri import ObjectUri

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """All that a worker process needs to score shards of a run: settings and paths, no data."""

    model: ModelConfig
    scoring: ScoringConfig
    plan: str
    store_path: Path
    root: Path | ObjectUri
    identity: RunIdentity

    def score(self, shard: ShardPlan, progress: Progress | None = None) -> ShardReport:
        """Scores and stages one shard; the model is loaded once a process."""
        with _loading:
            scorer = load_pair_scorer(self.model, self.scoring, self.identity.threshold)
        store = AbstractStore(self.store_path)
        return score_shard(self.plan, shard, store, scorer, self.identity, self.root, progress=progress)


_loading = threading.Lock()
# As they were fetched at some time: a revision that changes no content can change what rows say beside it.
_abstracts: OrderedDict[tuple[Path, int, str, datetime], Abstract] = OrderedDict()
KNOWN_ABSTRACTS = 2048


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
        planned, failed = _load_pairs(planned_pairs(storage, plan, shard), store)
        pairs, scored, unscorable = score_pairs(planned, scorer, progress)
        failed += unscorable
        if not len(pairs):
            raise ShardError(
                f"none of {shard.n_pairs} pairs could be scored: {failed[0].reason}", shard_id=shard.shard_id
            )
        now = max(datetime.now(UTC), identity.started_at)
        answers = answer_table(pairs, scored, scorer, identity, now)
        chunks = chunk_table(pairs, scored, scorer.config.spans, identity)
        write_staged(storage, identity.run_id, shard.shard_id, answers, chunks, {"config": identity.config_json})
    except ShardError:
        raise
    except Exception as exc:
        raise ShardError(f"{type(exc).__name__}: {exc}", shard_id=shard.shard_id) from exc
    report = ShardReport(
        shard_id=shard.shard_id,
        n_pairs=len(pairs),
        n_windows=len(chunks),
        seconds=time.perf_counter() - started,
        failed=tuple(failed),
        n_tokens=int(scored.windows.lengths.sum()),
        processor=processor_name(scorer.scorer.info.device),
        engine=scorer.scorer.info.engine,
    )
    rate = len(chunks) / report.seconds
    logger.info("shard %s: %d pairs, %.1f windows/s, %d failed", shard.shard_id[:12], len(pairs), rate, len(failed))
    return report


def _load_pairs(table: pl.DataFrame, store: AbstractStore) -> tuple[AskedPairs, list[FailedPair]]:
    abstracts = _load_abstracts(store, table["pmid"].unique(maintain_order=True).to_list())
    numbers = {key: number for number, key in enumerate(abstracts)}
    asked = table.select("pmid", "content_hash").iter_rows()
    read = np.array([numbers.get(key, -1) for key in asked], dtype=np.int64)
    reason = "the record changed in the abstract store since the run was planned"
    changed = table.filter(read < 0).select("question_id", "pmid").iter_rows()
    failed = [FailedPair(question_id, pmid, reason) for question_id, pmid in changed]
    return AskedPairs(table.filter(read >= 0), tuple(abstracts.values()), read[read >= 0]), failed


def _load_abstracts(store: AbstractStore, pmids: Sequence[int]) -> dict[tuple[int, str], Abstract]:
    """By PMID and content, the records that the store has now; those that are asked shard after shard are read once."""
    index = store.index(pmids).select("pmid", "content_hash", "fetched_at")
    with _loading:
        known = {key: _abstracts.pop((store.path, *key), None) for key in index.iter_rows()}
        unknown = [pmid for (pmid, _, _), abstract in known.items() if abstract is None]
        read = {(a.pmid, a.content_hash): a for a in store.get(unknown)} if unknown else {}
        found = {}
        for (pmid, content, fetched_at), abstract in known.items():
            if (now := abstract or read.get((pmid, content))) is not None:
                found[pmid, content] = _abstracts[store.path, pmid, content, fetched_at] = now
        while len(_abstracts) > KNOWN_ABSTRACTS:
            _abstracts.popitem(last=False)
        return found


def score_pairs(
    pairs: AskedPairs, scorer: PairScorer, progress: Progress | None
) -> tuple[AskedPairs, PairScores, list[FailedPair]]:
    """Scores pairs together; where a logit is not finite, first one by one, so that the poisoned pair alone is lost.

    Returns:
        the pairs that were scored, their scores, the others.
    """
    passages = [Passage(str(a.pmid), a.passage_text(scorer.config.passage)) for a in pairs.abstracts]
    asked = [(q, passages[i]) for q, i in zip(pairs.rows["question"].to_list(), pairs.read.tolist(), strict=True)]
    try:
        return pairs, scorer.score(asked, progress=progress), []
    except NonFiniteLogitError:
        logger.warning("a score is not finite: scoring %d pairs one by one", len(pairs))
    good, failed = [], []
    names = pairs.rows.select("question_id", "pmid").iter_rows()
    for number, (question_id, pmid) in enumerate(names):
        try:
            scorer.score([asked[number]], progress=progress)
            good.append(number)
        except NonFiniteLogitError as exc:
            failed.append(FailedPair(question_id, pmid, str(exc)))
    return pairs.take(good), scorer.score([asked[i] for i in good]), failed
