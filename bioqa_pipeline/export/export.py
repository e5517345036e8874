"""What is wanted of a data set into the bytes of a file in the wanted format."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.export.selection import Selection, select

Format = Literal["csv", "xlsx", "ris", "bibtex", "jsonl"]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".xlsx": "xlsx", ".ris": "ris", ".bib": "bibtex", ".bibtex": "bibtex",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """A file's bytes, and what they hold.

    Attributes:
        notes: what had to be left out, in words.
    """

    data: bytes
    n_rows: int
    notes: tuple[str, ...] = ()


def export(dataset: Dataset, wanted: Selection, form: Format, *, bom: bool = True) -> Exported:
    """The rows in a format; the same rows are always the same bytes.

    Args:
        bom: whether CSV begins with a byte-order mark, as Excel wants it.

    Raises:
        ConfigError: there is no such run, question or column, or the format cannot hold them.
        DatasetError: the data set cannot be read.
    """
    if form in ("ris", "bibtex"):
        if wanted.what not in ("abstracts", "merged") or wanted.columns:
            raise ConfigError(f"`format {form}` has a record for each abstract: leave out `what` and `columns`")
        wanted = replace(wanted, what="abstracts")
    frame = select(dataset, wanted)
    notes: list[str] = []
    match form:
        case "csv":
            from bioqa_pipeline.export.spreadsheets import as_csv

            data = as_csv(frame, bom=bom)
        case "xlsx":
            from bioqa_pipeline.export.spreadsheets import as_xlsx

            data, notes = as_xlsx(frame, wanted.what)
        case "jsonl":
            data = _jsonl(frame)
        case "ris" | "bibtex":
            from bioqa_pipeline.export.references import as_bibtex, as_ris

            as_text: Callable[[pl.DataFrame], str] = as_ris if form == "ris" else as_bibtex
            data = as_text(frame).encode("utf-8", "replace")
    return Exported(data, frame.height, tuple(notes))


def _jsonl(frame: pl.DataFrame) -> bytes:
    """An object a line, nested as the rows are; times are ISO 8601."""
    file = io.BytesIO()
    frame.write_ndjson(file)
    return file.getvalue()
