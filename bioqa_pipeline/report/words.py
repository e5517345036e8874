"""Scores and outcomes into the words that people read, the same ones in terminal, page and Prefect."""

from __future__ import annotations

from collections.abc import Mapping

from bioqa_pipeline.messages import counted
from bioqa_pipeline.qa.merging import is_echo
from bioqa_pipeline.records.scores import STRONG
from bioqa_pipeline.records.texts import FetchStatus
from bioqa_pipeline.report.data import ShownAnswer, ShownQuestion

SKIPPED = {
    FetchStatus.NO_ABSTRACT: "without an abstract",
    FetchStatus.FILTERED: "left out by filters",
    FetchStatus.NOT_FOUND: "not found",
    FetchStatus.DELETED: "deleted from PubMed",
    FetchStatus.FETCH_ERROR: "could not be fetched",
    FetchStatus.PARSE_ERROR: "could not be read",
    FetchStatus.SCORE_ERROR: "could not be scored",
}


def strength(probability: float | None) -> str:
    """How much an accepted answer weighs."""
    if probability is None:
        return "uncalibrated"
    return "strong" if probability >= STRONG else "weak"


def weighed(probability: float | None) -> str:
    """ "0.93 strong"."""
    return strength(probability) if probability is None else f"{probability:.2f} {strength(probability)}"


# Said where probabilities stand first.
PROBABILITY = (
    "probability: of 100 abstracts at 0.90 about 90 answer the question, by the model's calibration; "
    f"strong: {STRONG:.2f} or more, weak: less"
)


def why_behind(question: ShownQuestion, answer: ShownAnswer) -> str:
    """Why an answer stands behind one whose best abstract is less sure; empty where none is."""
    if answer.answerability is None:
        return ""
    ahead = [a for a in question.answers if a.rank < answer.rank and (a.answerability or 0.0) < answer.answerability]
    if not ahead:
        return ""
    if answer.n_retracted == len(answer.support_pmids):
        return "last, for only retracted articles give it"
    if question.text and is_echo(question.text, answer.text):
        return "behind the others, for it says only words of the question"
    if ahead[0].n_support > answer.n_support:
        return f"behind an answer that {counted(ahead[0].n_support, 'work')} give, not {answer.n_support:,}"
    return "its best abstract is surer; all abstracts together speak more for the answer before it"


def statuses(counts: Mapping[FetchStatus, int]) -> str:
    """How many records ended how, always in this order: "50 read, 1 of them retracted; 2 not found"."""
    n_retracted = counts.get(FetchStatus.SCORED_RETRACTED, 0)
    n_read = counts.get(FetchStatus.SCORED, 0) + n_retracted
    read = f"{n_read:,} read" + f", {n_retracted:,} of them retracted" * bool(n_retracted)
    return "; ".join(filter(None, (read, skipped(counts))))


def skipped(counts: Mapping[FetchStatus, int]) -> str:
    """Those of them that were not read: "1 without an abstract; 2 not found"."""
    return "; ".join(f"{counts[status]:,} {words}" for status, words in SKIPPED.items() if counts.get(status))
