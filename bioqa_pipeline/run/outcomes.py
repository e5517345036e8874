"""The merged answers of a question into what may be said of it: answered, or why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bioqa_pipeline.questions.kinds import asks_yes_or_no
from bioqa_pipeline.records.scores import AnswerOutcome, MergedAnswer
from bioqa_pipeline.records.texts import Retrieval, RetrievalOutcome


def stated(answers: Sequence[MergedAnswer], retrieval: Retrieval, *, limit: int) -> list[MergedAnswer]:
    """The answers of one question, at most `limit`, each with its outcome.

    A question that asks for yes or no keeps one row without an answer: its evidence is that of the best abstract, its
    support all abstracts in which a span was found, its variants these spans.

    Args:
        answers: all of the question, ranked; one without an answer where no abstract has one.
    """
    best = answers[0]
    if best.answer is None:
        return [replace(best, outcome=_without_answer(retrieval, best.n_abstracts))]
    if not asks_yes_or_no(best.question):
        return list(answers[:limit])
    return [
        replace(
            best,
            answer=None,
            outcome=AnswerOutcome.EVIDENCE_ONLY,
            support_pmids=tuple(dict.fromkeys(pmid for a in answers for pmid in a.support_pmids)),
            retracted_pmids=tuple(dict.fromkeys(pmid for a in answers for pmid in a.retracted_pmids)),
            variants=tuple(dict.fromkeys(text for a in answers for text in a.variants)),
        )
    ]


def _without_answer(retrieval: Retrieval, n_abstracts: int) -> AnswerOutcome:
    if retrieval.outcome is RetrievalOutcome.FAILED:
        return AnswerOutcome.SEARCH_FAILED
    if n_abstracts:
        return AnswerOutcome.NO_ANSWER
    return AnswerOutcome.NO_ABSTRACT if retrieval.hits else AnswerOutcome.NOTHING_FOUND
