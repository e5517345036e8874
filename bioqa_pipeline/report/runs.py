"""The runs of a data set, for pages: one by its id, the one before, whether it asked the newest records only."""

from __future__ import annotations

import logging
from collections.abc import Set

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import ConfigError, DatasetError
from bioqa_pipeline.report.data import Searches

logger = logging.getLogger(__name__)

# Runs that are looked through for the one before: each costs reading a manifest.
EARLIER_RUNS = 30


def read_manifest(dataset: Dataset, run_id: str) -> RunManifest:
    """The manifest of one run.

    Raises:
        ConfigError: there is none.
        DatasetError: it cannot be read.
    """
    if run_id not in dataset.run_ids():
        raise ConfigError(f"{dataset.storage.location}: run {run_id} has no manifest; give the id of a file in runs/")
    return dataset.run(run_id)


def only_newest(manifest: RunManifest) -> bool:
    """Whether the run asked only the records that came since the one before."""
    source = manifest.config.get("source")
    return isinstance(source, dict) and bool(source.get("since_last_run"))


def previous_run(dataset: Dataset, manifest: RunManifest, summary: pl.DataFrame) -> RunManifest | None:
    """The last run before this one that came to its end and asked some of its questions.

    Run ids begin with a time, but the clock may have been put back since: ids on both sides are looked at.
    """
    asked = {*Searches(manifest).named, *summary["question_id"]}
    names = dataset.run_ids()
    below = sorted(n for n in names if n < manifest.run_id)[-EARLIER_RUNS:]
    above = sorted(n for n in names if n > manifest.run_id)[-EARLIER_RUNS:]
    earlier = []
    for run_id in [*below, *above]:
        try:
            run = dataset.run(run_id)
        except DatasetError as exc:
            logger.warning("passed over: %s", exc)
            continue
        if run.started_at < manifest.started_at and run.status != "failed":
            earlier.append(run)
    latest_first = sorted(earlier, key=lambda run: run.started_at, reverse=True)
    return next((run for run in latest_first if _asked_one_of(dataset, run, asked)), None)


def _asked_one_of(dataset: Dataset, run: RunManifest, asked: Set[str]) -> bool:
    searches = Searches(run)
    if not asked.isdisjoint(searches.named):
        return True
    n_searches = sum(run.search_outcomes.values())
    return n_searches > len(searches.named) and not asked.isdisjoint(dataset.run_summary(run.run_id)["question_id"])
