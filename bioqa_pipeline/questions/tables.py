"""A table or JSON Lines into rows: `question`, `id`, `query`, and the user's own further columns."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.questions.rows import FIELDS, Row, check_own_names, checked_row, shown_names

MAX_LINE_CHARS = 1_000_000
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
# What a spreadsheet program writes into the first line so as to find its own delimiter again.
_SEPARATOR_LINE = re.compile(r"\s*sep=(.)\r?\n", re.IGNORECASE)


def lines_of(content: str, path: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers.

    Raises:
        InputError: one is absurdly long.
    """
    for line, raw in enumerate(io.StringIO(content, newline=None), start=1):
        if len(raw) > MAX_LINE_CHARS:
            raise InputError(f"has {len(raw):,} characters, more than {MAX_LINE_CHARS:,}", path, line)
        yield line, raw


def delimiter_of(content: str, expected: str) -> str:
    """What parts the cells of the header: the expected one, or another by which a column is `question`."""
    if stated := _SEPARATOR_LINE.match(content):
        return stated[1]
    for delimiter in dict.fromkeys((expected, *DELIMITERS)):
        if _names_question(content, delimiter):
            return delimiter
    return expected


def has_header(content: str) -> bool:
    """Whether the first line names a column `question`, by any delimiter."""
    return any(_names_question(content, delimiter) for delimiter in DELIMITERS)


def _names_question(content: str, delimiter: str) -> bool:
    return "question" in {cell.strip().lower() for cell in _first_cells(content, delimiter)}


def is_header(line: str) -> bool:
    """Whether a line says of itself that a table begins: by names of columns, of which one is known or nearly so."""
    if _SEPARATOR_LINE.match(line) or line.strip().strip('"').lower() == "question":
        return True
    cells = ([cell.strip().lower() for cell in _first_cells(line, delimiter)] for delimiter in DELIMITERS)
    return "?" not in line and any(
        len(names) > 1 and any(get_close_matches(name, FIELDS, 1, 0.8) for name in names) for names in cells
    )


def _first_cells(content: str, delimiter: str) -> list[str]:
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        return next((cells for cells in reader if any(cell.strip() for cell in cells)), [])
    except csv.Error:
        return []


@dataclass(frozen=True, slots=True)
class _Header:
    """Names of the columns in their order: known ones in small letters, own ones as written, "" for none."""

    names: tuple[str, ...]
    known: str

    def row(self, cells: list[str], path: Path, line: int) -> Row:
        extra = [cell for cell in cells[len(self.names) :] if cell.strip()]
        unnamed = [cell for cell, name in zip(cells, self.names, strict=False) if cell.strip() and not name]
        if extra:
            raise InputError(
                f"has {len(cells)} cells under {len(self.names)} columns: put a cell that holds one of the separating "
                f"{self.known} in double quotes",
                path,
                line,
            )
        if unnamed:
            raise InputError(f"a cell stands under no name ({shown_names(unnamed)}): name its column", path, line)
        fields = {name: cell for name, cell in zip(self.names, cells, strict=False) if name}
        own = {name: cell.strip() for name, cell in fields.items() if name not in FIELDS}
        return checked_row({name: cell for name, cell in fields.items() if name in FIELDS}, path, line, own)


def table_rows(content: str, path: Path, delimiter: str) -> Iterator[Row]:
    """The rows of a table with a header line.

    Raises:
        InputError: no column `question`, a column twice, or a line that is no usable question.
    """
    delimiter_name = DELIMITERS.get(delimiter, f"{delimiter!r}")
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    header: _Header | None = None
    if _SEPARATOR_LINE.match(content):
        next(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            # A tab is no character for a message.
            reason = f"cannot be split into cells ({exc})".replace("\t", "tab")
            raise InputError(
                f'{reason}: a cell that starts with " ends with " and doubles those inside',
                path,
                line,
            ) from exc
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _checked_header(cells, path, line, delimiter_name)
        else:
            yield header.row(cells, path, line)


def _checked_header(cells: list[str], path: Path, line: int, delimiter_name: str) -> _Header:
    known = (
        "a table has a header line: question and, if wanted, id, query and columns of your own, separated by "
        f"{delimiter_name}"
    )
    written = [" ".join(cell.split()) for cell in cells]
    names = tuple(name.lower() if name.lower() in FIELDS else name for name in written)
    named = [name.lower() for name in names if name]
    if len(set(named)) < len(named):
        raise InputError(f"a column stands there twice: {known}", path, line)
    check_own_names([name for name in names if name and name not in FIELDS], "column", path, line, known=known)
    if "question" not in names:
        raise InputError(f"the column question is missing: {known}", path, line)
    return _Header(names, delimiter_name)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs, so that a key given twice can be seen."""


def json_rows(content: str, path: Path) -> Iterator[Row]:
    """The rows of JSON Lines.

    Raises:
        InputError: a line that is no object, or no usable question.
    """
    for line, raw in lines_of(content, path):
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
        yield _object_row(pairs, path, line)


def _object_row(pairs: _Pairs, path: Path, line: int) -> Row:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError("a key stands there twice", path, line)
    own_names = [name for name in names if name not in FIELDS]
    check_own_names(own_names, "key", path, line, known=f"known are {', '.join(FIELDS)}")
    fields = {}
    for name, value in pairs:
        if name == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if name not in FIELDS or (value is None and name != "question"):
            continue
        if not isinstance(value, str):
            raise InputError(f"{name} is not a string", path, line)
        fields[name] = value
    if "question" not in fields:
        raise InputError("the key question is missing", path, line)
    own = {name: _as_text(value) for name, value in pairs if name not in FIELDS and value is not None}
    return checked_row(fields, path, line, own)


def _as_text(value: object) -> str:
    """A value of the user's own: a text as it is, another one as JSON."""
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, _Pairs):
        return {name: _plain(inner) for name, inner in value}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
