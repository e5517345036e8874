"""A question in English into PubMed queries from strict to loose.

Each step of the ladder matches all that the stricter ones match, so a client sends them in order and appends what is
new until it has enough. Untagged words are left to PubMed's automatic term mapping (MeSH terms, spelling variants,
inflections); single words of the looser steps are also truncated in title and abstract. No text of the question can act
as search syntax. Nothing here talks to a service: words that it does not know come back in as an argument of
`build_queries`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Literal

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.questions.query_lint import query_problems
from bioqa_pipeline.questions.record_filters import ALL_RECORDS, RecordFilters
from bioqa_pipeline.questions.terms import Word, question_words
from bioqa_pipeline.records.texts import Question

MAX_LOOSE_WORDS = 8
_FIRST_DAY = date(1000, 1, 1)
_LAST_DAY = date(3000, 12, 31)


@dataclass(frozen=True, slots=True)
class QueryFilters:
    """Which records a ladder may match; a query of the user's own gets `records` and the dates only.

    Attributes:
        has_abstract: only records with an abstract.
        records: type, MeSH heading, journal and language. Many papers in other languages have an English abstract.
        mindate, maxdate: first and last day, of the date that `datetype` names; sent beside the term, see
            `date_parameters`.
    """

    has_abstract: bool = True
    records: RecordFilters = ALL_RECORDS
    mindate: date | None = None
    maxdate: date | None = None
    datetype: Literal["pdat", "edat", "mdat"] = "pdat"


class StepKind(StrEnum):
    """What a step asks of a record."""

    USER = "user"
    ALL = "all"
    CONTENT = "content"
    MOST = "most"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One query. `level` counts from 0, the strictest; a level that would repeat a stricter one is left out."""

    level: int
    kind: StepKind
    term: str
    description: str


def build_queries(
    question: Question, *, filters: QueryFilters, missing: Collection[str] = ()
) -> tuple[LadderStep, ...]:
    """The ladder of a question, strictest first; empty where it has no word to search for.

    A `question.query` is the only step and sent as it is, with the filters behind it.

    Args:
        missing: words or phrases that the service reported as not found; they are left out of every step. A client
            builds the ladder again with them and goes on with the first step whose term it has not sent.

    Raises:
        SourceError: `question.query` is not a query that PubMed would read as it is meant.
    """
    if question.query is not None:
        problems = query_problems(question.query)
        if problems:
            place = f" (line {question.line})" if question.line is not None else ""
            raise SourceError(f"query of question {question.id}{place}: {'; '.join(problems)}")
        if not filters.records:
            return (LadderStep(0, StepKind.USER, question.query, "the query given with the question, as it is"),)
        term = " AND ".join([_group(question.query), *filters.records.terms()])
        return (LadderStep(0, StepKind.USER, term, "the query given with the question, and the filters"),)
    steps = _steps(without_missing(question_words(question.text), missing))
    ladder: dict[str, LadderStep] = {}
    for level, (kind, expression, description) in enumerate(steps):
        term = _filtered(expression, filters)
        ladder.setdefault(term, LadderStep(level, kind, term, description))
    return tuple(ladder.values())


