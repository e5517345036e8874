"""A run's rows into the same rows scored again, and what differs. Writes nothing into the data set."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import numpy as np
import polars as pl

from bioqa_pipeline import __version__
from bioqa_pipeline.config import RunConfig, SourceConfig
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import SCHEMA_VERSION, AnswerRow, make_pair_id
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.messages import counted
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.run.asked_again import (
    AskedAgain,
    NothingScoredError,
    Records,
    find_records,
    model_of_run,
    what_changed,
)
from bioqa_pipeline.run.differences import Cause, Difference, Differences, differing, differing_windows, of_row
from bioqa_pipeline.run.progress import Progress, Reporter
from bioqa_pipeline.run.records import RunIdentity
from bioqa_pipeline.run.rows import AskedPairs, answer_table, chunk_table
from bioqa_pipeline.run.score import open_pair_scorer, score_pairs
from bioqa_pipeline.run.summary_again import MERGED, NOT_MERGED, SummaryAgain
from bioqa_pipeline.sources import open_source

BATCH_PAIRS = 1024
# Of runs and columns that a message names.
NAMED = 5


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What scoring a run again came to.

    Attributes:
        n_pairs: that the run scored and the data set has.
        n_chosen: of them, to be compared.
        n_windows: of the pairs that were scored again.
        asked_again: with what.
        causes: what is other than then, whether a value differs or not.
        notes: what else to know, in words.
    """

    run_id: str
    n_pairs: int
    n_chosen: int
    n_scored: int
    n_windows: int
    asked_again: AskedAgain
    causes: tuple[Cause, ...]
    differences: Differences
    notes: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether every value that was compared has the same bits."""
        return not self.differences.counts


def reproduce(
    dataset: Dataset,
    run_id: str,
    *,
    model: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    most_named: int = 20,
    reporter: Reporter | None = None,
) -> Reproduction:
    """Scores the pairs of a run again, as its manifest says, and compares their answers and chunks, and where all are
    taken the summary, in all columns but `run_id` and `scored_at`.

    Question, rank and the user's columns are taken from the rows, records from the run's source, by their content.

    Args:
        model: where the checkpoint is now; None is where it was.
        limit: so many pairs, chosen by `seed`; None is all.
        most_named: differences that are kept one by one; all are counted.

    Raises:
        ConfigError: there is no such run; `NothingScoredError`: it scored nothing.
        BioqaError: the data set, the model or the source cannot be had.
    """
    reporter = reporter or Reporter()
    run = _read_run(dataset, run_id)
    config = RunConfig.checked(run.config)
    keys = dataset.answers().filter(run_id=run_id).select("pair_id", "pmid", "content_hash").collect().sort("pair_id")
    if keys.is_empty() and not run.n_scored:
        raise NothingScoredError(f"run {run_id} scored no pair of its own; {_those_that_did(dataset)}")
    chosen = _chosen(keys, limit, seed)
    comparison = _begin(dataset, run, config, chosen, model, Differences(most_named))
    comparison.found.add(_lost(run, len(keys)))
    n_asked = comparison.records.how_many(chosen["content_hash"])
    reporter.say(f"scoring {n_asked:,} of {len(keys):,} pairs of run {run_id} again on {comparison.again.processor}")
    with reporter.stage("scoring", n_asked, "pairs") as progress:
        for start in range(0, len(chosen), BATCH_PAIRS):
            pair_ids = chosen["pair_id"][start : start + BATCH_PAIRS]
            comparison.compare(_rows(dataset.answers(), pair_ids), _rows(dataset.chunks(), pair_ids), progress)
    # The merging of versions that wrote no costs was another.
    if len(chosen) == len(keys) and run.cost is not None and run.status != "failed":
        comparison.compare_summary(dataset.run_summary(run_id))
    return Reproduction(
        run_id=run_id,
        n_pairs=len(keys),
        n_chosen=len(chosen),
        n_scored=comparison.n_scored,
        n_windows=comparison.n_windows,
        asked_again=comparison.again,
        causes=comparison.causes,
        differences=comparison.found,
        notes=tuple(comparison.notes()),
    )


def _begin(
    dataset: Dataset, run: RunManifest, config: RunConfig, chosen: pl.DataFrame, place: str | None, found: Differences
) -> _Comparison:
    again = model_of_run(run, config, place)
    checkpoint = open_checkpoint(again.model.name, casing=again.model.casing)
    source = open_source(_source_of_records(config), with_titles=config.scoring.passage != "abstract")
    records = find_records(chosen, source)
    late = _late_columns(dataset, run)
    key = config.scoring.key(
        checkpoint_digest=checkpoint.digest, precision=again.model.precision, schema_version=SCHEMA_VERSION
    )
    identity = _identity(run, config, checkpoint, key)
    scorer = open_pair_scorer(checkpoint, again.model, config.scoring, identity.threshold)
    causes = what_changed(run, config, checkpoint, again, key, scorer.scorer.info.engine)
    return _Comparison(again, scorer, records, identity, causes, late, "calibration" not in run.model, found)


@dataclass(slots=True)
class _Comparison:
    """The rows of a run against those that come out now, some at a time.

    Attributes:
        had_made_up: versions that did not keep the calibration wrote a probability where there was none.
        late: columns that the version which wrote the run had not got.
        merged: of each row that was scored again, what a summary is made of.
    """

    again: AskedAgain
    scorer: PairScorer
    records: Records
    identity: RunIdentity
    causes: tuple[Cause, ...]
    late: frozenset[str]
    had_made_up: bool
    found: Differences
    n_scored: int = 0
    n_windows: int = 0
    n_not_merged: int = 0
    merged: list[pl.DataFrame] = field(default_factory=list)

    @property
    def whys(self) -> tuple[str, ...]:
        return tuple(cause.why for cause in self.causes)

    def notes(self) -> Iterator[str]:
        """What else to know, in words."""
        yield from self.again.notes
        yield from self.records.notes()
        if self.late:
            names = ", ".join(sorted(self.late))
            yield f"not compared, for the version that wrote the run had no such columns: {names}"
        if self.n_not_merged:
            yield f"summary: {counted(self.n_not_merged, 'question')} not compared, {NOT_MERGED}"

    def compare(self, answers: pl.DataFrame, chunks: pl.DataFrame, progress: Progress) -> None:
        """Scores these answers again and adds what differs in them and in their windows."""
        abstracts = self.records.get(answers["content_hash"].to_list())
        rows = {row["pair_id"]: row for row in answers.iter_rows(named=True)}
        for row in rows.values():
            self.found.add(self._identity_differs(row))
            if row["content_hash"] not in abstracts:
                self.found.add([self._without_record(row)])
        there = answers.filter(pl.col("content_hash").is_in(list(abstracts)))
        numbers = {content_hash: number for number, content_hash in enumerate(abstracts)}
        read = np.array([numbers[content_hash] for content_hash in there["content_hash"]], dtype=np.int64)
        if not len(there):
            return
        pairs, scored, failed = score_pairs(AskedPairs(there, tuple(abstracts.values()), read), self.scorer, progress)
        windows = chunks.partition_by("pair_id", as_dict=True)
        now = answer_table(pairs, scored, self.scorer, self.identity, pairs.rows["scored_at"].to_list())
        windows_now = pl.DataFrame(chunk_table(pairs, scored, self.scorer.config.spans, self.identity))
        of_pair = windows_now.partition_by("pair_id", as_dict=True)
        rows_now = pl.DataFrame(now)
        self.merged.append(rows_now.select(MERGED))
        for row in rows_now.iter_rows(named=True):
            key = (row["pair_id"],)
            self.found.add(self._compared(rows[row["pair_id"]], row))
            stored = windows.get(key, chunks.clear()).to_dicts()
            self.found.add(differing_windows(stored, of_pair[key].to_dicts(), self.whys))
        self.n_scored += len(pairs)
        self.n_windows += len(windows_now)
        by_name = {(row["question_id"], row["pmid"]): row for row in rows.values()}
        for failure in failed:
            row = by_name[failure.question_id, failure.pmid]
            self.found.add([of_row("answers", "null_score", row, row["null_score"], failure.reason, ("not_scored",))])

    def compare_summary(self, stored: pl.DataFrame) -> None:
        """Merges what was scored again, and adds what differs in the summary."""
        if self.merged:
            again = SummaryAgain(stored, pl.concat(self.merged), self.records)
            self.n_not_merged = len(again.left_out)
            self.found.add(again.differing(self.identity, self.whys))

    def _compared(self, row: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
        for found in differing("answers", row, now, self.whys, left_out=self.late):
            is_old = found.column == "answerability" and found.now is None and self.had_made_up
            yield replace(found, why=("bioqa_version",)) if is_old else found

    def _identity_differs(self, row: Mapping[str, Any]) -> Iterator[Difference]:
        own = row["question_id"], row["question"], row["pmid"], row["content_hash"]
        stated = make_pair_id(*own, row["scoring_key"])
        now = make_pair_id(*own, self.identity.scoring_key)
        if stated != row["pair_id"]:
            yield of_row("answers", "pair_id", row, row["pair_id"], stated, ("changed_row",))
        elif now != stated:
            yield of_row("answers", "pair_id", row, stated, now, self.whys or ("changed_row",))

    def _without_record(self, row: Mapping[str, Any]) -> Difference:
        now, why = self.records.why_gone(row["pmid"], row["content_hash"])
        return of_row("answers", "content_hash", row, row["content_hash"], now, (why,))


def _read_run(dataset: Dataset, run_id: str) -> RunManifest:
    if run_id not in dataset.run_ids():
        raise ConfigError(f"`run {run_id}`: the data set has no manifest of such a run; {_those_that_did(dataset)}")
    return dataset.run(run_id)


def _chosen(keys: pl.DataFrame, limit: int | None, seed: int) -> pl.DataFrame:
    if limit is None or limit >= len(keys):
        return keys
    return keys[sorted(random.Random(seed).sample(range(len(keys)), limit))]


def _lost(run: RunManifest, n_rows: int) -> Iterator[Difference]:
    # One that broke off may have committed more than it counted.
    if run.status != "failed" and n_rows != run.n_scored:
        of_the_run = {"question_id": "", "pmid": 0, "pair_id": ""}
        yield of_row("answers", "rows", of_the_run, run.n_scored, n_rows, ("lost_rows",))


def _those_that_did(dataset: Dataset) -> str:
    names = [run.run_id for run in dataset.runs() if run.n_scored]
    if not names:
        return "none of its runs scored anything"
    more = f"the newest {NAMED} of {len(names):,}: " if len(names) > NAMED else ""
    return f"these runs scored pairs: {more}{', '.join(names[-NAMED:])}"


def _source_of_records(config: RunConfig) -> SourceConfig:
    """A list only says what is asked, which the rows say, too: it may be gone, or another."""
    source = config.source
    if source.kind != "pmids":
        return source
    return source.changed(kind="medline" if source.medline_dir else "pubmed", pmids_file=None)


def _identity(run: RunManifest, config: RunConfig, checkpoint: Checkpoint, key: str) -> RunIdentity:
    # The same files elsewhere are the same model.
    is_same = run.model.get("digest") == checkpoint.digest
    return RunIdentity(
        run_id=run.run_id,
        started_at=run.started_at,
        scoring_key=key,
        model=run.model["name"] if is_same else checkpoint.name,
        model_revision=run.model["revision"] if is_same else checkpoint.revision,
        config_json="",
        threshold=checkpoint.settings.score_diff_threshold if config.threshold is None else config.threshold,
        max_answers=config.max_answers,
        is_calibrated=checkpoint.settings.calibration is not None,
    )


def _rows(table: pl.LazyFrame, pair_ids: pl.Series) -> pl.DataFrame:
    return table.join(pair_ids.to_frame().lazy(), on="pair_id", how="semi").collect()


def _late_columns(dataset: Dataset, run: RunManifest) -> frozenset[str]:
    """Columns that came after the version that wrote a run: they can be null, and are in all of its rows."""
    if run.cost is not None and run.versions.get("bioqa") == __version__:
        return frozenset()
    names = [f.name for f in fields(AnswerRow) if f.default is not MISSING]
    counts = dataset.answers().filter(run_id=run.run_id).select(pl.col(names).count()).collect().row(0, named=True)
    return frozenset(name for name, n in counts.items() if not n)
