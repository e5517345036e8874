"""Rows of `answers` into what holds of them today: no history, decided by the newest threshold. Reads no files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest

_OF_ONE = ("question_id", "question", "pmid", "scoring_key")


def without_history(answers: pl.LazyFrame) -> pl.LazyFrame:
    """Of the rows that differ in the abstract's content only, the one that was scored last."""
    last = pl.col("pair_id").sort_by("scored_at", "pmid_version", "pair_id").last()
    return answers.join(answers.group_by(_OF_ONE).agg(last), on="pair_id", how="semi")


def newest_thresholds(runs: Iterable[RunManifest]) -> dict[str, float]:
    """Scoring key -> threshold of the last run with it that did not fail.

    Args:
        runs: oldest first.
    """
    found = {}
    for run in runs:
        threshold = run.config.get("threshold")
        if run.status != "failed" and isinstance(threshold, int | float):
            found[run.scoring_key] = float(threshold)
    return found


def decided_by(answers: pl.LazyFrame, thresholds: Mapping[str, float]) -> pl.LazyFrame:
    """The same rows with `threshold` and all that follows from it as these say; other scoring keys stay as they are."""
    if not thresholds:
        return answers
    own = pl.col("scoring_key").replace_strict(
        list(thresholds), list(thresholds.values()), default=None, return_dtype=pl.Float32
    )
    best = pl.col("n_best").list.first()
    answerable = (pl.col("score_diff") <= pl.col("threshold")).fill_null(value=False)
    return (
        answers.with_columns(threshold=pl.coalesce(own, "threshold"))
        .with_columns(is_answerable=answerable)
        .with_columns(
            pl.when("is_answerable").then(best.struct.field(field)).alias(name)
            for name, field in (("answer", "text"), ("answer_start", "start"), ("answer_end", "end"))
        )
    )
