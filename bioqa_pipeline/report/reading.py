"""A run in a data set into what its page shows.

Reads the run's summary and manifest whole; of the answers the narrow columns that ages and news follow from, and
titles and evidence only of the abstracts that are shown.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.records.scores import AnswerOutcome
from bioqa_pipeline.report.best_answer import NO_ANSWER, BestAnswer
from bioqa_pipeline.report.data import Evidence, Limits, RunReport, Searches, ShownAnswer, ShownQuestion
from bioqa_pipeline.report.delta import read_delta
from bioqa_pipeline.report.runs import only_newest, previous_run
from bioqa_pipeline.report.silent import NONE, Silent, read_silent
from bioqa_pipeline.report.study import short_authors, study_type

logger = logging.getLogger(__name__)

CONTEXT_CHARS = 400


def read_report(
    dataset: Dataset, manifest: RunManifest, limits: Limits, current: pl.DataFrame | None = None
) -> RunReport:
    """Reads what the page of one run shows; the run may be one that is about to write its manifest.

    Args:
        current: the answers over all runs, as this run leaves them; None shows those of the run alone.
    """
    summary = dataset.run_summary(manifest.run_id)
    if current is not None:
        current = current.filter(pl.col("question_id").is_in(summary["question_id"].unique().implode()))
        summary = current.select(pl.lit(manifest.run_id).alias("run_id"), *summary.columns[1:])
    searches = Searches(manifest)
    previous = previous_run(dataset, manifest, summary)
    compares = previous is not None and previous.scoring_key == manifest.scoring_key
    asked = _shown_questions(summary, searches, limits.questions)
    rows = summary.filter(pl.col("question_id").is_in(asked))
    shown = rows.filter(pl.col("rank") <= _deepest_rank(rows, limits.answers))
    support = _support(dataset, manifest, previous if compares else None, shown)
    nearest = _nearest(dataset, manifest, shown)
    chosen = _most_telling(support, limits)
    is_calibrated = not rows.filter(pl.col("n_abstracts") > 0)["answerability"].null_count()
    if not is_calibrated:
        # Rows of an earlier version can hold a number that is no probability.
        nearest, chosen = (frame.with_columns(answerability=None) for frame in (nearest, chosen))
    parts = _Parts(
        rows=shown.partition_by("question_id", as_dict=True),
        n_answers=dict(rows.drop_nulls("answer").group_by("question_id").len().iter_rows()),
        facts=_facts(support),
        evidence=_evidence(dataset, chosen),
        nearest=_evidence(dataset, nearest),
        searches=searches,
        silent=read_silent(dataset, manifest, _pairs(dataset, manifest), rows, limits),
        before=_best_answers(dataset, previous) if previous else {},
        is_whole=not any(only_newest(run) for run in (manifest, previous) if run),
    )
    best = summary.filter(pl.col("rank") == 1)
    return RunReport(
        manifest=manifest,
        questions=tuple(parts.question(number, question_id) for number, question_id in enumerate(asked, start=1)),
        previous=previous,
        compares=compares,
        n_questions=max(best.height, sum(manifest.search_outcomes.values())),
        outcomes=_outcomes(best),
        n_answers=summary["answer"].count(),
        is_calibrated=is_calibrated,
        n_evidence=len(chosen),
        n_support=summary["support_pmids"].explode().drop_nulls().n_unique(),
        is_current=current is not None,
        delta=None if current is None or previous is None else read_delta(current, manifest.run_id),
        dataset_id=dataset.id(),
    )


def _outcomes(best: pl.DataFrame) -> Counter[AnswerOutcome]:
    """Of the questions, by their first rows; those of an early version do not say why an answer is missing."""
    stated = best.select("answer", "outcome").iter_rows()
    return Counter(
        AnswerOutcome.ANSWERED if answer is not None else AnswerOutcome(outcome or AnswerOutcome.NO_ANSWER)
        for answer, outcome in stated
    )


_Key = tuple[str, int]
_AS_IN_ANSWERS = ("pmid", "title", "journal", "pub_date", "doi", "is_retracted", "answerability", "is_new")


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was read, by question id or by question id and rank; `is_whole`: asked of more than the newest records."""

    rows: Mapping[Any, pl.DataFrame]
    n_answers: Mapping[str, int]
    facts: Mapping[_Key, tuple[int | None, int | None, int, bool]]
    evidence: Mapping[_Key, list[Evidence]]
    nearest: Mapping[_Key, list[Evidence]]
    searches: Searches
    silent: Mapping[str, Silent]
    before: Mapping[tuple[str, str], BestAnswer]
    is_whole: bool

    def question(self, number: int, question_id: str) -> ShownQuestion:
        frame = self.rows.get((question_id,))
        rows = frame.sort("rank").to_dicts() if frame is not None else []
        text = rows[0]["question"] if rows else None
        said = (self._answer(row) for row in rows if row["answer"] is not None)
        # One whose sentence has no room could not be judged.
        answers = tuple(answer for answer in said if answer.rank == 1 or answer.evidence)
        only = next((row for row in rows if row["answer"] is None and row["best_pmid"] is not None), None)
        known = text is not None and (question_id, text) in self.before
        before = self.before[question_id, text] if known and text is not None else NO_ANSWER
        now = BestAnswer.of(rows[0]) if rows else NO_ANSWER
        searched = self.searches.went_well(question_id)
        silent = self.silent.get(question_id, NONE)
        return ShownQuestion(
            number=number,
            question_id=question_id,
            text=text,
            n_abstracts=rows[0]["n_abstracts"] if rows else 0,
            n_answers=self.n_answers.get(question_id, 0),
            answers=answers,
            nearest=next(iter(self.nearest.get((question_id, 1), [])), None),
            retrieval=self.searches.named.get(question_id),
            evidence=None if only is None else self._answer(only),
            outcome=AnswerOutcome(rows[0]["outcome"]) if rows and rows[0]["outcome"] else None,
            was_searched=searched,
            changed=known and searched and only is None and self.is_whole and not before.is_same(now),
            before=before.text,
            user_columns=_user_columns(rows[0]["user_columns"]) if rows else (),
            silent=silent.named,
            n_silent=silent.n,
        )

    def _answer(self, row: Mapping[str, Any]) -> ShownAnswer:
        key = row["question_id"], row["rank"]
        first, last, n_new, is_new = self.facts.get(key, (None, None, 0, False))
        return ShownAnswer(
            rank=row["rank"],
            text=row["answer"] or "",
            answerability=row["answerability"],
            support_pmids=tuple(row["support_pmids"]),
            n_support=row["n_support"],
            n_retracted=len(row["retracted_pmids"]),
            n_new=n_new,
            is_new=is_new,
            years=(first, last) if first is not None and last is not None else None,
            variants=tuple(row["variants"]),
            evidence=tuple(self.evidence.get(key, ())),
            work_pmids=tuple(row["work_pmids"] or ()),
        )


