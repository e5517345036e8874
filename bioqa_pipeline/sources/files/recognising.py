"""The beginning of a file into what it is, whatever its name: a format of records, or what else it must be."""

from __future__ import annotations

import re

from bioqa_pipeline.inputs import of_another_program
from bioqa_pipeline.sources.files import bibtex, enw, nbib, ris, tables
from bioqa_pipeline.sources.files.values import RecordFormat

LOOKED_AT_BYTES = 1 << 16
GZIP = b"\x1f\x8b"
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f]")
_PUBMED_XML = re.compile(r"<Pubmed(?:Book)?Article(?:Set)?[\s>]")
_ENDNOTE_XML = re.compile(r"<records?[\s>]")


class UnknownFormatError(Exception):
    """A file is nothing that records come in; the message says what it seems to be."""


def format_of(head: bytes, text: str) -> RecordFormat:
    """What a file is.

    Args:
        head: its first bytes, or all.
        text: its first bytes, decoded.

    Raises:
        UnknownFormatError: none that is read.
    """
    if head.startswith(GZIP):
        return RecordFormat.PUBMED_XML
    if kind := of_another_program(head):
        raise UnknownFormatError(f"is {kind[0]}; export the records from where you found them, or {kind[1]}")
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
