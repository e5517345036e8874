"""A file of questions into `Question`s with stable ids: text, table or JSON Lines, told apart by the suffix.

A text file (.txt, or any suffix not named here) holds one question a line; lines that start with `#` are comments.
A table (.tsv, .csv) has a header line, JSON Lines (.jsonl, .ndjson) one object a line; both know `question`, `id` and
`query`, a PubMed query that is passed on as it stands, and carry further columns of the user's own along. What comes
through a pipe has no suffix and is told apart by its beginning.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.inputs import (
    ARCHIVE,
    BOOK,
    OPEN_TEXT,
    PARQUET,
    PDF,
    RTF,
    SLIDES,
    SPREADSHEET,
    STANDARD_INPUT,
    WEB_PAGE,
    WORD,
    is_pipe,
    of_another_program,
    read_input,
    read_standard_input,
)
from bioqa_pipeline.questions.marks import is_comment, is_lone_mark, without_comment
from bioqa_pipeline.questions.notes import LeftOut, notes_of
from bioqa_pipeline.questions.rows import Row, checked_row
from bioqa_pipeline.questions.tables import delimiter_of, has_header, is_header, json_rows, lines_of, table_rows
from bioqa_pipeline.records.texts import Question, content_digest
from bioqa_pipeline.text import normalize_text

MAX_QUESTIONS = 1_000_000


def _not_read(what: str, way_out: str) -> str:
    return f"{what} is not read: {way_out}"


_TABLES = {".tsv": "\t", ".csv": ","}
_JSON_LINES = (".jsonl", ".ndjson")
_RECORDS = "holds records, not questions: name it as `files`, and give the questions in a file of their own"
_RECORD_LINE = re.compile(r"PMID- ?\d|TY  - |%0 |@\w+\{")
_JSON = "JSON is read as JSON Lines: one object a line, in a file named .jsonl"
_JSON_BEGINS = re.compile(r'\s*(?:\{\s*"|\[\s*[{"])')
_KINDS = {
    WORD: (".doc", ".docx", ".docm", ".dotx"),
    RTF: (".rtf",),
    OPEN_TEXT: (".odt",),
    SLIDES: (".ppt", ".pptx", ".odp"),
    PDF: (".pdf",),
    BOOK: (".epub",),
    WEB_PAGE: (".html", ".htm", ".xhtml"),
    SPREADSHEET: (".xls", ".xlsx", ".xlsm", ".ods"),
    ARCHIVE: (".gz", ".zip", ".bz2", ".xz", ".7z"),
    PARQUET: (".parquet",),
}
_OTHER_FORMATS = {
    **dict.fromkeys((".nbib", ".ris", ".enw", ".bib", ".xml"), _RECORDS),
    ".json": _JSON,
    **{suffix: _not_read(*kind) for kind, suffixes in _KINDS.items() for suffix in suffixes},
}
# What spreadsheet programs call Unicode text says by its first bytes what it is.
_WIDE_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
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
    """What a file asks: distinct questions in the order of their first lines, and those that stood there repeatedly.

    Attributes:
        path: of the file; "standard input" where it came from there.
        notes: what was made of its lines beside that, in words.
        pasted: ids of the questions that are PubMed queries themselves.
    """

    path: Path
    questions: tuple[Question, ...]
    merged: tuple[MergedQuestion, ...] = ()
    notes: tuple[str, ...] = ()
    pasted: frozenset[str] = frozenset()


def read_questions(path: Path) -> QuestionFile:
    """All questions of a file; the same text with the same query, compared without case, is one question.

    Args:
        path: `-` is standard input. What comes from there or through another pipe can be read once.

    Raises:
        InputError: the file cannot be read, is no text in UTF-8 (or UTF-16 or UTF-32 by its mark), or has a line that
            is not a usable question; names file and line.
    """
    piped = path == STANDARD_INPUT or is_pipe(path)
    suffix = "" if piped else path.suffix.lower()
    if suffix in _OTHER_FORMATS:
        raise InputError(_OTHER_FORMATS[suffix], path)
    raw = read_standard_input() if path == STANDARD_INPUT else read_input(path, or_pipe=True)
    path = Path("standard input") if path == STANDARD_INPUT else path
    if kind := of_another_program(raw):
        raise InputError(_not_read(*kind), path)
    content = _decoded(raw, path)
    if _RECORD_LINE.match(content.lstrip()):
        raise InputError(_RECORDS, path)
    if piped:
        suffix = ".jsonl" if content.lstrip()[:1] == "{" else ".csv" if has_header(content) else ""
    if suffix not in (*_JSON_LINES, *_TABLES) and _JSON_BEGINS.match(content):
        raise InputError(_JSON, path)
    if suffix in _TABLES:
        parts: Iterable[Row | LeftOut] = table_rows(content, path, delimiter_of(content, _TABLES[suffix]))
    elif suffix in _JSON_LINES:
        parts = json_rows(content, path)
    else:
        parts = _text_rows(content, path)
    rows, left_out = _bounded(parts, path)
    questions, merged = _merge(rows, path)
    if not questions:
        comments = f" (lines that are comments or list marks: {len(left_out):,})" if left_out else ""
        raise InputError(f"holds no question: write one question a line{comments}", path)
    pasted = {row.text for row in rows if row.is_pasted}
    return QuestionFile(
        path,
        questions,
        merged,
        notes=tuple(notes_of(rows, left_out)),
        pasted=frozenset(q.id for q in questions if q.query is None and q.text in pasted),
    )


def _bounded(parts: Iterable[Row | LeftOut], path: Path) -> tuple[list[Row], list[LeftOut]]:
    rows: list[Row] = []
    left_out: list[LeftOut] = []
    for part in parts:
        if isinstance(part, LeftOut):
            left_out.append(part)
            continue
        if len(rows) == MAX_QUESTIONS:
            raise InputError(f"holds more than {MAX_QUESTIONS:,} questions: split it", path, part.line)
        rows.append(part)
    return rows, left_out


def default_id(text: str) -> str:
    """The id of a question that has none of its own: the same for any place in the file, any case and any query."""
    return "q-" + content_digest("question", text.casefold())[:10]


def _decoded(raw: bytes, path: Path) -> str:
    """A file's text without a byte-order mark."""
    for mark, codec in _WIDE_BOMS.items():
        if raw.startswith(mark):
            try:
                return raw.decode(codec)
            except UnicodeDecodeError as exc:
                raise InputError(f"is broken {codec.upper()} ({exc.reason}): save it as UTF-8", path) from exc
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
            f"byte {raw[exc.start]:#04x} (byte {column} of the line) is not UTF-8: save the file as UTF-8 "
            "(Excel: CSV UTF-8; Notepad: Save as, Encoding)",
            path,
            line,
        ) from exc