def _user_columns(written: str | None) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in json.loads(written or "{}").items())


def _shown_questions(summary: pl.DataFrame, searches: Searches, most: int) -> list[str]:
    """All in the order in which they were asked, or, where they are too many, those with the surest answers first."""
    best = summary.filter(pl.col("rank") == 1)
    asked = dict.fromkeys([*searches.named, *best["question_id"]])
    if len(asked) <= most:
        return list(asked)
    surest = best.drop_nulls("answer").sort("answerability", "question_id", descending=[True, False]).head(most)
    return list(dict.fromkeys([*surest["question_id"], *asked]))[:most]


def _deepest_rank(rows: pl.DataFrame, most: int) -> int:
    """The ranks that fit, at least the first."""
    sizes = rows.group_by("rank").len().sort("rank")
    return int(sizes.filter(pl.col("len").cum_sum() <= most)["rank"].max() or 1)  # type: ignore[arg-type]


def _best_answers(dataset: Dataset, run: RunManifest) -> dict[tuple[str, str], BestAnswer]:
    searches = Searches(run)
    best = dataset.run_summary(run.run_id).filter(pl.col("rank") == 1)
    rows = (row for row in best.iter_rows(named=True) if searches.went_well(row["question_id"]))
    return {(row["question_id"], row["question"]): BestAnswer.of(row) for row in rows}


def _pairs(dataset: Dataset, manifest: RunManifest) -> pl.LazyFrame:
    """The rows of `answers` that the run may have seen, without texts."""
    seen = (pl.col("run_id") == manifest.run_id) | (pl.col("scored_at") <= manifest.finished_at)
    columns = ["pair_id", "question_id", "question", "pmid", "pmid_version", "pub_year", "is_retracted", "margin"]
    columns += ["score_diff", "is_answerable"]
    frame = dataset.answers().filter(pl.col("scoring_key") == manifest.scoring_key, seen)
    return frame.select(*columns, "answerability", "run_id", "scored_at")


