"""The answers of one question over many abstracts into ranked, merged answers with their support. Pure.

Equal answers are pooled: an answer has the answerability of its best abstract and the number of works that give it. The
order of the answers follows from the votes of all abstracts (`ranking`). An answer that says only words of the question
comes after those that say more, unless the question offers a choice; one that retracted records alone support, last.
An abbreviation of the question in full is an answer: to "What is FRDA?" it is the one that is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bioqa_pipeline.abbreviations import SHORT_CHARS, Abbreviation, defined_abbreviations, expanded
from bioqa_pipeline.qa.calibration import chance_of
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.qa.ranking import Voter, votes
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Question

# More spans of an abstract change no order on the questions that this was measured on (see `ranking`).
VOTING_SPANS = 3
_CHOICE = re.compile(r"\b(?:or|versus|vs|among|between|compared|than|which of|one of)\b|[,:;/]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The answer of one abstract to a question.

    Attributes:
        answer: None where the abstract has none.
        abbreviations: what the abstract itself defines.
        work: equal for abstracts that are versions of one work (preprint, article, republication); None where there is
            no other.
        spans: what the abstract proposes, best first, also where "no answer" wins, with the scores; at most
            VOTING_SPANS of them have a say in the order of the answers. None given, it is the answer.
    """

    pmid: int
    answer: str | None
    margin: float
    answerability: float | None
    is_retracted: bool = False
    abbreviations: tuple[Abbreviation, ...] = ()
    work: int | None = None
    spans: tuple[tuple[str, float], ...] = ()


def merge_answers(
    question: Question,
    candidates: Iterable[Candidate],
    *,
    limit: int = 10,
    as_one: bool = False,
) -> list[MergedAnswer]:
    """Ranked answers of one question, at most `limit`; one row with `answer` None where no abstract has one.

    `n_abstracts` counts all candidates, answered or not. `evidence` is left to whoever knows the abstracts.

    Args:
        as_one: puts all answers together, whatever they say.
    """
    ranked = sorted(candidates, key=_candidate_order)
    answering = [c for c in ranked if c.answer is not None]
    if not answering:
        nearest = max(ranked, key=lambda c: c.margin, default=None)
        return [
            MergedAnswer(
                question_id=question.id,
                question=question.text,
                rank=1,
                answer=None,
                answerability=nearest.answerability if nearest else None,
                margin=nearest.margin if nearest else float("-inf"),
                n_abstracts=len(ranked),
                user_columns=question.user_columns,
            )
        ]
    keys = [""] * len(answering) if as_one else merge_keys(answering)
    groups: dict[str, list[Candidate]] = {}
    own_keys = {}
    for candidate, key in zip(answering, keys, strict=True):
        groups.setdefault(key, []).append(candidate)
        own_keys[candidate] = key
    speaking = votes(groups, [_voter(c, own_keys.get(c)) for c in ranked if not c.is_retracted])
    asked = _own_words(question.text)
    order = sorted(groups, key=lambda key: _group_order(groups[key], speaking[key], is_echo=_is_echo(key, asked)))
    return [_merged(question, rank, groups[key], len(ranked)) for rank, key in enumerate(order[:limit], start=1)]


def _voter(candidate: Candidate, own_key: str | None) -> Voter:
    """What an abstract proposes, by merge keys; `own_key` is that of its answer."""
    answer = candidate.answer
    spans = candidate.spans[:VOTING_SPANS] or ([] if answer is None else [(answer, 0.0)])
    keyed = [
        (own_key if own_key and text == answer else answer_key(expanded(text, candidate.abbreviations)), score)
        for text, score in spans
    ]
    return Voter(_work(candidate), chance_of(candidate.answerability, candidate.margin), keyed)


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


def _own_words(question: str) -> frozenset[str]:
    """The words of a question by their keys; none where it may be answered with one of them."""
    return frozenset() if _CHOICE.search(question) else frozenset(answer_key(question).split())


def _is_echo(key: str, asked: frozenset[str]) -> bool:
    words = key.split()
    return bool(words) and asked.issuperset(words)


def is_echo(question: str, answer: str) -> bool:
    """Whether an answer says only words of a question that offers no choice."""
    return _is_echo(answer_key(answer), _own_words(question))


def _group_order(group: Sequence[Candidate], vote: float, *, is_echo: bool) -> tuple[object, ...]:
    best = min(group, key=_candidate_order)
    # Rounded: sums in another order differ in their last bits.
    return best.is_retracted, is_echo, -round(vote, 9), -_strength(best), -len({_work(c) for c in group})


def _strength(candidate: Candidate) -> float:
    """What the candidates of one question, all of which or none have a probability, are compared by."""
    return candidate.margin if candidate.answerability is None else candidate.answerability


def _candidate_order(candidate: Candidate) -> tuple[bool, float, float, int]:
    return candidate.is_retracted, -_strength(candidate), -candidate.margin, candidate.pmid


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
        user_columns=question.user_columns,
    )
