"""The answers of one question over many abstracts into ranked, merged answers with their support. Pure.

Abstracts are compared by calibrated answerability only: raw span scores of different windows share no zero. Equal
answers are pooled by their best abstract and the number of distinct PMIDs, never by summing scores. An answer that
only retracted records support comes after all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bioqa_pipeline.qa.abbreviations import SHORT_CHARS, Abbreviation, defined_abbreviations, expanded
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Question


@dataclass(frozen=True, slots=True)
class Candidate:
    """The answer of one abstract to a question.

    Attributes:
        answer: None where the abstract has none.
        abbreviations: what the abstract itself defines.
        work: equal for abstracts that are versions of one work (preprint, article, republication); None where there is
            no other.
    """

    pmid: int
    answer: str | None
    margin: float
    answerability: float
    is_retracted: bool = False
    abbreviations: tuple[Abbreviation, ...] = ()
    work: int | None = None


def merge_answers(question: Question, candidates: Iterable[Candidate], *, limit: int = 10) -> list[MergedAnswer]:
    """Ranked answers of one question, at most `limit`; one row with `answer` None where no abstract has one.

    `n_abstracts` counts all candidates, answered or not. `evidence` is left to whoever knows the abstracts.
    """
    ranked = sorted(candidates, key=_candidate_order)
    groups = _group([c for c in ranked if c.answer is not None])
    if not groups:
        nearest = max(ranked, key=lambda c: c.margin, default=None)
        return [
            MergedAnswer(
                question_id=question.id,
                question=question.text,
                rank=1,
                answer=None,
                answerability=nearest.answerability if nearest else 0.0,
                margin=nearest.margin if nearest else float("-inf"),
                n_abstracts=len(ranked),
            )
        ]
    return [
        _merged(question, rank, group, len(ranked))
        for rank, group in enumerate(sorted(groups, key=_group_order)[:limit], start=1)
    ]


def _group(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates with one key, in the order given."""
    groups: dict[str, list[Candidate]] = {}
    for candidate, key in zip(candidates, merge_keys(candidates), strict=True):
        groups.setdefault(key, []).append(candidate)
    return list(groups.values())


def merge_keys(candidates: Sequence[Candidate]) -> list[str]:
    """The key of each candidate's answer, abbreviations in full.

    An abbreviation is read as its own abstract defines it. Where that says nothing, it is read as the others do that
    answer with it or with its full form, unless abstracts of the question differ: then it stays as it is.
    """
    own = [_definitions(c) for c in candidates]
    agreed = _agreed(candidates, own)
    by_key = {answer_key(a.short): a for a in agreed.values()}
    keys: list[str] = []
    for candidate, mine in zip(candidates, own, strict=True):
        known = {a.short for a in mine}
        text = expanded(candidate.answer or "", mine)
        key = answer_key(expanded(text, [agreed[short] for short in _short_forms(text, agreed) - known]))
        keys.append(answer_key(by_key[key].long) if key in by_key else key)
    return keys


def _definitions(candidate: Candidate) -> tuple[Abbreviation, ...]:
    """What the abstract defines, and the answer itself: "epidermal growth factor receptor (EGFR)"."""
    answer = candidate.answer or ""
    known = {a.short for a in candidate.abbreviations}
    also = defined_abbreviations(answer) if "(" in answer or "[" in answer else ()
    return (*candidate.abbreviations, *(a for a in also if a.short not in known))


def _agreed(
    candidates: Sequence[Candidate], definitions: Sequence[tuple[Abbreviation, ...]]
) -> dict[str, Abbreviation]:
    """Short form -> definition, of those that an answer uses and that all abstracts define alike."""
    used: set[Abbreviation] = set()
    for candidate, mine in zip(candidates, definitions, strict=True):
        letters = _letters(candidate.answer or "")
        used.update(a for a in mine if a.short in (candidate.answer or "") or _letters(a.long) in letters)
    keys = {answer_key(a.short) for a in used}
    longs: dict[str, set[str]] = {}
    for abbreviation in {a for mine in definitions for a in mine}:
        key = answer_key(abbreviation.short)
        if key in keys:
            longs.setdefault(key, set()).add(answer_key(abbreviation.long))
    ordered = sorted(used, key=lambda a: (a.short, a.long), reverse=True)
    return {a.short: a for a in ordered if len(longs[answer_key(a.short)]) == 1}


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum()).rstrip("s")


def _short_forms(text: str, known: Mapping[str, Abbreviation]) -> set[str]:
    """The known short forms that begin with a word of the text."""
    starts = [i for i, c in enumerate(text) if c.isalnum() and not text[i - 1 : i].isalnum()] if known else []
    return {text[i : i + n] for i in starts for n in SHORT_CHARS if text[i : i + n] in known}


def _group_order(group: Sequence[Candidate]) -> tuple[bool, float, int]:
    best = min(group, key=_candidate_order)
    return best.is_retracted, -best.answerability, -len({_work(c) for c in group})


def _candidate_order(candidate: Candidate) -> tuple[bool, float, float, int]:
    return candidate.is_retracted, -candidate.answerability, -candidate.margin, candidate.pmid


def _work(candidate: Candidate) -> tuple[str, int]:
    return ("pmid", candidate.pmid) if candidate.work is None else ("work", candidate.work)


def _merged(question: Question, rank: int, group: Sequence[Candidate], n_abstracts: int) -> MergedAnswer:
    ordered = sorted(group, key=_candidate_order)
    best = ordered[0]
    first: dict[tuple[str, int], int] = {}
    works = {c.pmid: first.setdefault(_work(c), c.pmid) for c in ordered}
    return MergedAnswer(
        question_id=question.id,
        question=question.text,
        rank=rank,
        answer=best.answer,
        answerability=best.answerability,
        margin=best.margin,
        support_pmids=tuple(works),
        work_pmids=tuple(works.values()),
        retracted_pmids=tuple(dict.fromkeys(c.pmid for c in ordered if c.is_retracted)),
        variants=tuple(dict.fromkeys(c.answer for c in ordered if c.answer is not None)),
        best_pmid=best.pmid,
        n_abstracts=n_abstracts,
    )
