"""A question's answers as they stood and as they stand, into the rows of `current`: what changed, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np

from bioqa_pipeline.dataset.schemas import CurrentRow, SummaryRow
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.run.records import RunIdentity

# Strongest first: where several records changed an answer, the first of these is why.
RETRACTION, REVISED, NEW = "retraction", "revised_record", "new_record"
NEWS = (RETRACTION, REVISED, NEW)
MOST_PMIDS = 50

Row = Mapping[str, Any]
Why = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a question comes to.

    Attributes:
        answers: ranked, over all its runs; one without an answer where there is none.
        scored_at: when the last of its abstracts was scored.
        news: PMID -> one of NEWS, of the records scored since the question's rows were written.
        seen: answer -> when and in which run it was first given, where that was before the first row of it.
    """

    answers: Sequence[MergedAnswer]
    scored_at: datetime | None
    news: Mapping[int, str]
    seen: Mapping[str | None, tuple[datetime, str]]


def rows_now(old: Sequence[Row], found: Found, run: RunIdentity) -> list[CurrentRow]:
    """The rows of one question.

    Args:
        old: its rows so far, by rank; none where it is new.
    """
    is_same = bool(old) and old[0]["question"] == found.answers[0].question
    matched = _matched(old if is_same else (), found.answers)
    gone = [row for row in old if row["answer"] is not None and row["rank"] not in {r["rank"] for r in matched if r}]
    rows = [_row(before, answer, old, found, run) for before, answer in zip(matched, found.answers, strict=True)]
    took: dict[str, Any] = {name: None if not old else old[0][name] for name in ("gone", "gone_run_id", "gone_why")}
    if gone:
        why, _ = _why(old, found, run, gone[0]["support_pmids"])
        took = {"gone": tuple(row["answer"] for row in gone), "gone_run_id": run.run_id, "gone_why": why}
    return [CurrentRow(**row | (took if i == 0 else dict.fromkeys(took))) for i, row in enumerate(rows)]


def _matched(old: Sequence[Row], answers: Sequence[MergedAnswer]) -> list[Row | None]:
    """For each answer the row that it had: of the same wording, else with a wording or a meaning in common."""
    left = list(old)
    found: list[Row | None] = [None] * len(answers)
    for same in (_is_same_wording, _shares_wording):
        for i, answer in enumerate(answers):
            if found[i] is None and (row := next((row for row in left if same(row, answer)), None)) is not None:
                found[i] = row
                left.remove(row)
    return found


def _is_same_wording(row: Row, answer: MergedAnswer) -> bool:
    return bool(row["answer"] == answer.answer)


def _shares_wording(row: Row, answer: MergedAnswer) -> bool:
    if row["answer"] is None or answer.answer is None:
        return False
    return not {*row["variants"]}.isdisjoint(answer.variants) or answer_key(row["answer"]) == answer_key(answer.answer)


def _row(
    before: Row | None, answer: MergedAnswer, old: Sequence[Row], found: Found, run: RunIdentity
) -> dict[str, Any]:
    values = {f.name: getattr(answer, f.name) for f in fields(SummaryRow) if f.name != "run_id"}
    change = "new" if before is None else _change(before, answer)
    if change is None and before is not None:
        kept = ("run_id", "last_changed", "change", "why", "why_pmids", "first_seen", "first_run_id")
        values |= {name: before[name] for name in kept}
    else:
        support = {*answer.support_pmids, *(before["support_pmids"] if before else ())}
        why, pmids = _why(old, found, run, support)
        now = run.started_at, run.run_id
        first = (before["first_seen"], before["first_run_id"]) if before else found.seen.get(answer.answer, now)
        values |= {
            **{"run_id": run.run_id, "last_changed": run.started_at, "change": change, "why": why},
            **{"why_pmids": pmids, "first_seen": first[0], "first_run_id": first[1]},
        }
    return values | {
        **{"scored_at": found.scored_at, "threshold": run.threshold, "scoring_key": run.scoring_key},
        **{"model": run.model, "model_revision": run.model_revision},
    }


def _change(before: Row, answer: MergedAnswer) -> str | None:
    """The first of the ways in which a row changed; None where it did not."""
    if answer.answer is None and before["outcome"] != answer.outcome:
        return "outcome"
    if before["answer"] != answer.answer:
        return "wording"
    if {*before["retracted_pmids"]} != {*answer.retracted_pmids}:
        return "retracted"
    if {*before["support_pmids"]} != {*answer.support_pmids} or before["n_support"] != answer.n_support:
        return "support"
    if before["rank"] != answer.rank:
        return "rank"
    if any(_float32(before[name]) != _float32(getattr(answer, name)) for name in ("answerability", "margin")):
        return "score"
    # A revised record can say the same in another sentence.
    return None if before["evidence"] == answer.evidence else "support"


def _float32(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(np.float32(value))


def _why(old: Sequence[Row], found: Found, run: RunIdentity, support: Iterable[int]) -> Why:
    """Why an answer with this support changed: what decides all answers of the question, else its own records."""
    if not old:
        return "new_question", ()
    before = old[0]
    if before["question"] != found.answers[0].question:
        return "question_changed", ()
    if before["scoring_key"] != run.scoring_key:
        same = (before["model"], before["model_revision"]) == (run.model, run.model_revision)
        return "new_settings" if same else "new_model", ()
    own = _strongest({pmid: found.news[pmid] for pmid in support if pmid in found.news})
    if own:
        return own
    if _float32(before["threshold"]) != _float32(run.threshold):
        return "new_threshold", ()
    if news := _strongest(found.news):
        return news
    n_abstracts = found.answers[0].n_abstracts
    if not n_abstracts:
        return "search", ()
    return ("removed_record" if n_abstracts < before["n_abstracts"] else "new_settings"), ()


def _strongest(news: Mapping[int, str]) -> Why | None:
    for kind in NEWS:
        if pmids := sorted(pmid for pmid, what in news.items() if what == kind):
            return kind, tuple(pmids[:MOST_PMIDS])
    return None
