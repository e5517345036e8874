"""BioASQ's own JSON (task B, golden and test files) into questions with their texts and gold answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.squad import check_ids
from bioqa_pipeline.text import normalize_text

_PMID = re.compile(r"(?:.*(?:pubmed/|pubmed\.ncbi\.nlm\.nih\.gov/))?(\d{1,9})/?")


class QuestionType(StrEnum):
    """What a question asks for; yes/no and summary questions have no answer that could be quoted."""

    FACTOID = "factoid"
    LIST = "list"
    YES_NO = "yesno"
    SUMMARY = "summary"


QUOTED = (QuestionType.FACTOID, QuestionType.LIST)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A passage that the organisers' experts chose; `pmid` None where its document is not PubMed's. `text` is NFC."""

    text: str
    pmid: int | None


@dataclass(frozen=True, slots=True)
class BioasqQuestion:
    """One question.

    Attributes:
        pmids: of the documents that belong to it.
        gold: one entry for each thing that is meant, with all its names; None where the file does not say, and for
            yes/no and summary questions.
    """

    id: str
    text: str
    type: QuestionType
    pmids: tuple[int, ...]
    snippets: tuple[Snippet, ...]
    gold: tuple[tuple[str, ...], ...] | None


def is_bioasq(content: Any) -> bool:
    """Whether what a JSON file says is laid out as BioASQ's."""
    return isinstance(content, dict) and "questions" in content and "data" not in content


def bioasq_questions(content: Any, path: Path) -> list[BioasqQuestion]:
    """The questions of a golden file or a test file.

    Args:
        path: what an error names.

    Raises:
        InputError: it is not BioASQ's JSON, holds no question, or two questions have one id; names the file and, where
            there is one, the question.
    """
    if not is_bioasq(content) or not isinstance(content["questions"], list):
        raise InputError("has no list 'questions': not a BioASQ file", path)
    questions = [_question(entry, number, path) for number, entry in enumerate(content["questions"], start=1)]
    check_ids([question.id for question in questions], path)
    return questions


def _question(entry: Any, number: int, path: Path) -> BioasqQuestion:
    place = f"question {number}"
    question_id = _text(entry, "id", path, place)
    place = f"question {question_id}"
    named = _text(entry, "type", path, place)
    try:
        kind = QuestionType(named.strip().lower())
    except ValueError:
        raise InputError(f"{place} is of type {named[:40]!r}; give {', '.join(QuestionType)}", path) from None
    pmids = (_pmid(document) for document in _list(entry, "documents", path, place))
    return BioasqQuestion(
        id=question_id,
        text=normalize_text(_text(entry, "body", path, place)),
        type=kind,
        pmids=tuple(dict.fromkeys(pmid for pmid in pmids if pmid is not None)),
        snippets=tuple(dict.fromkeys(_snippets(entry, path, place))),
        gold=_gold(entry.get("exact_answer"), kind, path, place) if kind in QUOTED else None,
    )


def _snippets(entry: Any, path: Path, place: str) -> Iterator[Snippet]:
    for snippet in _list(entry, "snippets", path, place):
        text = normalize_text(_text(snippet, "text", path, f"a snippet of {place}"))
        if text:
            yield Snippet(text, _pmid(snippet.get("document")))


def _gold(said: Any, kind: QuestionType, path: Path, place: str) -> tuple[tuple[str, ...], ...] | None:
    """Lists of names; a plain list of texts is the names of one thing in a factoid, and of several in a list."""
    if said is None:
        return None
    if isinstance(said, str | int | float):
        said = [said]
    if not isinstance(said, list):
        raise InputError(f"{place}: 'exact_answer' is {type(said).__name__}: not a BioASQ file", path)
    if kind is QuestionType.FACTOID and not any(isinstance(entry, list) for entry in said):
        said = [said]
    entries = [entry if isinstance(entry, list) else [entry] for entry in said]
    if not all(isinstance(name, str | int | float) for entry in entries for name in entry):
        raise InputError(f"{place}: 'exact_answer' holds something else than texts: not a BioASQ file", path)
    named = (tuple(name for name in map(str, entry) if name.strip()) for entry in entries)
    return tuple(names for names in named if names) or None


def _pmid(document: Any) -> int | None:
    found = _PMID.fullmatch(document.strip()) if isinstance(document, str) else None
    return int(found[1]) if found and int(found[1]) else None


def _text(entry: Any, key: str, path: Path, place: str) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get(key), str | int):
        raise InputError(f"{place} has no text {key!r}: not a BioASQ file", path)
    return str(entry[key])


def _list(entry: Any, key: str, path: Path, place: str) -> list[Any]:
    found = entry.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise InputError(f"{place}: {key!r} is {type(found).__name__}: not a BioASQ file", path)
    return found
