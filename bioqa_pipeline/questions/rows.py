"""The fields of one question, as a file has them, checked and in the one form of texts."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.questions.marks import is_lone_mark, without_list_mark
from bioqa_pipeline.questions.pasted import is_query
from bioqa_pipeline.text import normalize_text

MAX_QUESTION_CHARS = 2000
MAX_ID_CHARS = 500
MAX_QUERY_CHARS = 100_000
MAX_OWN_COLUMNS, MAX_OWN_CHARS = 100, 10_000
FIELDS = ("question", "id", "query")

# Names that a message shows, and what it shows of each.
_SHOWN, SHOWN_CHARS = 5, 40


@dataclass(frozen=True, slots=True)
class Row:
    """One question; `id` is None where the file gives none.

    Attributes:
        own: the file's further columns as a JSON object of texts; None without.
        mark: of a list, as it stood before the question.
        is_pasted: the question itself is a PubMed query.
    """

    line: int
    text: str
    id: str | None
    query: str | None
    own: str | None = None
    mark: str = ""
    is_pasted: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Equal for rows that ask the same."""
        return self.text.casefold(), (self.query or "").casefold()


def checked_row(fields: Mapping[str, str], path: Path, line: int, own: Mapping[str, str] | None = None) -> Row:
    """One row's fields normalised.

    Args:
        own: the file's further columns, which are kept as they are.

    Raises:
        InputError: the question cannot be asked, or a field holds controls.
    """
    for name, value in (*fields.items(), *(own or {}).items()):
        _refuse_controls(name, value, path, line)
    text, identifier, query = (normalize_text(fields.get(name, "")) for name in FIELDS)
    text, mark = without_list_mark(text)
    is_pasted = not query and is_query(text)
    if not text:
        raise InputError("the question is empty: fill it in or delete the line", path, line)
    if is_lone_mark(text) or not any(character.isalnum() for character in text):
        raise InputError(f"the question has no words: {text[:SHOWN_CHARS]}", path, line)
    if len(text) > MAX_QUESTION_CHARS:
        way_out = (
            "put it into the column query of a table, beside a question" if is_pasted else "ask one short question"
        )
        raise InputError(
            f"the question has {len(text)} characters, more than {MAX_QUESTION_CHARS}: {way_out} a line", path, line
        )
    for name, value, most in (("id", identifier, MAX_ID_CHARS), ("query", query, MAX_QUERY_CHARS)):
        if len(value) > most:
            raise InputError(f"the {name} has {len(value):,} characters, more than {most:,}", path, line)
    kept = {name: value for name, value in (own or {}).items() if value}
    for name, value in kept.items():
        if len(value) > MAX_OWN_CHARS:
            raise InputError(f"{name} has {len(value):,} characters, more than {MAX_OWN_CHARS:,}", path, line)
    return Row(
        line=line,
        text=text,
        id=identifier or None,
        query=query or None,
        own=json.dumps(kept, ensure_ascii=False) if kept else None,
        mark=mark,
        is_pasted=is_pasted,
    )


def check_own_names(names: Sequence[str], kind: str, path: Path, line: int, *, known: str) -> None:
    """Names of further columns are the user's own affair, unless one reads like a slip for a known one.

    Raises:
        InputError: it does, or they are too many.
    """
    slips = {name: meant[0] for name in names if (meant := get_close_matches(name.lower(), FIELDS, 1, 0.8))}
    if slips:
        raise InputError(
            f"unknown {kind} {shown_names(list(slips))}: is {', '.join(dict.fromkeys(slips.values()))} meant? {known}",
            path,
            line,
        )
    if len(names) > MAX_OWN_COLUMNS:
        raise InputError(f"has {len(names):,} {kind}s of its own, more than {MAX_OWN_COLUMNS}", path, line)


def shown_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name[:SHOWN_CHARS]) for name in names[:_SHOWN]) + more


def _refuse_controls(name: str, value: str, path: Path, line: int) -> None:
    for position, character in enumerate(value, start=1):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\r\n":
            place = f"U+{ord(character):04X}, position {position}"
            raise InputError(f"the {name} holds a control character ({place}): delete it", path, line)
