"""A folder of PubMed files into the list of those to import, in order; checks that none is missing.

Files named `pubmedYYnNNNNNN.xml.gz` are the annual baseline and the daily updates of year YY, at any depth below the
folder; every other *.xml and *.xml.gz, and every *.zip with such files, counts as a set of records of its own, in
capitals or not. Pipes and devices are not read, nor what lies elsewhere and is linked to; they are named, and so are
records in other formats.
"""

from __future__ import annotations

import hashlib
import logging
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.files import SMALL, kind_of, open_file, read_file
from bioqa_pipeline.messages import first_few
from bioqa_pipeline.pubmed.archives import XML_SUFFIXES, why_not_read

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"pubmed(\d\d)n(\d{4,6})\.xml(?:\.gz)?", re.IGNORECASE)
# What else records come in.
_PACKED = (".tar", ".rar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".xml.bz2", ".xml.xz", ".xml.zst", ".xml.z", ".7z")
_OTHER_FORMATS = (
    *(".nbib", ".medline", ".ris", ".enw", ".bib", ".asn", ".asn1", ".csv", ".json", ".jsonl", ".ndjson"),
    *(".csv.gz", ".json.gz", ".jsonl.gz", ".nbib.gz", ".txt.gz"),
)
_DOCUMENTS = (".pdf", ".doc", ".docx", ".odt", ".rtf", ".epub", ".xls", ".xlsx")
_ZIP = ".zip"
# Of a text, only its start tells whether it holds records.
_TEXTS = (".txt", ".tsv")
_RECORDS_IN_TEXT = re.compile(rb"^\W*PMID\b", re.IGNORECASE | re.MULTILINE)
_START_BYTES = 4_096
_MD5 = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{32}(?![0-9a-fA-F])")
NAMED = 5


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells without reading that a file is as it was."""

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class MedlineFile:
    """One file of the folder.

    Attributes:
        name: of a baseline or update file its own, wherever it lies; of others the path below the folder, with "/".
        year, number: of a baseline or update file.
    """

    path: Path
    name: str
    stamp: Stamp
    year: int | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a folder that count, numbered ones first in order of number, then the others by name.

    Attributes:
        year: of the numbered files; None where there are none.
        superseded: years whose files were left out, because there are newer ones.
        not_read: what is named like a file of records or holds records in another format and is not read, or leads out
            of the folder; each with what it is.
    """

    files: tuple[MedlineFile, ...]
    year: int | None
    superseded: tuple[int, ...] = ()
    not_read: tuple[str, ...] = ()


def list_files(folder: Path) -> Listing:
    """The files of a folder.

    Raises:
        SourceError: there is no such folder, nothing in it, or two files have the same number.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; give one that holds PubMed XML files")
    try:
        paths = sorted(p for p in folder.rglob("*") if _may_hold_records(p) and _is_visible(p, folder))
        reasons = {path: _not_read(path, folder) for path in paths}
        files = [_file(path, folder) for path, reason in reasons.items() if reason is None]
    except OSError as exc:
        raise SourceError(f"{folder}: cannot be read: {exc}") from exc
    not_read = tuple(f"{path.relative_to(folder)} ({reason})" for path, reason in reasons.items() if reason)
    if not files:
        rest = f"; not read: {first_few(not_read, NAMED)}" if not_read else ""
        raise SourceError(f"{folder}: no *.xml or *.xml.gz file in it{rest}")
    years = sorted({file.year for file in files if file.year is not None})
    year = years[-1] if years else None
    numbered = sorted((f for f in files if f.year == year and f.number is not None), key=lambda f: f.number or 0)
    for one, other in pairwise(numbered):
        if one.number == other.number:
            raise SourceError(f"{folder}: {one.name} and {other.name} have the same number; delete one")
    others = [file for file in files if file.year is None]
    return Listing(files=(*numbered, *others), year=year, superseded=tuple(years[:-1]), not_read=not_read)


def check_numbers(folder: Path, listing: Listing, imported: Collection[int]) -> None:
    """Makes sure that no number is missing between the first and the last file, imported ones counted.

    Raises:
        SourceError: some are; it names them.
    """
    present = {file.number for file in listing.files if file.number is not None}
    numbers = present.union(imported)
    if not numbers or listing.year is None:
        return
    missing = [number for number in range(min(numbers), max(numbers)) if number not in numbers]
    if missing:
        absent = first_few([f"pubmed{listing.year:02d}n{number:04d}.xml.gz" for number in missing], NAMED)
        raise SourceError(
            f"{folder}: {absent} missing between number {min(numbers)} and {max(numbers)}; an update would be "
            "lost without a word: download what is missing, or move away the files above"
        )
    if min(numbers) > 1:
        logger.warning(
            "%s: the files start at number %d: what is only in earlier ones cannot be found", folder, min(numbers)
        )


def file_md5(path: Path) -> str:
    """The MD5 of a file, in hexadecimal digits."""
    with open_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def expected_md5(path: Path) -> str | None:
    """What the .md5 file beside a file says; None where there is none.

    Raises:
        SourceError: it does not say an MD5.
    """
    beside = path.with_name(path.name + ".md5")
    try:
        content = read_file(beside, max_bytes=SMALL)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise SourceError(f"{beside}: cannot be read: {exc.strerror}") from exc
    found = _MD5.findall(content)
    if len(found) != 1:
        raise SourceError(f"{beside}: holds no MD5; download it again or delete it")
    digest: bytes = found[0]
    return digest.decode().lower()


def _file(path: Path, folder: Path) -> MedlineFile:
    match = _NUMBERED.fullmatch(path.name)
    if match is None:
        # A name that is no text, as old archives have them, must not stop what is written about it.
        name = path.relative_to(folder).as_posix().encode("utf-8", "replace").decode()
        return MedlineFile(path, name, Stamp.of(path))
    return MedlineFile(path, path.name, Stamp.of(path), year=int(match.group(1)), number=int(match.group(2)))


def _is_visible(path: Path, folder: Path) -> bool:
    return not (path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts))


def _not_read(path: Path, folder: Path) -> str | None:
    """Why a path is not a file of the folder."""
    try:
        mode = path.stat().st_mode
    except OSError:  # from a loop of links to a file that is deleted this moment
        return "it leads to nothing"
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        return "a link that leads out of the folder"
    return _format(path) if stat.S_ISREG(mode) else kind_of(mode)


def _may_hold_records(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith((*XML_SUFFIXES, _ZIP, *_PACKED, *_OTHER_FORMATS, *_DOCUMENTS)):
        return True
    if not name.endswith(_TEXTS) or path.is_symlink():
        return False
    try:
        with open_file(path) as file:
            return _RECORDS_IN_TEXT.search(file.read(_START_BYTES)) is not None
    except OSError:
        return False


def _format(path: Path) -> str | None:
    """Why a regular file is not read; None where it is."""
    name = path.name.lower()
    if name.endswith(XML_SUFFIXES):
        return None
    if name.endswith(_ZIP):
        return why_not_read(path)
    if name.endswith(_DOCUMENTS):
        return "a document; save the records as XML"
    return "an archive; unpack it" if name.endswith(_PACKED) else "no PubMed XML; save the records as XML"
