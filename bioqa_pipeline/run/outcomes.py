"""The merged answers of a question into what may be said of it: answered, or why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bioqa_pipeline.records.scores import AnswerOutcome, MergedAnswer
from bioqa_pipeline.records.texts import Retrieval, RetrievalOutcome


def stated(answers: Sequence[MergedAnswer], retrieval: Retrieval, *, is_evidence: bool) -> list[MergedAnswer]:
    """The answers of one question, each with its outcome.

    Args:
        answers: ranked; one without an answer where no abstract has one.
        is_evidence: the question asks for yes or no, and `answers` are all spans put together: their evidence, support
            and wordings stay, without an answer.
    """
    best = answers[0]
    outcome = AnswerOutcome.ANSWERED if best.answer is not None else _without_answer(retrieval, best.n_abstracts)
    if is_evidence and outcome in (AnswerOutcome.ANSWERED, AnswerOutcome.NO_ANSWER):
        # That none was found is no "no" either.
        return [replace(best, answer=None, outcome=AnswerOutcome.EVIDENCE_ONLY)]
    return list(answers) if best.answer is not None else [replace(best, outcome=outcome)]


def _without_answer(retrieval: Retrieval, n_abstracts: int) -> AnswerOutcome:
    if retrieval.outcome is RetrievalOutcome.FAILED:
        return AnswerOutcome.SEARCH_FAILED
    if n_abstracts:
        return AnswerOutcome.NO_ANSWER
    return AnswerOutcome.NO_ABSTRACT if retrieval.hits else AnswerOutcome.NOTHING_FOUND
