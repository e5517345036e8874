"""A file of PubMed XML, or a zip archive of such files, into its records; nothing is unpacked onto the disk.

Of an archive only the members count that are named as XML, whatever folders it puts them in; each is read as a file is,
a bounded piece at a time, so that a few bytes that unpack to very many cost their time and no memory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.files import open_file
from bioqa_pipeline.pubmed.xml import BadRecord, DeletedRecord, parse_records
from bioqa_pipeline.records.texts import Abstract

XML_SUFFIXES = (".xml", ".xml.gz")
MAX_MEMBERS = 10_000
_ENCRYPTED = 0x1
_BROKEN = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, ValueError, EOFError)


def why_not_read(path: Path) -> str | None:
    """Why an archive holds no records that can be read; None where it does."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            members = _members(archive)
    except (OSError, *_BROKEN):
        return "an archive that cannot be read; unpack it"
    if not members:
        return "an archive without *.xml"
    if len(members) > MAX_MEMBERS:
        return f"an archive of more than {MAX_MEMBERS:,} files; unpack it"
    return "an archive with a password; unpack it" if any(m.flag_bits & _ENCRYPTED for m in members) else None


def parse_file(path: Path, *, name: str) -> Iterator[Abstract | DeletedRecord | BadRecord]:
    """The records of a file or of the XML files in a zip archive, these by their names.

    Raises:
        SourceError: as `parse_records`; the archive is broken.
    """
    if path.suffix.lower() != ".zip":
        yield from parse_records(path, name=name)
        return
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            yield from _records(archive, name)
    except _BROKEN as exc:
        raise SourceError(f"{name}: the archive is broken: {exc}") from exc


def _records(archive: zipfile.ZipFile, name: str) -> Iterator[Abstract | DeletedRecord | BadRecord]:
    n_before = 0
    for member in _members(archive):
        stream: BinaryIO
        with archive.open(member) as stream:  # type: ignore[assignment]  # it has all that is asked of it
            position = 0
            for record in parse_records(stream, name=f"{name}, {member.filename}"):
                position += 1
                if isinstance(record, BadRecord):
                    record = BadRecord(record.pmid, n_before + record.position, record.reason)
                yield record
        n_before += position


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that are XML, by name; not what macOS adds to every archive."""
    members = (m for m in archive.infolist() if m.filename.lower().endswith(XML_SUFFIXES) and not m.is_dir())
    return sorted((m for m in members if not _is_hidden(m.filename)), key=lambda m: m.filename)


def _is_hidden(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
