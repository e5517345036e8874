"""RIS, as EndNote, Zotero, Embase and most data bases write it; fields by rispy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import rispy

from bioqa_pipeline.sources.files.chunks import Chunk, chunks
from bioqa_pipeline.sources.files.fields import Citation, author_name, record_of
from bioqa_pipeline.sources.files.values import BadPart, Part

TAG = re.compile(r"([A-Z][A-Z0-9])  -(?: |$)(.*)")
# As some programs write it; a line that runs on from the one before can look like it.
LOOSE_TAG = re.compile(r"([A-Z][A-Z0-9]) -(?: |$)(.*)")
_BEGUN = re.compile(r"^TY  -", re.MULTILINE)
_ARTICLES = frozenset(("JOUR", "JFULL", "EJOUR", "ABST", "MGZN"))


def ris_records(text: str) -> Iterator[Part]:
    """The records of a file; each begins with TY, whether the one before was ended by ER or not."""
    parser = rispy.RisParser()
    tag = TAG if _BEGUN.search(text) else LOOSE_TAG
    for chunk in chunks(text, tag, first="TY", last="ER"):
        yield chunk if isinstance(chunk, BadPart) else _record(chunk, parser)


def _record(chunk: Chunk, parser: rispy.RisParser) -> Part:
    if chunk.fields[0][0] != "TY":
        return BadPart(chunk.line, f"it begins with {chunk.fields[0][0]}, not with TY")
    lines = [f"{tag}  - {value}" for tag, value in (*chunk.fields, ("ER", ""))]
    parsed: list[dict[str, Any]] = parser.parse_lines(iter(lines))
    fields = parsed[0]
    kind = _text(fields, "type_of_reference")
    notes = ("note", "notes", "research_notes", "urls", "custom1", "custom2", "id", "label", "accession_number")
    return record_of(
        Citation(
            title=_text(fields, "title") or _text(fields, "primary_title"),
            abstract=max(_text(fields, "abstract"), _text(fields, "notes_abstract"), key=len),
            journal=_first(fields, "alternate_title3", "secondary_title", "journal_name", "alternate_title2"),
            year=_first(fields, "year", "publication_year"),
            date=_first(fields, "date", "publication_year", "year"),
            doi=_text(fields, "doi"),
            pmcid=_text(fields, "custom2"),
            accession=_text(fields, "accession_number"),
            database=" ".join((_text(fields, "name_of_database"), _text(fields, "database_provider"))),
            language=_text(fields, "language"),
            authors=tuple(map(author_name, fields.get("authors") or fields.get("first_authors") or ())),
            types=(*(("Journal Article",) if kind in _ARTICLES else ()), _text(fields, "type_of_work")),
            notes=tuple(_text(fields, name) for name in notes),
        ),
        chunk.line,
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else " ".join(value)


def _first(fields: dict[str, Any], *names: str) -> str:
    return next(filter(None, (_text(fields, name) for name in names)), "")
