"""A file of questions into `Question`s with stable ids: text, TSV, CSV or JSON Lines, told apart by the suffix.

A text file (.txt, or any suffix not named here) holds one question a line; lines that start with `#` are comments.
A table (.tsv, .csv) has a header line, JSON Lines (.jsonl, .ndjson) one object a line; both know `question`, `id` and
`query`, a PubMed query that is passed on as it stands.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.inputs import read_input
from bioqa_pipeline.records.texts import Question, content_digest
from bioqa_pipeline.text import normalize_text

MAX_QUESTION_CHARS = 2000
MAX_ID_CHARS = 500
MAX_QUERY_CHARS = 100_000
MAX_LINE_CHARS = 1_000_000
MAX_QUESTIONS = 1_000_000
FIELDS = ("question", "id", "query")

# Names that a message shows, and what it shows of each.
_SHOWN, _SHOWN_CHARS = 5, 40
_DELIMITERS = {".tsv": ("\t", "tabs"), ".csv": (",", "commas")}
_JSON_LINES = (".jsonl", ".ndjson")
_OTHER_FORMATS = {
    ".json": "JSON is read as JSON Lines: one object a line, in a file named .jsonl",
    ".xls": "a spreadsheet is not read: save it as CSV (UTF-8)",
    ".xlsx": "a spreadsheet is not read: save it as CSV (UTF-8)",
    ".ods": "a spreadsheet is not read: save it as CSV (UTF-8)",
    ".gz": "a compressed file is not read: unpack it first",
    ".zip": "a compressed file is not read: unpack it first",
    ".parquet": "Parquet is not read: export the questions as .csv, .tsv or .jsonl",
}
_WIDE_BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


@dataclass(frozen=True, slots=True)
class MergedQuestion:
    """A question that its file asks more than once.

    Attributes:
        id, text: of the question that is asked.
        lines: every line that asks it, the first one first.
        dropped_ids: ids that the file gave to repetitions and that no answer will carry.
    """

    id: str
    text: str
    lines: tuple[int, ...]
    dropped_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """What a file asks: distinct questions in the order of their first lines, and those that stood there repeatedly."""

    path: Path
    questions: tuple[Question, ...]
    merged: tuple[MergedQuestion, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """One question as its file has it, checked and normalised; `id` is None where the file gives none."""

    line: int
    text: str
    id: str | None
    query: str | None

    @property
    def key(self) -> tuple[str, str]:
        """Equal for rows that ask the same."""
        return self.text.casefold(), (self.query or "").casefold()


def read_questions(path: Path) -> QuestionFile:
    """All questions of a file; the same text with the same query, compared without case, is one question.

    Raises:
        InputError: the file cannot be read, is not UTF-8 text, or has a line that is not a usable question; names
            file and line.
    """
    suffix = path.suffix.lower()
    if suffix in _OTHER_FORMATS:
        raise InputError(_OTHER_FORMATS[suffix], path)
    content = _read_utf8(path)
    if suffix in _DELIMITERS:
        rows = _table_rows(content, path, *_DELIMITERS[suffix])
    elif suffix in _JSON_LINES:
        rows = _json_rows(content, path)
    else:
        rows = _text_rows(content, path)
    questions, merged = _merge(_bounded(rows, path), path)
    if not questions:
        raise InputError("holds no question: write one question a line", path)
    return QuestionFile(path, questions, merged)


def _bounded(rows: Iterator[_Row], path: Path) -> Iterator[_Row]:
    for number, row in enumerate(rows, start=1):
        if number > MAX_QUESTIONS:
            raise InputError(f"holds more than {MAX_QUESTIONS:,} questions: split it", path, row.line)
        yield row


def default_id(text: str) -> str:
    """The id of a question that has none of its own: the same for any place in the file, any case and any query."""
    return "q-" + content_digest("question", text.casefold())[:10]


def _read_utf8(path: Path) -> str:
    """The file's text without a byte-order mark."""
    raw = read_input(path)
    for mark, name in _WIDE_BOMS.items():
        if raw.startswith(mark):
            raise InputError(f"is encoded in {name}: save it as UTF-8", path)
    if b"\x00" in raw:
        raise InputError(
            f"is not a text file (zero byte at offset {raw.index(0)}): save the questions as UTF-8 text", path
        )
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        before = raw[: exc.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line = before.count(b"\n") + 1
        column = len(before) - before.rfind(b"\n")
        raise InputError(
            f"byte {raw[exc.start]:#04x} (byte {column} of the line) is not UTF-8: save the file as UTF-8", path, line
        ) from exc


def _lines(content: str, path: Path) -> Iterator[tuple[int, str]]:
    for line, raw in enumerate(io.StringIO(content, newline=None), start=1):
        if len(raw) > MAX_LINE_CHARS:
            raise InputError(f"has {len(raw):,} characters, more than {MAX_LINE_CHARS:,}", path, line)
        yield line, raw


def _text_rows(content: str, path: Path) -> Iterator[_Row]:
    for line, raw in _lines(content, path):
        text = normalize_text(raw)
        if not text or text.startswith("#"):
            continue
        if "\t" in raw.strip():
            raise InputError("holds a tab: name the file .tsv and give it a header line if it is a table", path, line)
        yield _checked({"question": raw}, path, line)


def _table_rows(content: str, path: Path, delimiter: str, delimiter_name: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    header: tuple[str, ...] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            raise InputError(
                f'cannot be split into cells ({exc}): a cell that starts with " ends with " and doubles those inside',
                path,
                line,
            ) from exc
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _checked_header(cells, path, line, delimiter_name)
        elif len(cells) > len(header):
            raise InputError(
                f"has {len(cells)} cells under {len(header)} columns: put a cell that holds one of the separating "
                f"{delimiter_name} in double quotes",
                path,
                line,
            )
        else:
            yield _checked(dict(zip(header, cells, strict=False)), path, line)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name[:_SHOWN_CHARS]) for name in names[:_SHOWN]) + more


