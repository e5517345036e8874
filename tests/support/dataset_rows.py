"""Valid rows and manifests for tests of the data set, every field to be overridden."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from polars.testing import assert_frame_equal

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.replacing import Replacement
from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CURRENT,
    CURRENT_FILE,
    AnswerRow,
    ChunkRow,
    CurrentRow,
    SummaryRow,
    make_pair_id,
)
from bioqa_pipeline.dataset.tables import encode, summary_rows, to_table
from bioqa_pipeline.records.scores import MergedAnswer, SpanAnswer

METADATA = {"config": '{"windows": {"doc_stride": 128}}', "scoring_key": "key"}


def answer_row(pmid: int, **changes: Any) -> AnswerRow:
    """An answered pair of question "q1"; unless given, the pair id follows from the other fields."""
    row = AnswerRow(
        pair_id="",
        question_id="q1",
        question="Which gene?",
        pmid=pmid,
        pmid_version=1,
        title=f"Title {pmid}",
        journal="Journal",
        pub_date="1998-12",
        pub_year=1998,
        doi="10.1/x",
        is_retracted=False,
        rank=pmid,
        answer="BRCA1",
        answer_start=14,
        answer_end=19,
        evidence="The α-gene is BRCA1.",
        evidence_start=0,
        evidence_end=20,
        n_windows=2,
        span_score=7.5,
        null_score=-1.25,
        score_diff=-8.75,
        span_log_prob=-0.5,
        null_log_prob=-9.25,
        margin=8.0,
        answerability=0.75,
        threshold=0.0,
        is_answerable=True,
        n_best=(SpanAnswer("BRCA1", 14, 19, 7.5, -0.5, 0), SpanAnswer("17", 41, 43, 1.5, -6.5, 1)),
        content_hash=f"content-{pmid}",
        scoring_key="key",
        model="model",
        model_revision="rev",
        run_id="run",
        scored_at=datetime(2026, 11, 23, 6, 30, 15, 123456, tzinfo=UTC),
        user_columns='{"category": "génes"}',
        authors=("Makar AB", "The Group of Ü"),
    )
    row = replace(row, **changes)
    if not row.pair_id:
        pair_id = make_pair_id(row.question_id, row.question, row.pmid, row.content_hash, row.scoring_key)
        row = replace(row, pair_id=pair_id)
    return row


def unanswered_row(pmid: int, **changes: Any) -> AnswerRow:
    """A pair whose abstract holds no valid span: every optional field empty."""
    nothing: dict[str, Any] = {field.name: None for field in ANSWERS.schema if field.nullable}
    return answer_row(pmid, **{**nothing, "pub_date": "", "is_answerable": False, "n_best": (), **changes})


def chunk_rows(answers: Iterable[AnswerRow]) -> list[ChunkRow]:
    """`n_windows` windows of each answer; the last one without a valid span."""
    return [
        ChunkRow(
            pair_id=row.pair_id,
            question_id=row.question_id,
            pmid=row.pmid,
            window_index=index,
            n_windows=row.n_windows,
            char_start=10 * index,
            char_end=10 * index + 30,
            n_tokens=12,
            null_score=-1.25,
            null_log_prob=-9.25,
            best_start=None if index else 14,
            best_end=None if index else 19,
            span_score=None if index else 7.5,
            span_log_prob=None if index else -0.5,
            span_logsumexp=float("-inf") if index else 7.625,
            margin=float("-inf") if index else 8.875,
            run_id=row.run_id,
            scoring_key=row.scoring_key,
        )
        for row in answers
        for index in range(row.n_windows)
    ]


def merged_answer(rank: int, **changes: Any) -> MergedAnswer:
    merged = MergedAnswer(
        question_id="q1",
        question="Which gene?",
        rank=rank,
        answer="BRCA1",
        answerability=0.75,
        margin=8.0,
        support_pmids=(3, 1),
        work_pmids=(3, 1),
        retracted_pmids=(1,),
        variants=("BRCA1", "brca1"),
        best_pmid=3,
        evidence="The α-gene is BRCA1.",
        n_abstracts=5,
    )
    return replace(merged, **changes)


def current_file(run_id: str, *answers: MergedAnswer) -> Replacement:
    """The table of current answers as this run leaves it."""
    now = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
    rows = [
        CurrentRow(
            **{name: getattr(row, name) for name in SummaryRow.__dataclass_fields__},
            **{"last_changed": now, "change": "new", "why": "new_question", "why_pmids": (), "first_seen": now},
            **{"first_run_id": run_id, "gone": None, "gone_run_id": None, "gone_why": None, "scored_at": now},
            **{"threshold": 0.0, "scoring_key": "key", "model": "model", "model_revision": "rev"},
        )
        for row in summary_rows(answers or [merged_answer(1)], run_id)
    ]
    return Replacement(CURRENT_FILE, encode(to_table(rows, CURRENT), CURRENT, METADATA | {"run_id": run_id}), len(rows))


def manifest(run_id: str, **changes: Any) -> RunManifest:
    started = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
    fields: dict[str, Any] = {
        "run_id": run_id,
        "started_at": started,
        "finished_at": started + timedelta(seconds=90),
        "status": "completed",
        "n_questions": 1,
        "n_pairs": 2,
        "n_windows": 4,
        "n_scored": 2,
        "n_reused": 0,
        "config": {"windows": {"doc_stride": 128}, "out": None},
        "versions": {"bioqa_pipeline": "0.1.0"},
        "timings_seconds": {"score": 1.5},
        "scoring_key": "key",
        "model": {"name": "model", "revision": "rev"},
    }
    return RunManifest(**{**fields, **changes})


def check_same_rows(ours: Path, theirs: Path) -> None:
    """Two data sets of the same pairs: nothing lost, nothing doubled, the same bits in every column but those that say
    which run it was."""
    answers, windows = ("pair_id",), ("pair_id", "window_index")
    for key, read in ((answers, Dataset.answers), (windows, Dataset.chunks)):
        one, other = (
            read(Dataset(root)).drop("run_id", "scored_at", strict=False).sort(key).collect() for root in (ours, theirs)
        )
        assert not one.select(key).is_duplicated().any()
        assert_frame_equal(one, other, check_exact=True)
