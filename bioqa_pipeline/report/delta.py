"""The rows of `current` and a run into what that run changed, in words: new, changed and gone answers, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import PAGE, RUNS
from bioqa_pipeline.records.scores import AnswerOutcome
from bioqa_pipeline.report.unanswered import without_answer

MOST_SHOWN = 100
# Of these only the number is said: an answer that moved up because another moved down is no news.
SMALL = ("rank", "score")

_WORDS = {
    "new": "new",
    "wording": "reworded",
    "retracted": "retracted support",
    "support": "other support",
}
_WHY = {
    "new_question": "a new question",
    "new_record": "a new record",
    "revised_record": "a revised record",
    "retraction": "a retraction",
    "removed_record": "a record that was taken out",
    "new_threshold": "another threshold",
    "new_model": "another model",
    "new_settings": "other settings, or another version of bioqa",
    "question_changed": "the question was worded anew",
    "search": "what the search found",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One answer that came, changed or went.

    Attributes:
        kind: "new", "changed" or "gone".
        what, why: in words.
        answer: None where a question is left without one.
        pmids: the records that are why.
        evidence, best_pmid, answerability: of the answer as it is now; None of one that is gone.
    """

    kind: str
    question: str
    answer: str | None
    what: str
    why: str
    pmids: tuple[int, ...]
    question_id: str = ""
    evidence: str | None = None
    best_pmid: int | None = None
    answerability: float | None = None

    @property
    def is_retraction(self) -> bool:
        """Whether support was retracted, whatever it did to the answer."""
        return self.what == _WORDS["retracted"] or self.why == _WHY["retraction"]


@dataclass(frozen=True, slots=True)
class Delta:
    """What a run changed: the first MOST_SHOWN, new ones first; `n_moved` are those of which no more is said.

    Attributes:
        n_retracted: those of all kinds that a retraction is behind.
        n_questions: whose answers they are.
    """

    changes: tuple[Change, ...]
    n_new: int
    n_changed: int
    n_gone: int
    n_moved: int
    n_retracted: int = 0
    n_questions: int = 0

    @property
    def counts(self) -> str:
        """ "1 new, 2 changed; support retracted: 1"; empty where nothing came, changed or went."""
        numbers = {"new": self.n_new, "changed": self.n_changed, "gone": self.n_gone}
        counts = ", ".join(f"{n:,} {kind}" for kind, n in numbers.items() if n)
        return f"{counts}; support retracted: {self.n_retracted:,}" if self.n_retracted else counts


def read_current(dataset: Dataset, manifest: RunManifest) -> pl.DataFrame | None:
    """The answers over all runs as this run left them; None where a later one changed them."""
    table, metadata = dataset.current_table()
    written_by = metadata.get("run_id")
    if manifest.status == "failed" or written_by is None:
        return None
    if written_by != manifest.run_id and dataset.run(written_by).started_at > manifest.started_at:
        return None
    current = pl.from_arrow(table)
    assert isinstance(current, pl.DataFrame)
    return current


def is_left_behind(dataset: Dataset, run_id: str) -> bool:
    """Whether the page that a run left shows answers over all runs that are so no more."""
    manifest = dataset.run(run_id)
    known = bool(dataset.current_table()[1]) and f"{RUNS}/{run_id}{PAGE}" in dataset.storage.files(RUNS)
    return known and manifest.status != "failed" and read_current(dataset, manifest) is None


def read_delta(current: pl.DataFrame, run_id: str) -> Delta:
    """What this run changed of these questions."""
    rows = current.filter(run_id=run_id)
    told = rows.filter(~pl.col("change").is_in(SMALL))
    changes = [
        Change(
            kind="new" if row["change"] == "new" and row["answer"] is not None else "changed",
            question=row["question"],
            answer=row["answer"],
            what=_without_answer(row) if row["answer"] is None else _WORDS.get(row["change"], row["change"]),
            why=why_in_words(row["why"]),
            pmids=tuple(row["why_pmids"]),
            question_id=row["question_id"],
            evidence=row["evidence"],
            best_pmid=row["best_pmid"],
            answerability=row["answerability"],
        )
        for row in told.iter_rows(named=True)
    ]
    lost = current.filter(gone_run_id=run_id).select("question_id", "question", "gone", "gone_why")
    for question_id, question, gone, why in lost.iter_rows():
        changes += [Change("gone", question, answer, "gone", why_in_words(why), (), question_id) for answer in gone]
    order = {"new": 0, "changed": 1, "gone": 2}
    changes.sort(key=lambda change: order[change.kind])
    counts = {kind: sum(change.kind == kind for change in changes) for kind in order}
    return Delta(
        tuple(changes[:MOST_SHOWN]),
        *(counts["new"], counts["changed"], counts["gone"]),
        n_moved=len(rows) - len(told),
        n_retracted=sum(change.is_retraction for change in changes),
        n_questions=len({change.question_id for change in changes}),
    )


def count_changed(current: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """By run id, how many answers it was the last to change or the one that they went in, and how many by a retraction.

    What came with a question that nobody had asked before is new, and not counted.
    """
    is_new = (pl.col("change") == "new") & (pl.col("answer").is_not_null() | (pl.col("why") == "new_question"))
    is_retraction = (pl.col("change") == "retracted") | (pl.col("why") == "retraction")
    changed = current.filter(~pl.col("change").is_in(SMALL) & ~is_new).select("run_id", retracted=is_retraction)
    gone = current.filter(pl.col("gone").is_not_null()).explode("gone")
    lost = gone.select(run_id="gone_run_id", retracted=pl.col("gone_why") == "retraction")
    counts = pl.concat([changed, lost]).group_by("run_id").agg(pl.len(), pl.col("retracted").sum())
    return {run_id: (n, n_retracted) for run_id, n, n_retracted in counts.iter_rows()}


def _without_answer(row: Mapping[str, Any]) -> str:
    outcome = AnswerOutcome(row["outcome"] or AnswerOutcome.NO_ANSWER)
    return without_answer(outcome, row["n_abstracts"], has_evidence=row["best_pmid"] is not None)


def why_in_words(why: str) -> str:
    """Versions to come can know more reasons."""
    return _WHY.get(why, why.replace("_", " "))
