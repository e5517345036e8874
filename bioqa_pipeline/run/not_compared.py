"""A run's manifest and rows into what of it cannot be compared with what is scored again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields

import polars as pl

from bioqa_pipeline import __version__
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import AnswerRow
from bioqa_pipeline.messages import counted
from bioqa_pipeline.run.differences import Difference, of_row


def lost_rows(run: RunManifest, n_rows: int) -> Iterator[Difference]:
    """That the data set has not as many rows of a run as the run wrote."""
    # One that broke off may have committed more than it counted.
    if run.status != "failed" and n_rows != run.n_scored:
        of_the_run = {"question_id": "", "pmid": 0, "pair_id": ""}
        yield of_row("answers", "rows", of_the_run, run.n_scored, n_rows, ("lost_rows",))


def why_no_summary(run: RunManifest, n_chosen: int, n_rows: int) -> Iterator[str]:
    """Why the summary of a run is not compared, in words; nothing where it is."""
    if run.status == "failed":
        yield "summary: not compared, for the run broke off"
    elif run.cost is None:
        yield "summary: not compared, for the version that wrote the run merged otherwise"
    elif n_chosen < n_rows:
        yield f"summary: not compared, for `limit` takes {n_chosen:,} of {counted(n_rows, 'pair')}"


def late_columns(dataset: Dataset, run: RunManifest) -> frozenset[str]:
    """Columns that came after the version that wrote a run: they can be null, and are in all of its rows."""
    if run.cost is not None and run.versions.get("bioqa") == __version__:
        return frozenset()
    names = [f.name for f in fields(AnswerRow) if f.default is not MISSING]
    counts = dataset.answers().filter(run_id=run.run_id).select(pl.col(names).count()).collect().row(0, named=True)
    return frozenset(name for name, n in counts.items() if not n)
