"""EndNote's tagged format (.enw, EndNote Import, refer): a line a field, each begun by % and a sign."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bioqa_pipeline.sources.files.chunks import Chunk, chunks
from bioqa_pipeline.sources.files.fields import Citation, author_name, record_of
from bioqa_pipeline.sources.files.values import BadPart, Part

TAG = re.compile(r"%([0-9A-Z!@#$&()*+<>?=^~\[\]])(?: |$)(.*)")


def enw_records(text: str) -> Iterator[Part]:
    """The records of a file; each begins with %0."""
    for chunk in chunks(text, TAG, first="0"):
        yield chunk if isinstance(chunk, BadPart) else _record(chunk)


def _record(chunk: Chunk) -> Part:
    if chunk.fields[0][0] != "0":
        return BadPart(chunk.line, f"it begins with %{chunk.fields[0][0]}, not with %0")
    kind = _first(chunk, "0")
    return record_of(
        Citation(
            title=_first(chunk, "T"),
            abstract=_first(chunk, "X"),
            journal=_first(chunk, "J") or _first(chunk, "B"),
            year=_first(chunk, "D"),
            date=_first(chunk, "8"),
            doi=_first(chunk, "R"),
            pmcid=_first(chunk, "2"),
            accession=_first(chunk, "M"),
            database=" ".join((_first(chunk, "~"), _first(chunk, "W"))),
            language=_first(chunk, "G"),
            authors=tuple(author_name(value) for tag, value in chunk.fields if tag == "A"),
            types=(kind if kind == "Journal Article" else "", _first(chunk, "9")),
            notes=tuple(value for name in "ZUMF[" for tag, value in chunk.fields if tag == name),
        ),
        chunk.line,
    )


def _first(chunk: Chunk, name: str) -> str:
    return next((value for tag, value in chunk.fields if tag == name and value), "")
