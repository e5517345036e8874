"""A file that the user names into its content: a regular file of bounded size, or an error that says what it is."""

from __future__ import annotations

import io
import json
import re
import stat
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.files import read_descriptor, read_file, read_file_or_pipe
from bioqa_pipeline.setting_values import is_beyond

MAX_BYTES = 256 * 2**20
# SQuAD v2.0 has 42 MB; in memory JSON takes some ten times as much.
MAX_JSON_BYTES = 1024 * 2**20
_ADDRESS = re.compile(r"(?:https?|ftp|s3|gs):/", re.IGNORECASE)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_AS_TEXT = "save it as plain text (UTF-8)"
_AS_CSV = "save it as CSV (UTF-8)"
WORD = ("a Word document", _AS_TEXT)
RTF = ("a Word/RTF document", _AS_TEXT)
OPEN_TEXT = ("an OpenDocument text", _AS_TEXT)
SLIDES = ("a presentation", _AS_TEXT)
PDF = ("a PDF", _AS_TEXT)
BOOK = ("an e-book", _AS_TEXT)
WEB_PAGE = ("a web page", _AS_TEXT)
SPREADSHEET = ("a spreadsheet", _AS_CSV)
ARCHIVE = ("a compressed file", "unpack it first")
PARQUET = ("Parquet", "export it as CSV (UTF-8)")
_BEGINNINGS = (
    (b"%PDF-", PDF),
    (b"{\\rtf", RTF),
    (b"PK\x05\x06", ("an empty archive", "name another file")),
    (b"\x1f\x8b", ARCHIVE),
    (b"PAR1", PARQUET),
    (b"SQLite format 3", ("a data base", "export it as CSV (UTF-8)")),
)
# By what lies in an archive: Office's by its folders, OpenDocument's and e-books by what they say first.
_IN_ARCHIVES = (
    (b"word/", WORD),
    (b"xl/", SPREADSHEET),
    (b"ppt/", SLIDES),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", OPEN_TEXT),
    (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", SPREADSHEET),
    (b"mimetypeapplication/vnd.oasis.opendocument.presentation", SLIDES),
    (b"mimetypeapplication/epub+zip", BOOK),
    (b"Index/", ("a document of Pages, Numbers or Keynote", "export it as plain text or CSV (UTF-8)")),
)
# Streams of Office's old files.
_IN_OLD = (("WordDocument", WORD), ("Workbook", SPREADSHEET), ("Book", SPREADSHEET), ("PowerPoint Document", SLIDES))
_WEB_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^<>]*>\s*)?(?:<!--.{0,2000}?-->\s*)?"
    rb"<(?:!doctype\s+html|(?:html|head|body|div|p|[ou]l|table|h\d)(?:\s[^<>]*)?>)",
    re.IGNORECASE | re.DOTALL,
)
# As a path, it names what the program is given to read.
STANDARD_INPUT = Path("-")


def read_input(path: Path, *, most_bytes: int = MAX_BYTES, or_pipe: bool = False) -> bytes:
    """The whole content.

    Args:
        or_pipe: takes a pipe as well, as a shell's <(...) is one; what comes through it can be read once.

    Raises:
        InputError: it is not there, cannot be read, is a folder, a pipe or a device, which may never end, or is too
            long.
    """
    try:
        return (read_file_or_pipe if or_pipe else read_file)(path, max_bytes=most_bytes)
    except FileNotFoundError:
        raise InputError(missing_file(path), path) from None
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot be read: {getattr(exc, 'strerror', None) or exc}", path) from exc


def is_address(path: Path) -> bool:
    """Whether a path is what somebody wrote who meant an address."""
    return _ADDRESS.match(str(path)) is not None


def missing_file(path: Path) -> str:
    """What is said of a file that is not there."""
    if is_address(path):
        return "is an address, not a file: save what is there, and name that file"
    return "cannot be read: there is no such file"


def is_pipe(path: Path) -> bool:
    """Whether what is there can be read once."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def of_another_program(raw: bytes) -> tuple[str, str] | None:
    """What a file is that another program keeps its own way, and how it becomes one to read; None of any other.

    Args:
        raw: all of it, or its beginning.
    """
    for beginning, kind in _BEGINNINGS:
        if raw.startswith(beginning):
            return kind
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        found = (kind for name, kind in _IN_OLD if name.encode("utf-16-le") in raw)
        return next(found, ("an old Office document", "save it as plain text or CSV (UTF-8)"))
    if raw.startswith(b"PK\x03\x04"):
        names = _names_in(raw)
        return next((kind for of, kind in _IN_ARCHIVES if any(name.startswith(of) for name in names)), ARCHIVE)
    return WEB_PAGE if _WEB_PAGE.match(raw) else None


def _names_in(raw: bytes) -> list[bytes]:
    """What lies in an archive, and what its first file begins with; of a broken one, what its beginning names."""
    begins = raw[30:120]
    try:
        return [begins, *(name.encode() for name in zipfile.ZipFile(io.BytesIO(raw)).namelist())]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return [begins, raw[4:120], *re.findall(rb"PK\x03\x04.{26}([\w./ -]{1,60})", raw[: 1 << 20], re.DOTALL)]


def read_standard_input() -> bytes:
    """All that comes through standard input, which cannot be read again.

    Raises:
        InputError: there is none, it is not closed in time, or is too long.
    """
    try:
        return read_descriptor(0, max_bytes=MAX_BYTES)
    except OSError as exc:
        raise InputError(f"cannot be read: {exc.strerror or exc}", Path("standard input")) from exc


def read_text(path: Path, *, most_bytes: int = MAX_BYTES) -> str:
    """The same as text in UTF-8, without a byte-order mark.

    Raises:
        InputError: see `read_input`, or it is in another encoding.
    """
    try:
        return read_input(path, most_bytes=most_bytes).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        raise InputError(f"is not UTF-8: {exc}", path) from exc


def read_json(path: Path) -> Any:
    """The same as the value that its JSON says.

    Raises:
        InputError: see `read_text`, or it is no JSON, or nested too deeply.
    """
    text = read_text(path, most_bytes=MAX_JSON_BYTES)
    try:
        content = json.loads(text)
        if _HALF.search(text):
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except json.JSONDecodeError as exc:
        raise InputError(f"is not JSON: {exc.msg}", path, exc.lineno) from exc
    except RecursionError:
        raise InputError("is not JSON that can be read: it is nested too deeply", path) from None
    except ValueError as exc:  # a number of more digits than Python turns into one; an escape of half a character
        raise InputError(f"is not JSON that can be read: {exc}", path) from exc


def parse_toml(text: str, path: Path | str) -> dict[str, Any]:
    """What TOML says.

    Args:
        path: of the file that holds it.

    Raises:
        InputError: it is not TOML, or nested too deeply.
    """
    try:
        # What is too large for a number stays as it is written, so that it is refused where it is used.
        return tomllib.loads(text, parse_float=lambda number: number if is_beyond(number) else float(number))
    except tomllib.TOMLDecodeError as exc:
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(exc))
        line = int(place[1]) if place and place[1] else None
        raise InputError(f"is not TOML: {exc}", path, line) from exc
    except (RecursionError, ValueError) as exc:
        raise InputError(f"is not TOML that can be read: {exc}", path) from exc
