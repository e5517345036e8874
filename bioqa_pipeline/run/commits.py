"""Shards as they are scored, into commits and into what failed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.run.plan import lost_pairs
from bioqa_pipeline.run.preflight import SAID
from bioqa_pipeline.run.records import FailedPair, RunPlan, ShardReport, named_pairs
from bioqa_pipeline.storage.base import Storage

logger = logging.getLogger(__name__)


def commit_scored(
    outcomes: Iterable[ShardReport | ShardError],
    plan: RunPlan,
    storage: Storage,
    writer: DatasetWriter,
    failures: list[str],
    reports: list[ShardReport],
) -> list[FailedPair]:
    """Commits each shard as it comes, into `reports`; one that is lost, and single pairs that failed, are named in
    `failures`."""
    by_id = {shard.shard_id: shard for shard in plan.shards}
    failed: list[FailedPair] = []
    n_lost = 0
    for outcome in outcomes:
        if isinstance(outcome, ShardError):
            lost = lost_pairs(plan, storage, by_id[outcome.shard_id], str(outcome))
            failed += lost
            failures.append(f"{outcome}; lost with it: {named_pairs(lost)}")
            n_lost += 1
            if n_lost <= SAID:
                logger.error("%s", outcome)
            continue
        writer.commit_shard(outcome.shard_id)
        reports.append(outcome)
        failed += outcome.failed
        failures += [f"{f.question_id}, PMID {f.pmid}: {f.reason}" for f in outcome.failed]
    if n_lost > SAID:
        logger.error("%d parts of the run failed; the first %d are named above", n_lost, SAID)
    return failed
