"""A run into one self-contained HTML page for its readers: what was asked, what was found, what is new, what failed.

Made from the data set and the run's manifest alone, so that it can be made again at any time. The page works without
scripts and loads nothing.
"""

from __future__ import annotations

import math
import re

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.html.page import asset, environment, html_page
from bioqa_pipeline.messages import counted
from bioqa_pipeline.pubmed.links import doi_url, pubmed_list_url, pubmed_url
from bioqa_pipeline.qa.calibration import UNCALIBRATED, Calibration
from bioqa_pipeline.records.scores import STRONG, AnswerOutcome
from bioqa_pipeline.records.texts import QueryAttempt, RetrievalOutcome, content_digest
from bioqa_pipeline.report.about import about_run, n_abstracts, skipped_records
from bioqa_pipeline.report.data import Limits, RunReport, ShownQuestion
from bioqa_pipeline.report.delta import read_current
from bioqa_pipeline.report.reading import read_report
from bioqa_pipeline.report.runs import only_newest, read_manifest
from bioqa_pipeline.report.unanswered import accounted, without_answer
from bioqa_pipeline.report.words import PROBABILITY, SKIPPED, skipped, strength, why_behind

# Where answers come from, in the title; all other sources are PubMed.
_WHENCE = {"sample": "the sample records", "files": "your records"}
# PMIDs that PubMed's own page takes in one address.
LINK_PMIDS = 150
MOST_NAMED = 100
# Of what a run changed; the others stand behind a click, so that the first answers are seen at once.
CHANGES_OPEN = 2
# Of what is said of the questions; the manifest has all.
MOST_NOTES = 20
# Queries and their translations are long, and many: some 400 kB of them at most.
SEARCH_CHARS = 400_000

SCRIPTS = ("common.js", "report.js", "choices.js", "downloads.js")
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,80}")
STATUS = {
    "completed": ("good", "complete"),
    "partial": ("warn", "partial"),
    "failed": ("bad", "failed"),
}


def make_run_page(dataset: Dataset, run_id: str, *, limits: Limits | None = None) -> str:
    """The page of one run as HTML.

    Args:
        limits: how much is shown at most.

    Raises:
        DatasetError: there is no such run, or the data set cannot be read.
    """
    manifest = read_manifest(dataset, run_id)
    return render_run_page(read_report(dataset, manifest, limits or Limits(), read_current(dataset, manifest)))


def render_run_page(report: RunReport) -> str:
    """The page as HTML."""
    manifest = report.manifest
    whence = _WHENCE.get(manifest.source.get("kind", ""), "PubMed")
    title = f"Answers from {whence}, {manifest.started_at:%d %B %Y}"
    body = (
        environment()
        .get_template("report.html.j2")
        .render(
            doi_url=doi_url,
            pubmed_url=pubmed_url,
            pubmed_list_url=pubmed_list_url,
            anchor=anchor,
            understood=understood,
            data_set=report.dataset_id or manifest.run_id,
            title=title,
            is_sample=manifest.source.get("kind") == "sample",
            verdict=verdict,
            why_behind=why_behind,
            probability_words=PROBABILITY[0].upper() + PROBABILITY[1:],
            contents=contents,
            strength=strength,
            is_strong=is_strong,
            tick=_tick(manifest),
            strong=STRONG,
            m=manifest,
            status=STATUS[manifest.status],
            lead=_lead(report),
            notes=_notes(report),
            skipped=skipped_records(manifest),
            skipped_words=skipped(manifest.statuses),
            n_skipped=sum(n for s, n in manifest.statuses.items() if s in SKIPPED),
            about=about_run(report),
            kinds=_kinds(report),
            questions=report.questions,
            delta=report.delta,
            is_calibrated=report.is_calibrated,
            shown=_shown(report),
            link_pmids=LINK_PMIDS,
            most_named=MOST_NAMED,
            search_chars=_search_chars(manifest),
            changes_open=CHANGES_OPEN,
        )
    )
    return html_page(title, body, style=asset("report.css"), script="".join(map(asset, SCRIPTS)))


def anchor(question_id: str) -> str:
    """The name of a question in an address; what users call one can hold any sign."""
    return f"q-{question_id if _PLAIN.fullmatch(question_id) else content_digest(question_id)[:16]}"


def understood(attempt: QueryAttempt) -> str | None:
    """How PubMed understood a query, where it did so otherwise than it was written."""
    translation = attempt.translation
    return None if translation == attempt.term or (translation or "").startswith("BM25") else translation


def verdict(question: ShownQuestion) -> str:
    """Why a question has no answer, plainly."""
    retrieval = question.retrieval
    if question.text is None:
        return "Not asked: the run broke off"
    if question.outcome not in (None, AnswerOutcome.NO_ABSTRACT):
        outcome = question.outcome
    elif question.n_abstracts:
        outcome = AnswerOutcome.NO_ANSWER
    elif retrieval is None:
        return "No abstract to read" if question.was_searched else "No abstract to read, or the search failed"
    elif retrieval.outcome is RetrievalOutcome.FAILED:
        outcome = AnswerOutcome.SEARCH_FAILED
    elif retrieval.outcome is RetrievalOutcome.NO_HITS:
        outcome = AnswerOutcome.NOTHING_FOUND
    else:
        return f"{counted(retrieval.hits, 'record')} found, no abstract to read"
    words = without_answer(outcome, question.n_abstracts, has_evidence=question.evidence is not None)
    return words[0].upper() + words[1:]


