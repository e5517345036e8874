"""One file into what is in it: its format, its records, and the parts that are none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bioqa_pipeline.errors import InputError, SourceError
from bioqa_pipeline.files import open_file
from bioqa_pipeline.inputs import read_input
from bioqa_pipeline.pubmed.xml import BadRecord, DeletedRecord, parse_records
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.files.decoding import decoded
from bioqa_pipeline.sources.files.recognising import GZIP, LOOKED_AT_BYTES, UnknownFormatError, format_of
from bioqa_pipeline.sources.files.values import BadPart, FoundRecord, Part, Reader, RecordFormat

logger = logging.getLogger(__name__)

MAX_RECORDS = 1_000_000
BAD_NAMED = 5


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file holds."""

    path: Path
    format: RecordFormat
    encoding: str
    records: tuple[FoundRecord, ...]
    bad: tuple[BadPart, ...]

    def place(self, line: int) -> str:
        """File and line, for messages."""
        return f"{self.path}:{line}" if line else str(self.path)

    def log(self) -> None:
        """Names the first parts that are left out."""
        for part in self.bad[:BAD_NAMED]:
            logger.warning("%s is left out: %s", self.place(part.line), part.reason)
        if len(self.bad) > BAD_NAMED:
            logger.warning("%s: %d records in all are left out", self.path, len(self.bad))


def read_records(path: Path) -> FileContent:
    """Reads a file whole.

    Raises:
        InputError: it cannot be read, or holds no record that can be used.
    """
    raw = read_input(path)
    kind = _kind(raw, path)
    text, encoding = ("", "utf-8") if kind is RecordFormat.PUBMED_XML else decoded(raw)
    way_out = "; unpack it first, unless it is PubMed XML" if raw.startswith(GZIP) else ""
    del raw
    parts = _xml_parts(path, way_out) if kind is RecordFormat.PUBMED_XML else _reader(kind)(text)
    records, bad = [], []
    for part in parts:
        if isinstance(part, BadPart):
            bad.append(part)
        else:
            records.append(replace(part, path=path))
        if len(records) + len(bad) > MAX_RECORDS:
            raise InputError(f"holds over {MAX_RECORDS:,} records and parts that are none: split it", path, part.line)
    if not records:
        first = f": {bad[0].reason}" if bad else ""
        what = "PMID, PMCID or DOI" if kind is RecordFormat.LIST else "record"
        raise InputError(f"read as {kind}, it holds no {what}{first}", path, bad[0].line or None if bad else None)
    return FileContent(path, kind, encoding, tuple(records), tuple(bad))


def check_beginning(path: Path) -> None:
    """Reads no more of a file than says what it is.

    Raises:
        InputError: it cannot be read, is empty, or is nothing that records come in.
    """
    try:
        with open_file(path) as file:
            _kind(file.read(LOOKED_AT_BYTES), path)
    except OSError as exc:
        raise InputError(f"cannot be read: {exc.strerror or exc}", path) from exc


def _kind(raw: bytes, path: Path) -> RecordFormat:
    text = decoded(raw[:LOOKED_AT_BYTES])[0]
    if not text.strip():
        raise InputError("is empty", path)
    try:
        return format_of(raw, text)
    except UnknownFormatError as exc:
        raise InputError(str(exc), path) from exc


def _reader(kind: RecordFormat) -> Reader:
    # Each brings its own library with it; only the one that is needed is imported.
    match kind:
        case RecordFormat.NBIB:
            from bioqa_pipeline.sources.files.nbib import nbib_records as reader
        case RecordFormat.RIS:
            from bioqa_pipeline.sources.files.ris import ris_records as reader
        case RecordFormat.ENW:
            from bioqa_pipeline.sources.files.enw import enw_records as reader
        case RecordFormat.ENDNOTE_XML:
            from bioqa_pipeline.sources.files.endnote_xml import endnote_records as reader
        case RecordFormat.TABLE:
            from bioqa_pipeline.sources.files.tables import table_records as reader
        case RecordFormat.BIBTEX:
            from bioqa_pipeline.sources.files.bibtex import bibtex_records as reader
        case _:
            from bioqa_pipeline.sources.files.lists import list_records as reader
    return reader


def _xml_parts(path: Path, way_out: str) -> Iterator[Part]:
    try:
        for item in parse_records(path, name=str(path)):
            if isinstance(item, Abstract):
                yield FoundRecord(item, 0)
            elif isinstance(item, BadRecord):
                yield BadPart(0, f"record {item.position} (PMID {item.pmid}): {item.reason}")
            elif isinstance(item, DeletedRecord):
                yield BadPart(0, f"PubMed has deleted the record of PMID {item.pmid}")
    except SourceError as exc:
        # What came before the place where it breaks is there.
        yield BadPart(0, str(exc).removeprefix(f"{path}: ") + way_out)
