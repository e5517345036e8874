"""Data sets made for tests of the page: runs of given pairs, merged and committed by the real code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bioqa_pipeline.dataset.manifest import RetrievalRecord
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import AnswerRow, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.qa.merging import Candidate, merge_answers
from bioqa_pipeline.questions.kinds import asks_yes_or_no
from bioqa_pipeline.records.scores import SpanAnswer
from bioqa_pipeline.records.texts import Hit, QueryAttempt, Question, Retrieval, RetrievalOutcome, content_digest
from bioqa_pipeline.report.data import Limits
from bioqa_pipeline.report.page import render_run_page
from bioqa_pipeline.report.reading import read_report
from bioqa_pipeline.run.outcomes import stated
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest

THRESHOLD = 0.0


def said(
    question: str, pmid: int, answer: str, *, before: str = "It is ", after: str = ".", p: float = 0.75, **changes: Any
) -> AnswerRow:
    """A pair whose abstract says `before` + `answer` + `after`; rejected where `p` is under a half."""
    sentence = before + answer + after
    start, offset = len(before), 100
    margin = 10 * (p - 0.5)
    span = SpanAnswer(answer, offset + start, offset + start + len(answer), margin, -0.5, 0)
    accepted = p >= 0.5
    fields: dict[str, Any] = {
        "question": question,
        "question_id": id_of(question),
        "rank": 1,
        "answer": answer if accepted else None,
        "answer_start": span.start if accepted else None,
        "answer_end": span.end if accepted else None,
        "evidence": sentence,
        "evidence_start": offset,
        "evidence_end": offset + len(sentence),
        "n_windows": 1,
        "span_score": margin,
        "null_score": 0.0,
        "score_diff": -margin,
        "margin": margin,
        "answerability": p,
        "threshold": THRESHOLD,
        "is_answerable": accepted,
        "n_best": (span,),
    }
    return answer_row(pmid, **{**fields, **changes})


def id_of(question: str) -> str:
    return f"q-{content_digest(question)[:10]}"


def add_run(
    root: Path,
    run_id: str,
    pairs: Sequence[AnswerRow],
    asked: Sequence[str] = (),
    works: Mapping[int, int] | None = None,
    **changes: Any,
) -> str:
    """A whole run, page included; returns the page.

    Args:
        run_id: begins with YYYYMMDD, the day on which it ran.
        asked: questions without pairs, too.
        works: PMID -> what versions of one work have in common.
        changes: to the manifest.
    """
    started = datetime.strptime(run_id[:8], "%Y%m%d").replace(hour=6, tzinfo=UTC)
    rows = [replace(row, run_id=run_id, scored_at=started + timedelta(seconds=30)) for row in pairs]
    questions = dict.fromkeys([*asked, *(row.question for row in rows)])
    searched = [retrieval(text, sum(row.question == text for row in rows)) for text in questions]
    searches = {r.question_id: r for r in (*searched, *changes.get("retrievals", ()))}
    dataset = Dataset(root)
    with dataset.writer(run_id) as writer:
        done = writer.done([row.pair_id for row in rows])
        new = [row for row, is_done in zip(rows, done, strict=True) if not is_done]
        if new:
            shard_id = make_shard_id([row.pair_id for row in new])
            write_staged(root, run_id, shard_id, new, chunk_rows(new), METADATA)
            writer.commit_shard(shard_id)
        merged = [
            answer
            for text in questions
            for answer in stated(
                merge_answers(
                    Question(id_of(text), text),
                    [_candidate(row, works or {}) for row in rows if row.question == text],
                    as_one=asks_yes_or_no(text),
                ),
                _retrieval(searches[id_of(text)]),
                is_evidence=asks_yes_or_no(text),
            )
        ]
        said = {(row.question, row.pmid): row.evidence for row in rows}
        merged = [replace(a, evidence=said.get((a.question, a.best_pmid))) for a in merged]
        writer.write_summary(merged, METADATA)
        facts = {
            "started_at": started,
            "finished_at": started + timedelta(seconds=90),
            "n_questions": len(questions),
            "n_pairs": len(rows),
            "n_scored": len(new),
            "n_reused": len(rows) - len(new),
            "retrievals": tuple(searched),
            "source": {"kind": "pubmed"},
        }
        done_manifest = manifest(run_id, **{**facts, **changes})
        page = render_run_page(read_report(dataset, done_manifest, Limits()))
        writer.write_page(page)
        writer.finish(done_manifest)
    return page


def retrieval(question: str, hits: int, **changes: Any) -> RetrievalRecord:
    fields: dict[str, Any] = {
        "question_id": id_of(question),
        "outcome": RetrievalOutcome.OK if hits else RetrievalOutcome.NO_HITS,
        "hits": hits,
        "attempts": (QueryAttempt(0, f"{question}[tiab]", f'"{question}"[Title/Abstract]', hits, ()),),
    }
    return RetrievalRecord(**{**fields, **changes})


def _retrieval(record: RetrievalRecord) -> Retrieval:
    hits = tuple(Hit(pmid, pmid) for pmid in range(1, record.hits + 1))
    return Retrieval(record.question_id, hits, outcome=record.outcome, error=record.error)


def _candidate(row: AnswerRow, works: Mapping[int, int]) -> Candidate:
    work = works.get(row.pmid)
    return Candidate(row.pmid, row.answer, row.margin or 0.0, row.answerability, row.is_retracted, work=work)


def hundred_abstracts(n_questions: int, n_abstracts: int) -> tuple[list[AnswerRow], list[RetrievalRecord]]:
    """Questions that as many abstracts answer in fifteen ways, with sentences, titles and queries of usual length."""
    pairs, searches = [], []
    for i in range(n_questions):
        question = f"Which of the many treatments is the one that question no. {i:05d}-X asks for?"
        for k in range(n_abstracts):
            pairs.append(
                said(
                    question,
                    10_000_000 + i * n_abstracts + k,
                    f"treatment number {'abcdefghijklmno'[k % 15] * 4}",
                    before="In this randomised, double-blind trial of four hundred and twelve patients over two years "
                    "the outcome improved most under ",
                    after=", with a hazard ratio of 0.71 (95% confidence interval 0.58 to 0.86; p < 0.001) and few "
                    "adverse events.",
                    p=0.4 + 0.59 * (k * 37 % n_abstracts) / n_abstracts if i % 5 else 0.3,
                    title=f"Efficacy and safety of a treatment in adults: a randomised controlled trial, part {k}",
                    journal="Journal of randomised trials and their reviews",
                    doi=f"10.1000/trials.{i}.{k}",
                    pub_date=f"{1980 + k % 45}-05",
                    pub_year=1980 + k % 45,
                    pair_id=f"{i * n_abstracts + k:032x}",
                )
            )
        term = " AND ".join(f"(word{j}[tiab] OR synonym{j}[tiab])" for j in range(10))
        attempts = tuple(QueryAttempt(n, term, term.replace("tiab", "Title/Abstract") * 2, 10**n, ()) for n in range(4))
        searches.append(retrieval(question, n_abstracts, attempts=attempts))
    return pairs, searches