def _checked_header(cells: list[str], path: Path, line: int, delimiter_name: str) -> tuple[str, ...]:
    names = tuple(cell.strip().lower() for cell in cells)
    known = f"a table has a header line: question and, if wanted, id and query, separated by {delimiter_name}"
    unknown = [cell.strip() for cell, name in zip(cells, names, strict=True) if name not in FIELDS]
    if unknown:
        raise InputError(f"unknown column {_shown(unknown)}: {known}", path, line)
    if len(set(names)) < len(names):
        raise InputError(f"a column stands there twice: {known}", path, line)
    if "question" not in names:
        raise InputError(f"the column question is missing: {known}", path, line)
    return names


def _json_rows(content: str, path: Path) -> Iterator[_Row]:
    for line, raw in _lines(content, path):
        if not raw.strip():
            continue
        try:
            pairs = json.loads(raw, object_pairs_hook=_Pairs)
        except json.JSONDecodeError as exc:
            raise InputError(f"is not a JSON object ({exc.msg}, column {exc.colno})", path, line) from exc
        except (ValueError, RecursionError) as exc:
            raise InputError(f"is not a JSON object ({exc})", path, line) from exc
        if not isinstance(pairs, _Pairs):
            raise InputError(f'is not a JSON object: write {{"question": "..."}}, not {raw.strip()[:40]}', path, line)
        yield _checked(_checked_object(pairs, path, line), path, line)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs, so that a key given twice can be seen."""


def _checked_object(pairs: _Pairs, path: Path, line: int) -> dict[str, str]:
    names = [name for name, _ in pairs]
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        raise InputError(f"unknown key {_shown(unknown)}: known are {', '.join(FIELDS)}", path, line)
    if len(set(names)) < len(names):
        raise InputError("a key stands there twice", path, line)
    fields = {}
    for name, value in pairs:
        if name == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is None and name != "question":
            continue
        if not isinstance(value, str):
            raise InputError(f"{name} is not a string", path, line)
        fields[name] = value
    if "question" not in fields:
        raise InputError("the key question is missing", path, line)
    return fields


def _checked(fields: Mapping[str, str], path: Path, line: int) -> _Row:
    """One row's fields normalised; raises where the question cannot be asked or a field holds controls."""
    for name, value in fields.items():
        _refuse_controls(name, value, path, line)
    text, identifier, query = (normalize_text(fields.get(name, "")) for name in FIELDS)
    if not text:
        raise InputError("the question is empty: fill it in or delete the line", path, line)
    if not any(character.isalnum() for character in text):
        raise InputError(f"the question has no words: {text[:40]}", path, line)
    if len(text) > MAX_QUESTION_CHARS:
        raise InputError(
            f"the question has {len(text)} characters, more than {MAX_QUESTION_CHARS}: ask one short question a line",
            path,
            line,
        )
    for name, value, most in (("id", identifier, MAX_ID_CHARS), ("query", query, MAX_QUERY_CHARS)):
        if len(value) > most:
            raise InputError(f"the {name} has {len(value):,} characters, more than {most:,}", path, line)
    return _Row(line, text, identifier or None, query or None)


def _refuse_controls(name: str, value: str, path: Path, line: int) -> None:
    for position, character in enumerate(value, start=1):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\r\n":
            place = f"U+{ord(character):04X}, position {position}"
            raise InputError(f"the {name} holds a control character ({place}): delete it", path, line)


def _merge(rows: Iterable[_Row], path: Path) -> tuple[tuple[Question, ...], tuple[MergedQuestion, ...]]:
    groups: dict[tuple[str, str], list[_Row]] = {}
    owners: dict[str, _Row] = {}
    for row in rows:
        groups.setdefault(row.key, []).append(row)
        if row.id is not None:
            _claim(row.id, row, owners, path)
    questions = []
    merged = []
    for group in groups.values():
        first = group[0]
        ids = list(dict.fromkeys(row.id for row in group if row.id is not None))
        if not ids:
            ids = [default_id(first.text)]
            _claim(ids[0], first, owners, path)
        questions.append(Question(id=ids[0], text=first.text, query=first.query, line=first.line))
        if len(group) > 1:
            merged.append(MergedQuestion(ids[0], first.text, tuple(row.line for row in group), tuple(ids[1:])))
    return tuple(questions), tuple(merged)


def _claim(identifier: str, row: _Row, owners: dict[str, _Row], path: Path) -> None:
    owner = owners.setdefault(identifier, row)
    if owner.key == row.key:
        return
    if owner.key[0] == row.key[0]:
        reason = f"asks the question of line {owner.line} with another query: give each of them an id of its own"
    else:
        reason = f"the id {identifier!r} already stands at another question in line {owner.line}: give each its own"
    raise InputError(reason, path, row.line)
