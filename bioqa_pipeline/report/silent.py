"""The scored pairs of a run into the abstracts that were read and do not answer, the nearest ones by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.report.data import Limits, SilentAbstract


@dataclass(frozen=True, slots=True)
class Silent:
    """Of one question: how many abstracts do not answer it, and those of them that are named, nearest first."""

    n: int
    named: tuple[SilentAbstract, ...]


NONE = Silent(0, ())


def read_silent(
    dataset: Dataset, manifest: RunManifest, pairs: pl.LazyFrame, rows: pl.DataFrame, limits: Limits
) -> Mapping[str, Silent]:
    """By question id.

    Args:
        pairs: what was scored, a row a pair; of a record that was revised, the last one counts.
        rows: of the summary, those of the questions that are shown.
    """
    asked = rows.select("question_id", "question").unique()
    support = rows.select("question_id", pmid="support_pmids").explode("pmid").drop_nulls().unique()
    threshold = manifest.config.get("threshold")
    if isinstance(threshold, int | float):
        is_answer = pl.col("score_diff") <= threshold
    else:
        is_answer = pl.col("is_answerable")
    last = (
        pairs.join(asked.lazy(), on=["question_id", "question"], how="inner")
        .select("pair_id", "question_id", "pmid", "margin", "scored_at", "pmid_version", is_answer=is_answer)
        .collect(engine="streaming")
        .sort("scored_at", "pmid_version", "pair_id")
        .unique(["question_id", "pmid"], keep="last")
    )
    silent = last.filter(~pl.col("is_answer").fill_null(False)).join(support, on=["question_id", "pmid"], how="anti")
    counts = dict(silent.group_by("question_id").len().iter_rows())
    order = [pl.col("margin").fill_null(float("-inf")), pl.col("pmid")]
    ranked = silent.sort("question_id", *order, descending=[False, True, False])
    ranked = ranked.with_columns(place=pl.int_range(pl.len()).over("question_id"))
    # Where not all fit, each question has its nearest ones.
    chosen = ranked.filter(pl.col("place") < limits.silent_each).sort("place", "question_id").head(limits.silent)
    titles = dataset.answers().filter(pl.col("pair_id").is_in(chosen["pair_id"].implode())).select("pair_id", "title")
    named = chosen.join(titles.collect(engine="streaming"), on="pair_id", how="inner").sort("question_id", "place")
    by_question: dict[str, list[SilentAbstract]] = {}
    for question_id, pmid, title in named.select("question_id", "pmid", "title").iter_rows():
        by_question.setdefault(question_id, []).append(SilentAbstract(pmid, title))
    return {name: Silent(n, tuple(by_question.get(name, ()))) for name, n in counts.items()}
