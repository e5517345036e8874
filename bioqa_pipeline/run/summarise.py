"""The pairs of a run into merged, ranked answers, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from bioqa_pipeline.abbreviations import Abbreviation, defined_abbreviations
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.abstracts.works import group_works
from bioqa_pipeline.qa.merging import VOTING_SPANS, Candidate, merge_answers
from bioqa_pipeline.questions.kinds import asks_yes_or_no
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Abstract, Question, Retrieval
from bioqa_pipeline.run.outcomes import stated
from bioqa_pipeline.run.records import RunIdentity

SUMMARY_PAIRS = 10_000
MOST_SCANS = 20


@dataclass(frozen=True, slots=True)
class _Context:
    """What the records say besides their answers: which are one work, and their abbreviations; both by PMID."""

    works: Mapping[int, int]
    abbreviations: Mapping[int, tuple[Abbreviation, ...]]


def summarise(
    questions: Sequence[Question],
    retrievals: Sequence[Retrieval],
    asked: pl.LazyFrame,
    scored: pl.LazyFrame,
    store: AbstractStore,
    run: RunIdentity,
) -> list[MergedAnswer]:
    """Merges scored pairs, whoever scored them, into ranked answers, question by question.

    Whether a pair is answerable is decided anew with the run's threshold: a reused row may have been written with
    another; and where the checkpoint has no calibration, one of an earlier version can hold a number that is no
    probability.

    Args:
        retrievals: one a question, in their order.
        asked: question_index, place in `questions`, and pair_id.
        scored: rows of `answers`, those of the pairs among them.
    """
    sizes = dict(asked.group_by("question_index").len().collect().iter_rows())
    merged: list[MergedAnswer] = []
    best_pairs: list[str | None] = []
    # Each scan reads the whole data set, so a large run has larger batches and not more of them.
    most = max(SUMMARY_PAIRS, sum(sizes.values()) // MOST_SCANS)
    for batch in _batches(range(len(questions)), sizes, most):
        by_question = _rows_by_question(scored, asked, batch) if any(i in sizes for i in batch) else {}
        for part in _batches(batch, sizes, SUMMARY_PAIRS):
            context = _read_context(store, [by_question[i] for i in part if i in by_question], run.threshold)
            for index in part:
                rows = by_question.get(index)
                candidates = () if rows is None else _candidates(rows, context, run)
                yes_no = asks_yes_or_no(questions[index].text)
                found = merge_answers(questions[index], candidates, limit=run.max_answers, as_one=yes_no)
                answers = stated(found, retrievals[index], is_evidence=yes_no)
                pairs = {} if rows is None else dict(rows.select("pmid", "pair_id").iter_rows())
                merged += answers
                best_pairs += [None if a.best_pmid is None else pairs[a.best_pmid] for a in answers]
    evidence = _evidence_of(scored, [pair for pair in best_pairs if pair is not None])
    return [
        answer if pair is None else replace(answer, evidence=evidence[pair])
        for answer, pair in zip(merged, best_pairs, strict=True)
    ]


def _rows_by_question(scored: pl.LazyFrame, asked: pl.LazyFrame, batch: Sequence[int]) -> dict[int, pl.DataFrame]:
    wanted = asked.filter(pl.col("question_index").is_in(batch)).collect().lazy()
    best = _best_answers(scored).join(wanted, on="pair_id", how="inner").collect(engine="streaming")
    return {index: rows for (index,), rows in best.partition_by("question_index", as_dict=True).items()}


def _best_answers(scored: pl.LazyFrame) -> pl.LazyFrame:
    columns = ["pair_id", "pmid", "margin", "answerability", "score_diff", "is_retracted"]
    return scored.select(*columns, spans=pl.col("n_best").list.head(VOTING_SPANS))


def _read_context(store: AbstractStore, frames: Sequence[pl.DataFrame], threshold: float) -> _Context:
    """What the records with an answer say; a record is read once, whatever the number of questions it answers."""
    answered = (frame.filter(pl.col("score_diff") <= threshold)["pmid"] for frame in frames)
    pmids = dict.fromkeys(pmid for column in answered for pmid in column)
    abbreviations: dict[int, tuple[Abbreviation, ...]] = {}

    def records() -> Iterator[Abstract]:
        for record in store.get(list(pmids)):
            abbreviations[record.pmid] = defined_abbreviations(record.text)
            yield record

    return _Context(works=group_works(records()), abbreviations=abbreviations)


def _evidence_of(scored: pl.LazyFrame, pair_ids: Sequence[str]) -> dict[str, str | None]:
    """Read for the few best pairs only: it is most of what an answer weighs."""
    rows = scored.select("pair_id", "evidence").filter(pl.col("pair_id").is_in(pair_ids))
    return dict(rows.collect(engine="streaming").rows())


def _batches(indices: Iterable[int], sizes: Mapping[int, int], most: int) -> Iterator[list[int]]:
    """Question indices in order, as many together as have some `most` pairs: few scans, little memory."""
    batch: list[int] = []
    n_pairs = 0
    for index in indices:
        batch.append(index)
        n_pairs += sizes.get(index, 0)
        if n_pairs >= most:
            yield batch
            batch, n_pairs = [], 0
    if batch:
        yield batch


def _candidates(rows: pl.DataFrame, context: _Context, run: RunIdentity) -> Iterator[Candidate]:
    columns = ("pmid", "spans", "margin", "answerability", "score_diff", "is_retracted")
    for pmid, spans, margin, answerability, score_diff, is_retracted in rows.select(columns).iter_rows():
        answers = score_diff is not None and score_diff <= run.threshold
        yield Candidate(
            pmid=pmid,
            answer=spans[0]["text"] if answers and spans else None,
            margin=float("-inf") if margin is None else margin,
            answerability=answerability if run.is_calibrated else None,
            is_retracted=is_retracted,
            abbreviations=context.abbreviations.get(pmid, ()),
            work=context.works.get(pmid),
            spans=tuple((span["text"], span["score"]) for span in spans),
        )
