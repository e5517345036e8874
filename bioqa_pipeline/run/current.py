"""The table `current` as it was and what a run found, into the table as it is.

A question is merged anew over all abstracts that any run asked it, where one of these was scored since, or where what
decides its answers is another: model, threshold, settings, version. All other rows stay as they are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from bioqa_pipeline import __version__
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.replacing import Replacement
from bioqa_pipeline.dataset.schemas import CURRENT, CURRENT_FILE, INDEX, CurrentRow
from bioqa_pipeline.dataset.tables import encode, in_order, joined, replace_surrogates, to_table
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Question, Retrieval, RetrievalOutcome
from bioqa_pipeline.report.delta import count_changed
from bioqa_pipeline.report.index import make_index, pages_of
from bioqa_pipeline.run.changes import NEW, RETRACTION, REVISED, Found, rows_now
from bioqa_pipeline.run.plan import scan_plan
from bioqa_pipeline.run.records import RunIdentity
from bioqa_pipeline.run.summarise import summarise

_STATE = ("question", "n_abstracts", "scoring_key", "threshold", "scored_at", "user_columns", "outcome")
_Seen = Mapping[str, Mapping[str | None, tuple[datetime, str]]]


@dataclass(frozen=True, slots=True)
class CurrentAnswers:
    """The table, and its file where that is another than before.

    Attributes:
        before: the table as it was, and the run that left it so.
    """

    rows: pl.DataFrame
    file: Replacement | None
    before: tuple[pl.DataFrame, str | None]


def update_current(
    identity: RunIdentity,
    dataset: Dataset,
    questions: Sequence[Question],
    retrievals: Sequence[Retrieval],
    plan: str,
    store: AbstractStore,
    answers: Sequence[MergedAnswer],
) -> CurrentAnswers:
    """What the table comes to after this run.

    Args:
        retrievals: one a question, in their order.
        answers: what the run found, of all questions.
    """
    table, metadata = dataset.current_table()
    before = pl.DataFrame(table), metadata.get("run_id")
    seen: _Seen = {}
    if not metadata:
        table, seen = _from_history(dataset)
    is_as_before = bool(metadata) and (metadata.get("program"), _max_answers(metadata)) == (
        __version__,
        identity.max_answers,
    )
    run = _Run(identity, dataset, questions, retrievals, plan, store, answers, seen)
    changed = run.changed(pl.DataFrame(table), is_as_before=is_as_before)
    if not changed and is_as_before:
        return CurrentAnswers(pl.DataFrame(table), None, before)
    fresh = to_table(run.rows(pl.DataFrame(table), changed), CURRENT)
    ids = pa.array([questions[i].id for i in changed], pa.string())
    kept = table.filter(pc.invert(pc.is_in(table["question_id"], value_set=ids)))
    new = in_order(joined([kept, fresh], CURRENT), CURRENT).cast(CURRENT.schema).combine_chunks()
    stamp = {"config": identity.config_json, "run_id": identity.run_id, "program": __version__}
    file = Replacement(CURRENT_FILE, encode(new, CURRENT, stamp), new.num_rows)
    return CurrentAnswers(pl.DataFrame(new), file, before)


def list_runs(dataset: Dataset, manifest: RunManifest, current: CurrentAnswers | None) -> Replacement:
    """The page that lists the runs, with the one that is about to write this manifest."""
    rows = current.rows if current else dataset.current().collect()
    n_new = dict(rows.filter(pl.col("answer").is_not_null()).group_by("first_run_id").len().iter_rows())
    page = make_index([*dataset.runs(), manifest], n_new, count_changed(rows), pages_of(dataset))
    return Replacement(INDEX, replace_surrogates(page).encode())


@dataclass(frozen=True, slots=True)
class _Run:
    identity: RunIdentity
    dataset: Dataset
    questions: Sequence[Question]
    retrievals: Sequence[Retrieval]
    plan: str
    store: AbstractStore
    answers: Sequence[MergedAnswer]
    seen: _Seen

    def changed(self, table: pl.DataFrame, *, is_as_before: bool) -> list[int]:
        """The questions, by index, whose rows may be others."""
        known = {row[0]: row[1:] for row in table.filter(rank=1).select("question_id", *_STATE).iter_rows()}
        counts = self._pairs().group_by("question_index").agg(pl.col("pmid").n_unique(), pl.col("scored_at").max())
        asked = {index: (n, at) for index, n, at in counts.collect(engine="streaming").iter_rows()}
        outcomes = {answer.question_id: answer.outcome for answer in self.answers if answer.rank == 1}
        decided = self.identity.scoring_key, float(np.float32(self.identity.threshold))
        changed = []
        for index, (question, retrieval) in enumerate(zip(self.questions, self.retrievals, strict=True)):
            before = known.get(question.id)
            if before is None or (before[0], before[5]) != (question.text, question.user_columns):
                changed.append(index)
                continue
            n, at = asked.get(index, (0, None))
            if n:
                is_same = is_as_before and before[1:5] == (n, *decided, at)
            else:
                # Nothing was asked in this way: what earlier models and settings found stays, and what failed says
                # nothing.
                failed = retrieval.outcome is RetrievalOutcome.FAILED
                is_same = failed or before[1] > 0 or before[6] == outcomes.get(question.id)
            if not is_same:
                changed.append(index)
        return changed

    def rows(self, table: pl.DataFrame, changed: Sequence[int]) -> list[CurrentRow]:
        """The rows of these questions as they are now."""
        ids = [self.questions[i].id for i in changed]
        old = table.filter(pl.col("question_id").is_in(ids)).sort("rank").partition_by("question_id", as_dict=True)
        pairs = self._pairs().filter(pl.col("question_index").is_in(changed))
        columns = ("question_index", "pmid", "pair_id", "scored_at", "pmid_version", "is_retracted")
        every = pairs.select(*columns).collect(engine="streaming").sort("scored_at", "pmid_version", "pair_id")
        latest = every.unique(["question_index", "pmid"], keep="last", maintain_order=True)
        merged = self._merged(changed, latest)
        at = dict(every.group_by("question_index").agg(pl.col("scored_at").max()).iter_rows())
        asked = {index: part for (index,), part in every.partition_by("question_index", as_dict=True).items()}
        rows: list[CurrentRow] = []
        for index in changed:
            question_id = self.questions[index].id
            before = old[(question_id,)].to_dicts() if (question_id,) in old else []
            news = _news(asked[index], before[0]["scored_at"]) if before and index in asked else {}
            found = Found(merged[index], at.get(index), news, self.seen.get(question_id, {}))
            rows += rows_now(before, found, self.identity)
        return rows

    def _pairs(self) -> pl.LazyFrame:
        """All rows of `answers` that this run's questions have under its scoring key."""
        asked = pl.DataFrame(
            {
                "question_index": range(len(self.questions)),
                "question_id": [q.id for q in self.questions],
                "question": [q.text for q in self.questions],
            },
            schema_overrides={"question_index": pl.UInt32},
        )
        rows = self.dataset.answers().filter(pl.col("scoring_key") == self.identity.scoring_key)
        return rows.join(asked.lazy(), on=["question_id", "question"], how="inner")

    def _merged(self, changed: Sequence[int], latest: pl.DataFrame) -> dict[int, list[MergedAnswer]]:
        """The answers of these questions: those of the run where it asked all of their abstracts, else merged anew."""
        own: dict[str, list[MergedAnswer]] = defaultdict(list)
        for answer in self.answers:
            own[answer.question_id].append(answer)
        pairs = latest.select("question_index", "pair_id")
        planned = scan_plan(self.dataset.storage, self.plan).select(pl.col("question_index").cast(pl.UInt32), "pair_id")
        both = pairs.lazy().join(planned, on=["question_index", "pair_id"], how="inner").collect(engine="streaming")
        n_all, n_both = (dict(frame.group_by("question_index").len().iter_rows()) for frame in (pairs, both))
        n_planned = dict(planned.group_by("question_index").len().collect().iter_rows())
        anew = [i for i in changed if i in n_all and not n_all[i] == n_both.get(i) == n_planned.get(i)]
        merged = {i: own[self.questions[i].id] for i in changed}
        if anew:
            index = {old: new for new, old in enumerate(anew)}
            asked = pairs.filter(pl.col("question_index").is_in(anew)).with_columns(
                pl.col("question_index").replace_strict(index, return_dtype=pl.UInt32)
            )
            for answer in summarise(
                [self.questions[i] for i in anew],
                [self.retrievals[i] for i in anew],
                asked.lazy(),
                self.dataset.answers(),
                self.store,
                self.identity,
            ):
                own.setdefault(f"\0{answer.question_id}", []).append(answer)
            merged |= {i: own[f"\0{self.questions[i].id}"] for i in anew}
        return merged


