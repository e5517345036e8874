"""The pairs of a run into merged, ranked answers, question by question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.qa.merging import Candidate, merge_answers
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Question
from bioqa_pipeline.run.plan import scan_plan

SUMMARY_PAIRS = 10_000
MOST_SCANS = 20


def summarise(
    questions: Sequence[Question],
    plan: str,
    dataset: Dataset,
    *,
    threshold: float,
    max_answers: int,
    is_calibrated: bool,
) -> list[MergedAnswer]:
    """Merges this run's view of the data set, reused pairs included, into ranked answers, question by question.

    Whether a pair is answerable is decided anew with `threshold`: a reused row may have been written with another; and
    where the checkpoint has no calibration, one of an earlier version can hold a number that is no probability.
    """
    asked = scan_plan(dataset.storage, plan).select("question_index", "pair_id")
    sizes = dict(asked.group_by("question_index").len().collect().iter_rows())
    merged: list[MergedAnswer] = []
    best_pairs: list[str | None] = []
    for batch in _question_batches(len(questions), sizes):
        by_question = _rows_by_question(dataset, asked, batch) if any(i in sizes for i in batch) else {}
        for index in batch:
            rows = by_question.get(index)
            candidates = () if rows is None else _candidates(rows, threshold, is_calibrated)
            answers = merge_answers(questions[index], candidates, limit=max_answers, is_calibrated=is_calibrated)
            pairs = {} if rows is None else dict(rows.select("pmid", "pair_id").iter_rows())
            merged += answers
            best_pairs += [None if a.best_pmid is None else pairs[a.best_pmid] for a in answers]
    evidence = _evidence_of(dataset, [pair for pair in best_pairs if pair is not None])
    return [
        answer if pair is None else replace(answer, evidence=evidence[pair])
        for answer, pair in zip(merged, best_pairs, strict=True)
    ]


def _rows_by_question(dataset: Dataset, asked: pl.LazyFrame, batch: Sequence[int]) -> dict[int, pl.DataFrame]:
    wanted = asked.filter(pl.col("question_index").is_in(batch)).collect().lazy()
    best = _best_answers(dataset).join(wanted, on="pair_id", how="inner").collect(engine="streaming")
    return {index: rows for (index,), rows in best.partition_by("question_index", as_dict=True).items()}


def _best_answers(dataset: Dataset) -> pl.LazyFrame:
    columns = ["pair_id", "pmid", "margin", "answerability", "score_diff", "is_retracted"]
    return dataset.answers().select(*columns, answer=pl.col("n_best").list.first().struct.field("text"))


def _evidence_of(dataset: Dataset, pair_ids: Sequence[str]) -> dict[str, str | None]:
    """Read for the few best pairs only: it is most of what an answer weighs."""
    rows = dataset.answers().select("pair_id", "evidence").filter(pl.col("pair_id").is_in(pair_ids))
    return dict(rows.collect(engine="streaming").rows())


def _question_batches(n_questions: int, sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """Question indices in order, as many together as have some 10,000 pairs: few scans, little memory.

    Each scan reads the whole data set, so a large run has larger batches and not more of them.
    """
    most = max(SUMMARY_PAIRS, sum(sizes.values()) // MOST_SCANS)
    batch: list[int] = []
    n_pairs = 0
    for index in range(n_questions):
        batch.append(index)
        n_pairs += sizes.get(index, 0)
        if n_pairs >= most:
            yield batch
            batch, n_pairs = [], 0
    if batch:
        yield batch


def _candidates(rows: pl.DataFrame, threshold: float, is_calibrated: bool) -> Iterator[Candidate]:
    columns = ("pmid", "answer", "margin", "answerability", "score_diff", "is_retracted")
    for pmid, answer, margin, answerability, score_diff, is_retracted in rows.select(columns).iter_rows():
        yield Candidate(
            pmid=pmid,
            answer=answer if score_diff is not None and score_diff <= threshold else None,
            margin=float("-inf") if margin is None else margin,
            answerability=answerability if is_calibrated else None,
            is_retracted=is_retracted,
        )
