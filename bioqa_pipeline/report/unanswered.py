"""Why a question has no answer, in words, the same ones in terminal, page, Prefect and messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bioqa_pipeline.messages import counted
from bioqa_pipeline.records.scores import AnswerOutcome, MergedAnswer

FAILED = "search failed"
# Why questions have no answer, where it is not that the abstracts have none.
WITHOUT_ANSWER = {
    AnswerOutcome.EVIDENCE_ONLY: "not answered: yes/no question",
    AnswerOutcome.SEARCH_FAILED: FAILED,
    AnswerOutcome.NOTHING_FOUND: "nothing found",
}


def best_words(answer: MergedAnswer) -> str:
    """The best answer of a question, or what is to be said in its place."""
    if answer.answer is not None:
        return answer.answer
    return without_answer(answer.outcome, answer.n_abstracts)


def without_answer(outcome: AnswerOutcome, n_abstracts: int) -> str:
    """Why a question has no answer; a search that failed is never called "no answer"."""
    match outcome:
        case AnswerOutcome.SEARCH_FAILED:
            read = f"; {counted(n_abstracts, 'abstract')} read before it did" if n_abstracts else ""
            return f"{FAILED}{read}"
        case AnswerOutcome.NOTHING_FOUND:
            return "nothing found"
        case AnswerOutcome.NO_ABSTRACT:
            return "no abstract to read"
        case AnswerOutcome.EVIDENCE_ONLY:
            return "yes/no question: read the evidence"
        case _:
            return f"no answer in {counted(n_abstracts, 'abstract')}"


def others_without_answer(outcomes: Iterable[AnswerOutcome]) -> str:
    """What stands behind the number of answered questions: "; 2 not answered: yes/no question; 1 search failed"."""
    counts = Counter(outcomes)
    return "".join(f"; {counts[outcome]:,} {words}" for outcome, words in WITHOUT_ANSWER.items() if counts[outcome])