def narrow(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words from the most specific: names first, then the longer, then in order."""
    return tuple(sorted(words, key=lambda word: (not word.core, -len(word.text))))


def date_parameters(filters: QueryFilters) -> dict[str, str]:
    """The ESearch parameters of the date filter, to be sent with every term; empty without one."""
    if filters.mindate is None and filters.maxdate is None:
        return {}
    return {
        "datetype": filters.datetype,
        "mindate": (filters.mindate or _FIRST_DAY).isoformat().replace("-", "/"),
        "maxdate": (filters.maxdate or _LAST_DAY).isoformat().replace("-", "/"),
    }


def render_ladder(question: Question, steps: Sequence[LadderStep], filters: QueryFilters) -> list[str]:
    """Lines of plain text that show what would be sent for a question."""
    lines = [f"{question.id}  {question.text}"]
    dates = date_parameters(filters)
    if dates:
        lines.append("  " + "  ".join(f"{name}={value}" for name, value in dates.items()))
    if not steps:
        lines.append("  nothing to search for")
    for step in steps:
        lines.append(f"  level {step.level}  {step.kind}: {step.description}")
        lines.append(f"    {step.term}")
    return lines


def without_missing(words: Sequence[Word], missing: Collection[str]) -> tuple[Word, ...]:
    """The words that the service knows, each in a spelling that it knows; all words if it knows none.

    Args:
        missing: words or phrases as the service reports them.
    """
    gone = {phrase.split("[", 1)[0].strip(' "()').lower() for phrase in missing}
    known = []
    for word in words:
        spellings = [text for text in word.spellings if text not in gone and gone.isdisjoint(text.split())]
        if spellings:
            known.append(replace(word, text=spellings[0]))
    return tuple(known or words)


def _steps(words: Sequence[Word]) -> list[tuple[StepKind, str, str]]:
    """Kind, expression and description of each level."""
    if not words:
        return []
    content = [word for word in words if not word.soft] or list(words)
    narrowest = set(narrow(content)[:MAX_LOOSE_WORDS])
    loose = [word for word in content if word in narrowest]
    anchors, rest = _split(loose)
    steps = [
        (StepKind.ALL, _and(_run_terms(words)), "all words"),
        (StepKind.CONTENT, _and(_run_terms(content)), "the words of the subject"),
    ]
    anchor = [_or([_loose_term(word) for word in anchors])] if anchors else []
    names = f"{' or '.join(word.text for word in anchors)} and " if anchors else ""
    for need in _backoff(len(rest), at_least=1 if anchors else 2):
        expression = _and([*anchor, _at_least(need, [_loose_term(word) for word in rest])])
        steps.append((StepKind.MOST, expression, f"{names}{need} of {len(rest)} words"))
    steps.append((StepKind.ANY, _or([_loose_term(word) for word in loose]), "any of the words"))
    return steps


def _split(words: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """The words of which one must be there until the last step, and those of which ever fewer must.

    The former are the names; none where that would leave one word or none.
    """
    anchors = [word for word in words if word.core]
    rest = [word for word in words if word not in anchors]
    return (anchors, rest) if len(rest) > 1 else ([], list(words))


def _backoff(n_words: int, *, at_least: int) -> list[int]:
    """How many of n words the middle steps need, strictly falling: one less than all, two thirds, one third."""
    needs = (n_words - 1, (2 * n_words) // 3, (n_words + 2) // 3)
    return sorted({need for need in needs if at_least <= need < n_words}, reverse=True)


def _run_terms(words: Sequence[Word]) -> list[str]:
    """One untagged group for each run of neighbours, which PubMed maps as a phrase or word by word."""
    runs: dict[tuple[int, str], list[Word]] = {}
    for word in words:
        runs.setdefault((word.run, word.text if _is_number(word) or word.is_stop_word else ""), []).append(word)
    return [_word_term(run[0]) if len(run) == 1 else _group(" ".join(w.text for w in run)) for run in runs.values()]


def _word_term(word: Word) -> str:
    """The word in all its spellings, untagged.

    A number goes to title and abstract: untagged, PubMed would take it for a PMID. So does a name that reads like a
    word without content, in quotation marks: untagged, PubMed would leave out ALL, and "or" would be an operator.
    """
    if word.is_stop_word:
        return f'"{word.text}"[tiab]'
    if _is_number(word):
        return _and([f"{part}[tiab]" for part in word.text.split()])
    return _or([_group(text) if " " in text else text for text in word.spellings])


def _is_number(word: Word) -> bool:
    return word.text.replace(" ", "").isdigit()


def _loose_term(word: Word) -> str:
    """The word as mapped by PubMed, or its inflections in title and abstract."""
    return _or([_word_term(word), *([f"{word.stem}*[tiab]"] if word.stem else [])])


def _at_least(need: int, terms: Sequence[str]) -> str:
    """At least `need` of the terms, by halves so that its length stays near n log n."""
    if need == 1:
        return _or(terms)
    if need == len(terms):
        return _and(terms)
    left, right = terms[: len(terms) // 2], terms[len(terms) // 2 :]
    cases = []
    for n_left in range(max(0, need - len(right)), min(need, len(left)) + 1):
        parts = [_at_least(n_left, left)] if n_left else []
        parts += [_at_least(need - n_left, right)] if need - n_left else []
        cases.append(_and(parts))
    return _or(cases)


def _filtered(expression: str, filters: QueryFilters) -> str:
    parts = [expression]
    if filters.has_abstract:
        parts.append("hasabstract")
    return " AND ".join([*parts, *filters.records.terms()])


def _group(text: str) -> str:
    return f"({text})"


def _and(terms: Sequence[str]) -> str:
    return terms[0] if len(terms) == 1 else _group(" AND ".join(terms))


def _or(terms: Sequence[str]) -> str:
    unique = list(dict.fromkeys(terms))
    return unique[0] if len(unique) == 1 else _group(" OR ".join(unique)) if unique else ""