def is_strong(question: ShownQuestion) -> bool:
    """Whether its best answer is one that weighs much."""
    return bool(question.answers) and strength(question.answers[0].answerability) == "strong"


def contents(question: ShownQuestion) -> str:
    """What opening a question shows."""
    n = sum(len(said.evidence) for said in question.said)
    if question.answers:
        return f"{counted(len(question.answers), 'answer')}, {counted(n, 'sentence')} of evidence"
    if question.evidence:
        return f"{counted(n, 'sentence')} of evidence"
    return "Nearest words and search" if question.nearest else "Search"


def _lead(report: RunReport) -> str:
    manifest, questions, n_answered = report.manifest, report.questions, report.outcomes.get(AnswerOutcome.ANSWERED, 0)
    if manifest.status == "failed" and not n_answered:
        why = "the run broke off before it had answers" if manifest.error else "every search failed"
        return f"{counted(manifest.n_questions, 'question')} asked; {why}."
    answered, others = accounted(report.outcomes.elements(), report.n_questions)
    lead = f"{answered}, from {counted(n_abstracts(manifest), 'abstract')}{others}."
    if report.previous is None:
        return f"{lead} No earlier run in this data set asked these questions."
    since = f"the run of {report.previous.started_at:%d %B %Y, %H:%M} UTC"
    if report.delta is not None:
        return f"{lead} Since {since}: {report.delta.counts or 'nothing changed'}."
    n_new, n_changed = sum(q.is_new for q in questions), sum(q.changed for q in questions)
    news = [f"{counted(n_new, 'question')} with new answers"] * report.compares
    news += [f"{n_changed:,} whose best answer changed"] * (not only_newest(manifest))
    if len(questions) < report.n_questions and news:
        news[-1] += f", of the {len(questions):,} that this page shows"
    return f"{lead} Since {since}: {', '.join(news)}."


def _notes(report: RunReport) -> list[tuple[str, str]]:
    manifest = report.manifest
    notes = [("warn", note) for note in manifest.notes[:MOST_NOTES]]
    if not report.is_calibrated:
        notes.append(("warn", f"{UNCALIBRATED[0].upper()}{UNCALIBRATED[1:]}."))
    if only_newest(manifest):
        since = f"since {manifest.source['since']}" if manifest.source.get("since") else "since the last run"
        notes.append(
            (
                "",
                f"Only records that came or were revised {since} were asked"
                + ("; the answers that earlier runs found are shown with theirs." if report.is_current else ": a ")
                + ("" if report.is_current else "question without an answer here may have one from an earlier run."),
            )
        )
    if report.previous and not report.compares:
        notes.append(
            (
                "",
                "The model or its settings are not those of the run before, so every score is new and single answers "
                "are not marked as new; questions whose best answer changed are.",
            )
        )
    n_shown = len(report.questions)
    if n_shown < report.n_questions:
        notes.append(
            (
                "",
                f"This page shows {n_shown:,} of {report.n_questions:,} questions, those with the surest answers "
                "first; all of them are in the folder summary of the data set.",
            )
        )
    n_retracted = sum(q.has_retracted for q in report.questions)
    if n_retracted:
        notes.append(
            ("warn", f"{counted(n_retracted, 'question')}: retracted articles are among the support. They are marked.")
        )
    return notes


def _kinds(report: RunReport) -> list[tuple[str, str, int]]:
    """The filters: CSS class, name, number of questions."""
    questions = report.questions
    n_answered = sum(bool(q.answers) for q in questions)
    n_yes_no = sum(q.evidence is not None for q in questions)
    kinds = [("all", "All", len(questions)), ("answered", "Answered", n_answered)]
    kinds.append(("unanswered", "Unanswered", len(questions) - n_answered - n_yes_no))
    if n_yes_no:
        kinds.append(("yes-no", "Yes/no", n_yes_no))
    if report.is_calibrated:
        kinds.append(("strong", "Strong", sum(is_strong(q) for q in questions)))
    if report.previous:
        name = "New" if report.compares else "Changed"
        kinds.append(("new", name, sum(q.is_new or q.changed for q in questions)))
    kinds.append(("retracted", "Retracted", sum(q.has_retracted for q in questions)))
    return kinds


def _shown(report: RunReport) -> str:
    n_answers = report.n_answers
    n_shown = sum(len(q.answers) for q in report.questions)
    answers = counted(n_shown, "answer") if n_shown == n_answers else f"{n_shown:,} of {n_answers:,} answers"
    return (
        f"This page shows {answers} with {counted(report.n_evidence, 'sentence')} of evidence from "
        f"{counted(report.n_support, 'supporting abstract')}."
    )


def _tick(manifest: RunManifest) -> float | None:
    """The probability of a piece of text that lies at the threshold; None where the run does not say."""
    threshold, calibration = manifest.config.get("threshold"), manifest.model.get("calibration")
    if not isinstance(threshold, int | float) or not calibration:
        return None
    probability = Calibration.model_validate_json(calibration).probability(-threshold, 1)
    return probability if math.isfinite(probability) else None


def _search_chars(manifest: RunManifest) -> int:
    n_texts = 2 * sum(len(r.attempts) for r in manifest.retrievals)
    return max(80, SEARCH_CHARS // max(1, n_texts)) if n_texts * 1000 > SEARCH_CHARS else 1000
