"""Why a question has no answer, in words, the same ones in terminal, page, Prefect and messages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from bioqa_pipeline.messages import counted
from bioqa_pipeline.records.scores import AnswerOutcome, MergedAnswer

FAILED = "search failed"
# Why questions have no answer. With the answered ones these are all that were asked.
WITHOUT_ANSWER = {
    AnswerOutcome.NO_ANSWER: "no answer: all below the threshold",
    AnswerOutcome.EVIDENCE_ONLY: "not answered: yes/no question",
    AnswerOutcome.SEARCH_FAILED: FAILED,
    AnswerOutcome.NOTHING_FOUND: "nothing found",
    AnswerOutcome.NO_ABSTRACT: "no abstract to read",
}


def best_words(answer: MergedAnswer) -> str:
    """The best answer of a question, or what is to be said in its place."""
    if answer.answer is not None:
        return answer.answer
    return without_answer(answer.outcome, answer.n_abstracts, has_evidence=answer.best_pmid is not None)


def without_answer(outcome: AnswerOutcome, n_abstracts: int, *, has_evidence: bool) -> str:
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
            evidence = "read the evidence" if has_evidence else f"no evidence in {counted(n_abstracts, 'abstract')}"
            return f"yes/no question: {evidence}"
        case _:
            return f"no answer in {counted(n_abstracts, 'abstract')}"


def accounted(outcomes: Iterable[AnswerOutcome], n_questions: int) -> tuple[str, str]:
    """("14 of 22 questions answered", "; 7 no answer: …; 1 search failed"): with the first the rest are all."""
    counts = Counter(outcomes)
    others = [f"; {counts[outcome]:,} {words}" for outcome, words in WITHOUT_ANSWER.items() if counts[outcome]]
    if (left := n_questions - counts.total()) > 0:
        others.append(f"; {left:,} not asked, as the run broke off")
    return f"{counts[AnswerOutcome.ANSWERED]:,} of {counted(n_questions, 'question')} answered", "".join(others)


def listed(answers: Iterable[MergedAnswer]) -> Iterator[tuple[str, list[str]]]:
    """What became of questions, with their texts, but for those whose rows say it: answered, or below the threshold."""
    asked = defaultdict[AnswerOutcome, list[str]](list)
    for answer in answers:
        asked[answer.outcome].append(answer.question)
    yield from ((w, asked[o]) for o, w in WITHOUT_ANSWER.items() if o in asked and o is not AnswerOutcome.NO_ANSWER)