def _support(
    dataset: Dataset, manifest: RunManifest, previous: RunManifest | None, shown: pl.DataFrame
) -> pl.DataFrame:
    """One row an answer and abstract that supports it: question_id, rank, pmid, place (from 0, best first) and the row
    of `answers` that was scored last, with is_new."""
    answered = shown.filter(_is_said())
    asked = answered.select("question_id", "question", "rank", pmid="support_pmids").explode("pmid")
    asked = asked.with_columns(place=pl.int_range(pl.len()).over("question_id", "rank"))
    new = pl.col("run_id") == manifest.run_id
    new = (new | (pl.col("scored_at") > previous.finished_at)) if previous else pl.lit(False)
    pairs = _pairs(dataset, manifest).join(asked.lazy(), on=["question_id", "question", "pmid"], how="inner")
    # A record that was revised supports as it did before.
    supported = (~new & pl.col("is_answerable")).any().over("question_id", "rank", "pmid")
    every = pairs.with_columns(is_new=new & ~supported).collect(engine="streaming")
    last = every.sort("scored_at", "pmid_version", "pair_id")
    return last.unique(["question_id", "rank", "pmid"], keep="last").sort("question_id", "rank", "place")


def _nearest(dataset: Dataset, manifest: RunManifest, shown: pl.DataFrame) -> pl.DataFrame:
    """The same for questions without an answer, whose margin in the summary is that of the nearest candidate."""
    asked = shown.filter(~_is_said()).drop_nulls("margin").select("question_id", "question", "margin")
    pairs = _pairs(dataset, manifest).join(asked.lazy(), on=["question_id", "question", "margin"], how="inner")
    first = pairs.collect(engine="streaming").sort("scored_at", "pair_id").unique("question_id", keep="last")
    return first.with_columns(rank=pl.lit(1, pl.Int32), place=pl.lit(0, pl.Int64), is_new=pl.lit(False))


def _is_said() -> pl.Expr:
    """Rows with an answer, or with evidence in its place."""
    return pl.col("best_pmid").is_not_null()


def _facts(support: pl.DataFrame) -> dict[_Key, tuple[int | None, int | None, int, bool]]:
    """First and last year, new abstracts, whether the best one is new."""
    year, new = pl.col("pub_year"), pl.col("is_new")
    facts = support.group_by("question_id", "rank").agg(
        year.min().alias("first"), year.max().alias("last"), new.sum().alias("n_new"), new.sort_by("place").first()
    )
    return {(i, rank): (first, last, n, bool(best)) for i, rank, first, last, n, best in facts.iter_rows()}


def _most_telling(support: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """The best abstract of each answer before the second ones; where not all fit, the lower answers go first."""
    best = support.filter(pl.col("place") < limits.evidence_each)
    return best.sort(pl.col("rank") + 2 * pl.col("place"), "question_id", "rank").head(limits.evidence)


def _evidence(dataset: Dataset, chosen: pl.DataFrame) -> dict[_Key, list[Evidence]]:
    """Titles and sentences of the chosen abstracts, best first."""
    best = pl.col("n_best").list.first().struct
    columns = ["pair_id", "title", "journal", "pub_date", "doi", "evidence", "evidence_start"]
    columns += ["authors", "publication_types", "mesh_terms", "retraction"]
    wanted = dataset.answers().filter(pl.col("pair_id").is_in(chosen["pair_id"].implode()))
    texts = wanted.select(*columns, start=best.field("start"), end=best.field("end")).collect(engine="streaming")
    evidence: dict[_Key, list[Evidence]] = defaultdict(list)
    joined = chosen.join(texts, on="pair_id", how="inner").sort("question_id", "rank", "place")
    for row in joined.drop_nulls("start").iter_rows(named=True):
        first = row["evidence_start"]
        before, answer, after = _quote(row["evidence"], row["start"] - first, row["end"] - first)
        evidence[row["question_id"], row["rank"]].append(
            Evidence(
                **{name: row[name] for name in _AS_IN_ANSWERS},
                before=before,
                answer=answer,
                after=after,
                authors=short_authors(row["authors"]),
                study=study_type(row["publication_types"], row["mesh_terms"]),
                retraction=row["retraction"] or "retracted" * row["is_retracted"],
            )
        )
    return evidence


def _quote(sentence: str, start: int, end: int) -> tuple[str, str, str]:
    """A sentence around [start, end), cut at words to some CONTEXT_CHARS around the answer."""
    before, answer, after = sentence[:start], sentence[start:end], sentence[end:]
    room = CONTEXT_CHARS // 2
    left = max(room, CONTEXT_CHARS - len(after))
    right = max(room, CONTEXT_CHARS - len(before))
    if len(before) > left:
        before = "… " + before[-left:].partition(" ")[2]
    if len(after) > right:
        after = after[:right].rpartition(" ")[0] + " …"
    return before, answer, after
