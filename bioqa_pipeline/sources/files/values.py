"""What the readers of one file give: records, with the line that each begins at, and parts that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bioqa_pipeline.records.texts import Abstract

# In an `Abstract` that says no PMID; never leaves this room.
NO_PMID = 0


class RecordFormat(StrEnum):
    """How a file is written, by the name that users know."""

    NBIB = "PubMed's MEDLINE format (.nbib)"
    RIS = "RIS"
    ENW = "EndNote tagged (.enw)"
    ENDNOTE_XML = "EndNote XML"
    PUBMED_XML = "PubMed XML"
    TABLE = "a table (CSV)"
    BIBTEX = "BibTeX"
    LIST = "a list of identifiers"


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """One record of a file.

    Attributes:
        abstract: what it says; `pmid` is `NO_PMID` where it says none.
        line: where it begins, counted from 1; 0 where that is not known.
        pmcid: as "PMC123", where it says one.
        path: of its file.
    """

    abstract: Abstract
    line: int
    pmcid: str | None = None
    path: Path | None = field(default=None, compare=False)

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    @property
    def is_bare(self) -> bool:
        """Whether it is but an identifier."""
        return not (self.abstract.text or self.abstract.title)

    @property
    def identifier(self) -> str | None:
        """By what its PMID can be looked up."""
        return self.abstract.doi or self.pmcid


@dataclass(frozen=True, slots=True)
class BadPart:
    """A part of a file that is no record that can be used; the others of its file can."""

    line: int
    reason: str


Part = FoundRecord | BadPart
Reader = Callable[[str], Iterator[Part]]
