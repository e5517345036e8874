"""SQuAD v1.1 and v2.0 JSON into paragraphs with questions and gold answers.

Texts are kept as they are, without NFC: gold offsets are code points into the very text of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.inputs import read_json
from bioqa_pipeline.records.texts import Passage


@dataclass(frozen=True, slots=True)
class GoldAnswer:
    """An annotated answer; `start` is its first code point in the paragraph, as the file says it."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """One past the last code point."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class SquadQuestion:
    """A question about one paragraph. `answers` is empty exactly when it has no answer there, or is not labelled.

    Attributes:
        is_labelled: whether the file says what the answer is, or that there is none.
    """

    id: str
    text: str
    answers: tuple[GoldAnswer, ...]
    is_labelled: bool = True

    @property
    def is_impossible(self) -> bool:
        """SQuAD's name for a question that its paragraph does not answer."""
        return self.is_labelled and not self.answers


@dataclass(frozen=True, slots=True)
class SquadParagraph:
    """A paragraph of the article `title`, with its questions."""

    title: str
    context: str
    questions: tuple[SquadQuestion, ...]


def read_squad(path: Path, *, may_lack_labels: bool = False) -> list[SquadParagraph]:
    """Reads a file of either version.

    Args:
        may_lack_labels: see `squad_paragraphs`.

    Raises:
        InputError: the file cannot be read, is not SQuAD JSON, holds no question, or two questions have one id; names
            the file and, where there is one, the question.
    """
    return squad_paragraphs(read_json(path), path, may_lack_labels=may_lack_labels)


def squad_paragraphs(content: Any, path: Path, *, may_lack_labels: bool = False) -> list[SquadParagraph]:
    """The same out of what the file says.

    Args:
        may_lack_labels: takes questions of which the file does not say what the answer is, as files of tests have them.
            An empty list of answers is none of these in a file that has answers elsewhere: to the official program it
            says that there is no answer.
    """
    articles = _field(content, "data", list, path, "the file")

    def read(may_lack: bool, empty_is_none: bool) -> list[SquadParagraph]:
        return [p for n, a in enumerate(articles) for p in _article(a, n, path, may_lack, empty_is_none)]

    paragraphs = read(may_lack_labels, False)
    questions = [q for p in paragraphs for q in p.questions]
    if any(not q.is_labelled for q in questions) and any(q.answers for q in questions):
        paragraphs = read(True, True)
    check_ids([question.id for question in questions], path)
    return paragraphs


def check_ids(ids: Sequence[str], path: Path) -> None:
    """Raises InputError where a file has no question, or two with one id."""
    if not ids:
        raise InputError("holds no question", path)
    seen: set[str] = set()
    for question_id in ids:
        if question_id in seen:
            raise InputError(f"question id {question_id} stands there twice", path)
        seen.add(question_id)


def questions_with_passages(paragraphs: Sequence[SquadParagraph]) -> Iterator[tuple[SquadQuestion, Passage]]:
    """Every question with its paragraph as a `Passage`, in file order."""
    for number, paragraph in enumerate(paragraphs):
        passage = Passage(id=f"{paragraph.title}/{number}", text=paragraph.context)
        for question in paragraph.questions:
            yield question, passage


def _article(article: Any, number: int, path: Path, may_lack: bool, empty_is_none: bool) -> Iterator[SquadParagraph]:
    place = f"article {number}"
    title = article.get("title", place) if isinstance(article, dict) else place
    for paragraph in _field(article, "paragraphs", list, path, place):
        yield SquadParagraph(
            title=str(title),
            context=_field(paragraph, "context", str, path, f"a paragraph of {title}"),
            questions=tuple(
                _question(q, path, str(title), may_lack, empty_is_none)
                for q in _field(paragraph, "qas", list, path, str(title))
            ),
        )


def _question(entry: Any, path: Path, title: str, may_lack: bool, empty_is_none: bool) -> SquadQuestion:
    question_id = str(_field(entry, "id", (str, int), path, f"a question of {title}"))
    place = f"question {question_id}"
    text = _field(entry, "question", str, path, place)
    impossible = entry.get("is_impossible") is not None and _field(entry, "is_impossible", bool, path, place)
    given = entry.get("answers")
    if not given and not impossible and may_lack and not (empty_is_none and given == []):
        return SquadQuestion(question_id, text, (), is_labelled=False)
    answers = tuple(
        GoldAnswer(
            text=_field(answer, "text", str, path, place), start=_field(answer, "answer_start", int, path, place)
        )
        for answer in (() if impossible and given is None else _field(entry, "answers", list, path, place))
    )
    if impossible and answers:
        raise InputError(f"{place} is marked impossible but has answers", path)
    if not impossible and not answers and not empty_is_none:
        raise InputError(
            f"{place} has no answer and is not marked impossible; give it an answer, or `is_impossible` true", path
        )
    return SquadQuestion(question_id, text, answers)


def _field(entry: Any, key: str, kind: type | tuple[type, ...], path: Path, place: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise InputError(f"{place} has no {key!r}: not a SQuAD file", path)
    if not isinstance(entry[key], kind) or (isinstance(entry[key], bool) and kind is not bool):
        raise InputError(f"{place}: {key!r} is {type(entry[key]).__name__}: not a SQuAD file", path)
    return entry[key]
