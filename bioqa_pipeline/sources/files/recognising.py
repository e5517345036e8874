"""The beginning of a file into what it is, whatever its name: a format of records, or what else it must be."""

from __future__ import annotations

import re

from bioqa_pipeline.sources.files import bibtex, enw, nbib, ris, tables
from bioqa_pipeline.sources.files.values import RecordFormat

LOOKED_AT_BYTES = 1 << 16
GZIP = b"\x1f\x8b"
_OTHERS = (
    (b"%PDF-", "a PDF; export the records from where you found it"),
    (b"PK\x05\x06", "an empty archive"),
    (b"PK\x03\x04", "an archive or a spreadsheet; unpack it, or save it as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet or document; save it as CSV (UTF-8)"),
    (b"PAR1", "Parquet; export it as CSV"),
    (b"SQLite format 3", "a data base; export its records"),
)
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f]")
_PUBMED_XML = re.compile(r"<Pubmed(?:Book)?Article(?:Set)?[\s>]")
_ENDNOTE_XML = re.compile(r"<records?[\s>]")
_WEB_PAGE = re.compile(r"<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)


class UnknownFormatError(Exception):
    """A file is nothing that records come in; the message says what it seems to be."""


def format_of(head: bytes, text: str) -> RecordFormat:
    """What a file is.

    Args:
        head: its first bytes.
        text: the same, decoded.

    Raises:
        UnknownFormatError: none that is read.
    """
    if head.startswith(GZIP):
        return RecordFormat.PUBMED_XML
    for magic, name in _OTHERS:
        if head.startswith(magic):
            raise UnknownFormatError(f"is {name}")
    if 100 * len(_NO_TEXT.findall(text)) > len(text):
        raise UnknownFormatError("is no text: an archive or a file of another program; unpack it, or export it as text")
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return _xml_format(text)
    for line in text.split("\n"):
        if line.strip() and (found := _tagged_format(line)):
            return found
    header = next((line for line in text.split("\n") if line.strip() and not line.lower().startswith("sep=")), "")
    return RecordFormat.TABLE if tables.delimiter_of(header.lstrip("\ufeff")) else RecordFormat.LIST


def _xml_format(text: str) -> RecordFormat:
    if _WEB_PAGE.search(text[:1000]):
        raise UnknownFormatError("is a web page; save the records in one of the formats that the site offers")
    if _PUBMED_XML.search(text):
        return RecordFormat.PUBMED_XML
    if _ENDNOTE_XML.search(text):
        return RecordFormat.ENDNOTE_XML
    raise UnknownFormatError("is XML, but neither PubMed's nor EndNote's")


def _tagged_format(line: str) -> RecordFormat | None:
    """The format that a line can only be of."""
    if (tag := ris.TAG.match(line) or ris.LOOSE_TAG.match(line)) and tag[1] == "TY":
        return RecordFormat.RIS
    if (tag := nbib.TAG.match(line)) and tag[1].rstrip() in ("PMID", "OWN", "STAT"):
        return RecordFormat.NBIB
    if (tag := enw.TAG.match(line)) and tag[1] == "0":
        return RecordFormat.ENW
    return RecordFormat.BIBTEX if bibtex.BEGIN.match(line) else None
