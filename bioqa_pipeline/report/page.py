"""A run into one self-contained HTML page for its readers: what was asked, what was found, what is new, what failed.

Made from the data set and the run's manifest alone, so that it can be made again at any time. The page works without
scripts and loads nothing.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any
from urllib.parse import quote

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.html.page import asset, duration, environment, html_page
from bioqa_pipeline.messages import counted
from bioqa_pipeline.qa.calibration import UNCALIBRATED, Calibration
from bioqa_pipeline.records.scores import AnswerOutcome
from bioqa_pipeline.records.texts import FetchStatus, RetrievalOutcome
from bioqa_pipeline.report.data import Limits, RunReport, ShownQuestion
from bioqa_pipeline.report.delta import read_current
from bioqa_pipeline.report.reading import read_report
from bioqa_pipeline.report.runs import only_newest, read_manifest
from bioqa_pipeline.report.words import PROBABILITY, strength, why_behind, without_answer

# PMIDs that PubMed's own page takes in one address.
LINK_PMIDS = 150
MOST_NAMED = 100
# Of what is said of the questions; the manifest has all.
MOST_NOTES = 20
# Queries and their translations are long, and many: some 400 kB of them at most.
SEARCH_CHARS = 400_000

STATUS = {
    "completed": ("good", "complete"),
    "partial": ("warn", "partial"),
    "failed": ("bad", "failed"),
}
SKIPPED = {
    FetchStatus.NO_ABSTRACT: "no abstract",
    FetchStatus.FILTERED: "left out by filters",
    FetchStatus.NOT_FOUND: "not found",
    FetchStatus.DELETED: "deleted from PubMed",
    FetchStatus.FETCH_ERROR: "could not be fetched",
    FetchStatus.PARSE_ERROR: "could not be read",
    FetchStatus.SCORE_ERROR: "could not be scored",
}


def make_run_page(
    dataset: Dataset,
    run_id: str,
    *,
    manifest: RunManifest | None = None,
    limits: Limits | None = None,
    current: pl.DataFrame | None = None,
) -> str:
    """The page of one run as HTML.

    Args:
        manifest: of a run that is about to write it; None reads the one that the data set holds.
        limits: how much is shown at most.
        current: the answers over all runs as such a run leaves them.

    Raises:
        DatasetError: there is no such run, or the data set cannot be read.
    """
    if manifest is None:
        manifest = read_manifest(dataset, run_id)
        current = read_current(dataset, manifest)
    return render_run_page(read_report(dataset, manifest, limits or Limits(), current))


def render_run_page(report: RunReport) -> str:
    """The page as HTML."""
    manifest = report.manifest
    body = (
        environment()
        .get_template("report.html.j2")
        .render(
            doi_url=doi_url,
            verdict=verdict,
            why_behind=why_behind,
            probability_words=PROBABILITY[0].upper() + PROBABILITY[1:],
            contents=contents,
            strength=strength,
            tick=_tick(manifest),
            m=manifest,
            status=STATUS[manifest.status],
            lead=_lead(report),
            tiles=_tiles(report),
            notes=_notes(report),
            skipped=_skipped(manifest),
            skipped_words=", ".join(f"{n:,} {SKIPPED[s]}" for s, n in manifest.statuses.items() if s in SKIPPED),
            n_skipped=sum(n for s, n in manifest.statuses.items() if s in SKIPPED),
            about=_about(manifest),
            kinds=_kinds(report),
            questions=report.questions,
            delta=report.delta,
            is_calibrated=report.is_calibrated,
            shown=_shown(report),
            link_pmids=LINK_PMIDS,
            most_named=MOST_NAMED,
            search_chars=_search_chars(manifest),
        )
    )
    title = f"Answers from PubMed, {manifest.started_at:%d %B %Y}"
    return html_page(title, body, style=asset("report.css"), script=asset("report.js") + asset("downloads.js"))


def doi_url(doi: str) -> str:
    return "https://doi.org/" + quote(doi, safe="/")


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
    words = without_answer(outcome, question.n_abstracts)
    return words[0].upper() + words[1:]


def contents(question: ShownQuestion) -> str:
    """What opening a question shows."""
    n = sum(len(said.evidence) for said in question.said)
    if question.answers:
        return f"{counted(len(question.answers), 'answer')}, {counted(n, 'sentence')} of evidence"
    if question.evidence:
        return f"{counted(n, 'sentence')} of evidence"
    return "Nearest candidate and search" if question.nearest else "Search"


def _n_abstracts(manifest: RunManifest) -> int:
    return sum(manifest.statuses.get(s, 0) for s in (FetchStatus.SCORED, FetchStatus.SCORED_RETRACTED))


def _lead(report: RunReport) -> str:
    manifest, questions, n_answered = report.manifest, report.questions, report.n_answered
    if manifest.status == "failed" and not n_answered:
        why = "the run broke off before it had answers" if manifest.error else "every search failed"
        return f"{counted(manifest.n_questions, 'question')} asked; {why}."
    lead = (
        f"{n_answered:,} of {counted(report.n_questions, 'question')} answered, from "
        f"{counted(_n_abstracts(manifest), 'abstract')}."
    )
    if report.previous is None:
        return f"{lead} No earlier run in this data set asked these questions."
    since = f"the run of {report.previous.started_at:%d %B %Y, %H:%M} UTC"
    n_new, n_changed = sum(q.is_new for q in questions), sum(q.changed for q in questions)
    news = [f"{counted(n_new, 'question')} with new answers"] * report.compares
    news += [f"{n_changed:,} whose best answer changed"] * (not only_newest(manifest))
    if len(questions) < report.n_questions and news:
        news[-1] += f", of the {len(questions):,} that this page shows"
    return f"{lead} Since {since}: {', '.join(news)}."


def _tiles(report: RunReport) -> list[tuple[str, str, str]]:
    manifest = report.manifest
    seconds = manifest.timings_seconds.get("score", 0.0)
    rate = f"{manifest.n_windows / seconds:,.1f} a second" if seconds and manifest.n_windows else "nothing to score"
    n_retracted = manifest.statuses.get(FetchStatus.SCORED_RETRACTED, 0)
    took = (manifest.finished_at - manifest.started_at).total_seconds()
    return [
        (
            "Questions answered",
            f"{report.n_answered:,} of {report.n_questions:,}",
            f"{report.n_questions - report.n_answered:,} without answer",
        ),
        ("Abstracts read", f"{_n_abstracts(manifest):,}", f"{n_retracted:,} of them retracted"),
        (
            "Question–abstract pairs",
            f"{manifest.n_pairs:,}",
            f"{manifest.n_scored:,} new, {manifest.n_reused:,} reused, {manifest.n_failed:,} failed",
        ),
        ("Pieces of text read", f"{manifest.n_windows:,}", rate),
        ("Time", duration(took), f"started {manifest.started_at:%H:%M} UTC"),
    ]


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


def _skipped(manifest: RunManifest) -> list[tuple[str, int, list[tuple[str, list[int]]]]]:
    """Kinds of records without answers: name, how many, and by reason the PMIDs that the manifest names."""
    kinds = []
    for status, n in manifest.statuses.items():
        if status not in SKIPPED:
            continue
        named = sorted((s.reason, s.pmid) for s in manifest.skipped if s.status is status)
        reasons = [(reason, [pmid for _, pmid in group]) for reason, group in groupby(named, key=lambda x: x[0])]
        kinds.append((SKIPPED[status], n, reasons))
    return kinds


def _about(manifest: RunManifest) -> list[tuple[str, str]]:
    config: dict[str, Any] = manifest.config
    model = config.get("model")
    model = model if isinstance(model, dict) else {}
    source = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in manifest.source.items() if v and k != "kind")
    return [
        ("Questions", str(config.get("questions", ""))),
        ("Source", manifest.source.get("kind", "") + (f" ({source})" if source else "")),
        ("Model", f"{manifest.model.get('name', '')}, revision {manifest.model.get('revision', '')}"),
        ("Computed on", " ".join(str(model[k]) for k in ("device", "precision") if model.get(k))),
        (
            "Threshold",
            f"{config.get('threshold')}: an abstract answers where null score − best span score is at most that",
        ),
        ("Run", manifest.run_id),
        ("Started", f"{manifest.started_at:%d %B %Y, %H:%M:%S} UTC"),
        ("Finished", f"{manifest.finished_at:%d %B %Y, %H:%M:%S} UTC"),
        ("Stages", ", ".join(f"{name} {duration(s)}" for name, s in manifest.timings_seconds.items())),
        ("Scoring key", manifest.scoring_key),
        ("Versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]


def _kinds(report: RunReport) -> list[tuple[str, str, int]]:
    """The filters: CSS class, name, number of questions."""
    questions = report.questions
    n_answered = sum(bool(q.answers) for q in questions)
    kinds = [("all", "All", len(questions)), ("answered", "Answered", n_answered)]
    kinds.append(("unanswered", "Unanswered", len(questions) - n_answered))
    if report.previous:
        name = "New" if report.compares else "Changed"
        kinds.append(("new", name, sum(q.is_new or q.changed for q in questions)))
    kinds.append(("retracted", "Retracted evidence", sum(q.has_retracted for q in questions)))
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