def _news(rows: pl.DataFrame, since: datetime | None) -> dict[int, str]:
    """What came of each record of a question since then; rows are in the order in which they were scored."""
    before: dict[int, bool] = {}
    news: dict[int, str] = {}
    for pmid, scored_at, is_retracted in rows.select("pmid", "scored_at", "is_retracted").iter_rows():
        if since is not None and scored_at <= since:
            before[pmid] = is_retracted
        elif pmid not in before:
            news[pmid] = NEW
        else:
            news[pmid] = RETRACTION if is_retracted and not before[pmid] else REVISED
    return news


def _from_history(dataset: Dataset) -> tuple[pa.Table, _Seen]:
    """What the table would have been, of a data set that has none, by the summaries of its runs; and since when each
    answer was given."""
    runs = [run for run in dataset.runs() if run.status != "failed"]
    by_id = {run.run_id: run for run in runs}
    summary = dataset.summary().filter(pl.col("run_id").is_in(list(by_id))).collect()
    scored = (
        dataset.answers().group_by("question_id", "question", "scoring_key", "run_id").agg(pl.col("scored_at").max())
    )
    last = {tuple(row[:4]): row[4] for row in scored.collect(engine="streaming").iter_rows()} if runs else {}
    seen: dict[str, dict[str | None, tuple[datetime, str]]] = defaultdict(dict)
    newest: dict[str, list[dict[str, Any]]] = {}
    scored_at: dict[tuple[str, str, str], datetime] = {}
    parts = summary.partition_by("run_id", as_dict=True)
    for run in runs:
        for key, time in ((k[:3], t) for k, t in last.items() if k[3] == run.run_id):
            scored_at[key] = max(time, scored_at.get(key, time))
        for question_id, rows in _by_question(parts.get((run.run_id,))).items():
            for row in rows:
                seen[question_id].setdefault(row["answer"], (run.started_at, run.run_id))
            newest[question_id] = [
                row
                | {
                    **{"scoring_key": run.scoring_key, "threshold": float(run.config.get("threshold") or 0.0)},  # type: ignore[arg-type]
                    **{"model": run.model.get("name", ""), "model_revision": run.model.get("revision", "")},
                    "scored_at": scored_at.get((question_id, row["question"], run.scoring_key)),
                }
                for row in rows
            ]
    dated = [_dated(row, *seen[question_id][row["answer"]]) for question_id, old in newest.items() for row in old]
    return to_table(dated, CURRENT), seen


def _by_question(summary: pl.DataFrame | None) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in summary.sort("question_id", "rank").iter_rows(named=True) if summary is not None else ():
        found[row["question_id"]].append(row)
    return found


def _dated(row: dict[str, Any], first_seen: datetime, run_id: str) -> CurrentRow:
    said = {f.name: row[f.name] for f in fields(CurrentRow) if f.name in row}
    dates = {"run_id": run_id, "last_changed": first_seen, "first_seen": first_seen, "first_run_id": run_id}
    nothing = {"gone": None, "gone_run_id": None, "gone_why": None}
    return CurrentRow(**said | dates | nothing | {"change": "new", "why": "new_question", "why_pmids": ()})


def _max_answers(metadata: Mapping[str, str]) -> object:
    config = json.loads(metadata["config"])
    return config.get("max_answers") if isinstance(config, dict) else None