def _text_rows(content: str, path: Path) -> Iterator[Row | LeftOut]:
    is_first = True
    for line, raw in lines_of(content, path):
        text = normalize_text(raw)
        if not text:
            continue
        if (is_mark := is_lone_mark(text)) or is_comment(text):
            yield LeftOut(line, text, is_mark)
            continue
        if is_first and is_header(raw):
            raise InputError("is the header of a table: name the file .csv, with a column question", path, line)
        is_first = False
        if "\t" in raw.strip():
            raise InputError("holds a tab: name the file .tsv and give it a header line if it is a table", path, line)
        asked, comment = without_comment(raw.rstrip())
        if comment:
            yield LeftOut(line, comment)
        yield checked_row({"question": asked}, path, line)


def _merge(rows: Iterable[Row], path: Path) -> tuple[tuple[Question, ...], tuple[MergedQuestion, ...]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    owners: dict[str, Row] = {}
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
        questions.append(
            Question(id=ids[0], text=first.text, query=first.query, line=first.line, user_columns=first.own)
        )
        if len(group) > 1:
            merged.append(MergedQuestion(ids[0], first.text, tuple(row.line for row in group), tuple(ids[1:])))
    return tuple(questions), tuple(merged)


def _claim(identifier: str, row: Row, owners: dict[str, Row], path: Path) -> None:
    owner = owners.setdefault(identifier, row)
    if owner.key == row.key:
        return
    if owner.key[0] == row.key[0]:
        reason = f"asks the question of line {owner.line} with another query: give each of them an id of its own"
    else:
        reason = f"the id {identifier!r} already stands at another question in line {owner.line}: give each its own"
    raise InputError(reason, path, row.line)
