"""The answers of one question over many abstracts into ranked, merged answers with their support. Pure.

Abstracts are compared by calibrated answerability, or by margin where there is no calibration: raw span scores of
different windows share no zero. Equal answers are pooled by their best abstract and the number of distinct PMIDs, never
by summing scores. An answer that only retracted records support comes after all others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import Question

_ARTICLES = frozenset({"a", "an", "the"})
# Words that say what kind of thing a name names, or hedge a number, and do not tell two answers apart.
_GENERIC = frozenset(
    "gene genes protein proteins receptor receptors disease syndrome virus bacterium enzyme hormone drug about around "
    "approximately nearly some roughly up to over".split()
)
_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
_PARENTHESIS = re.compile(r"^(?P<long>.+?)\s*[(\[](?P<short>[^()\[\]]+)[)\]]$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """The answer of one abstract to a question. `answer` is None where the abstract has none."""

    pmid: int
    answer: str | None
    margin: float
    answerability: float | None
    is_retracted: bool = False


def answer_key(text: str) -> str:
    """The form in which answers are compared.

    NFKC, case folded; punctuation, articles, generic words and the plural s go; number words become digits. A text of
    generic words only keeps them.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"\d+(?:[.,]\d+)*%?|[^\W_]+", folded)
    words = [_NUMBERS.get(w, w) for w in words if w not in _ARTICLES]
    telling = [w for w in words if w not in _GENERIC] or words
    return " ".join(_singular(w) for w in telling) or folded.strip()


def merge_answers(
    question: Question, candidates: Iterable[Candidate], *, limit: int = 10, is_calibrated: bool = True
) -> list[MergedAnswer]:
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
                answerability=nearest.answerability if nearest else (0.0 if is_calibrated else None),
                margin=nearest.margin if nearest else float("-inf"),
                n_abstracts=len(ranked),
            )
        ]
    return [
        _merged(question, rank, group, len(ranked))
        for rank, group in enumerate(sorted(groups, key=_group_order)[:limit], start=1)
    ]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _keys(text: str) -> tuple[str, ...]:
    """ "epidermal growth factor receptor (EGFR)" is known by the whole, the long form and the short one."""
    match = _PARENTHESIS.match(text)
    parts = (text, match["long"], match["short"]) if match else (text,)
    return tuple(answer_key(part) for part in parts)


def _group(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates that share a key, directly or through others, in the order given."""
    groups: list[list[Candidate]] = []
    known: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        keys = _keys(candidate.answer or "")
        found: list[list[Candidate]] = []
        for key in keys:
            group = known.get(key)
            if group is not None and not any(group is f for f in found):
                found.append(group)
        target = found[0] if found else []
        if not found:
            groups.append(target)
        for other in found[1:]:
            target.extend(other)
            groups = [g for g in groups if g is not other]
            known = {k: (target if g is other else g) for k, g in known.items()}
        target.append(candidate)
        known.update(dict.fromkeys(keys, target))
    return groups


def _group_order(group: Sequence[Candidate]) -> tuple[bool, float, int]:
    best = min(group, key=_candidate_order)
    return best.is_retracted, -_strength(best), -len({c.pmid for c in group})


def _strength(candidate: Candidate) -> float:
    """What the candidates of one question, all of which or none have a probability, are compared by."""
    return candidate.margin if candidate.answerability is None else candidate.answerability


def _candidate_order(candidate: Candidate) -> tuple[bool, float, float, int]:
    return candidate.is_retracted, -_strength(candidate), -candidate.margin, candidate.pmid


def _merged(question: Question, rank: int, group: Sequence[Candidate], n_abstracts: int) -> MergedAnswer:
    ordered = sorted(group, key=_candidate_order)
    best = ordered[0]
    return MergedAnswer(
        question_id=question.id,
        question=question.text,
        rank=rank,
        answer=best.answer,
        answerability=best.answerability,
        margin=best.margin,
        support_pmids=tuple(dict.fromkeys(c.pmid for c in ordered)),
        retracted_pmids=tuple(dict.fromkeys(c.pmid for c in ordered if c.is_retracted)),
        variants=tuple(dict.fromkeys(c.answer for c in ordered if c.answer is not None)),
        best_pmid=best.pmid,
        n_abstracts=n_abstracts,
    )
