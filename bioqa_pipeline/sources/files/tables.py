"""A table with a header line: PubMed's CSV, which has no abstracts, and those of Zotero and others, which have."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator, Sequence
from itertools import islice

from bioqa_pipeline.sources.files.chunks import MAX_RECORD_CHARS
from bioqa_pipeline.sources.files.fields import Citation, author_name, record_of
from bioqa_pipeline.sources.files.values import BadPart, Part

_DELIMITERS = (",", ";", "\t", "|")
# Fields of a citation by the names that columns have; the first that has a value counts.
_COLUMNS = {
    "title": ("title", "article title", "primary title", "ti"),
    "abstract": ("abstract", "abstract note", "abstracts", "ab", "abstract text", "summary"),
    "journal": (
        *("journal/book", "publication title", "journal", "source title", "journal title", "secondary title"),
        *("publication", "journal name"),
    ),
    "year": ("publication year", "year", "pub_year", "py"),
    "date": ("date", "publication date", "pub_date"),
    "doi": ("doi", "doi link"),
    "pmid": ("pmid", "pubmed id", "pubmed_id", "pubmedid", "pubmed", "pmids", "pubmed id (pmid)"),
    "pmcid": ("pmcid", "pmc", "pmc id"),
    "accession": ("accession number", "accession", "archive id"),
    "database": ("database", "name of database", "source database", "library catalog"),
    "language": ("language", "languages"),
}
_AUTHORS = ("authors", "author", "author(s)", "au")
_TYPES = ("publication type", "publication types", "document type")
_NOTES = ("extra", "notes", "note", "url", "urls", "link", "loc. in archive")
# By these a first line is known to be a header.
_TELLING = frozenset((*_COLUMNS["pmid"], *_COLUMNS["doi"], *_COLUMNS["pmcid"]))
_CITING = frozenset((*_COLUMNS["title"], *_COLUMNS["abstract"]))
# So often is gone on behind a row that cannot be split: each time a quote that is never closed may take all the rest.
_MOST_RESTARTS = 50
# The csv module has one limit for all that read tables.
_limit = threading.Lock()


def delimiter_of(line: str) -> str | None:
    """By what the cells of a header are parted; None where a line is no header of a table of records."""
    for delimiter in _DELIMITERS:
        names = {cell.strip().strip('"').casefold() for cell in line.split(delimiter)}
        if len(names) > 1 and (names & _TELLING or len(names & _CITING) > 1):
            return delimiter
    return None


def table_records(text: str) -> Iterator[Part]:
    """The records of a table, one a row; rows of more cells than the header are left out."""
    lines = [f"{line}\n" for line in text.split("\n")]
    header = next((i for i, line in enumerate(lines) if delimiter_of(line.strip())), None)
    if header is None:
        return
    delimiter = delimiter_of(lines[header].strip()) or ","
    names: list[str] = []
    for number, row in _rows(lines, header, delimiter):
        if isinstance(row, BadPart):
            yield row
        elif not names:
            names = [cell.strip().casefold() for cell in row]
        elif len(row) > len(names) and any(cell.strip() for cell in row[len(names) :]):
            yield BadPart(number, f"the row has {len(row)} cells under {len(names)} columns")
        elif any(cell.strip() for cell in row):
            yield _record(dict(zip(names, row, strict=False)), number)


def _rows(lines: Sequence[str], first: int, delimiter: str) -> list[tuple[int, list[str] | BadPart]]:
    """Every row with its line; one that cannot be split costs its first line."""
    rows: list[tuple[int, list[str] | BadPart]] = []
    with _limit:
        limit = csv.field_size_limit(MAX_RECORD_CHARS)
        try:
            for _ in range(_MOST_RESTARTS):
                reader = csv.reader(islice(lines, first, None), delimiter=delimiter, strict=True)
                begun = 0
                try:
                    for row in reader:
                        rows.append((first + begun + 1, row))
                        begun = reader.line_num
                    return rows
                except csv.Error as exc:
                    first += begun + 1
                    rows.append((first, BadPart(first, f"the row cannot be split into cells: {exc}")))
            rows.append((first + 1, BadPart(first + 1, "what follows is not read, so many rows cannot be split")))
        finally:
            csv.field_size_limit(limit)
    return rows


def _record(cells: dict[str, str], line: int) -> Part:
    fields = {field: _first(cells, columns) for field, columns in _COLUMNS.items()}
    return record_of(
        Citation(
            **fields,
            authors=_names(_first(cells, _AUTHORS)),
            types=(_first(cells, _TYPES),),
            notes=tuple(cells.get(name, "") for name in _NOTES),
        ),
        line,
    )


def _names(authors: str) -> tuple[str, ...]:
    """PubMed parts authors by commas ("Makar AB, King ML."), others by semicolons and writes "Makar, Anna"."""
    parted = authors.split(";") if ";" in authors else authors.rstrip(".").split(",")
    return tuple(map(author_name, parted))


def _first(cells: dict[str, str], columns: Sequence[str]) -> str:
    return next((cells[name] for name in columns if cells.get(name, "").strip()), "")
