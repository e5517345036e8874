"""A file of tagged lines into the lines of each record, one a field: so that a broken record costs itself alone, and
what reads a record need not mind how long its lines run on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bioqa_pipeline.sources.files.values import BadPart

# A record of PubMed's with 15,000 authors has some 2 MB.
MAX_RECORD_CHARS = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Chunk:
    """(tag, value) of each field of one record, with the line at which it begins."""

    line: int
    fields: tuple[tuple[str, str], ...]


def chunks(
    text: str, tag: re.Pattern[str], *, first: str, last: str = "", blank_ends: bool = False
) -> Iterator[Chunk | BadPart]:
    """The records of a file.

    Args:
        tag: matches a line that begins a field; its groups are tag and value. Other lines go on with the field before.
        first: the tag that begins a record.
        last: the tag that ends one.
        blank_ends: whether a blank line does, too, where a tag follows it.
    """
    fields: list[tuple[str, list[str]]] = []
    start, is_blank = 0, False
    for number, line in enumerate(text.split("\n"), start=1):
        match = tag.match(line)
        if match is None:
            if line.strip() and fields:
                fields[-1][1].append(line.strip())
            elif line.strip() and start:
                yield BadPart(number, f"it stands outside of any record: {line.strip()[:40]!r}")
            is_blank = not line.strip()
            continue
        name = match[1].rstrip()
        if fields and (name in (first, last) or (is_blank and blank_ends)):
            yield _closed(start, fields)
            fields = []
        is_blank = False
        if name != last:
            start = start if fields else number
            fields.append((name, [match[2].strip()]))
    if fields:
        yield _closed(start, fields)


def _closed(start: int, fields: list[tuple[str, list[str]]]) -> Chunk | BadPart:
    n_chars = sum(len(line) for _, lines in fields for line in lines)
    if n_chars > MAX_RECORD_CHARS:
        return BadPart(start, f"it has {n_chars:,} characters, over {MAX_RECORD_CHARS:,}")
    return Chunk(start, tuple((name, " ".join(lines)) for name, lines in fields))
