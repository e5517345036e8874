"""A given list of PMIDs as a source: every question is asked of each that passes the filters, in the list's order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.inputs import read_text
from bioqa_pipeline.questions.record_filters import ALL_RECORDS, RecordFilters
from bioqa_pipeline.records.texts import FetchStatus, Hit, Missing, Question, Retrieval
from bioqa_pipeline.sources.base import Source

logger = logging.getLogger(__name__)

MAX_PMID = 2**31 - 1
REPETITIONS_NAMED = 10


def read_pmids(path: Path) -> tuple[int, ...]:
    """PMIDs of a text file, one a line; blank lines and what follows a `#` are skipped, repetitions merged and logged.

    Raises:
        InputError: the file cannot be read, a line is not a PMID, or there is none.
    """
    text = read_text(path)
    found: dict[int, int] = {}
    n_repeated = 0
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        pmid = _pmid(word)
        if pmid is None:
            raise InputError(f"{word[:40]!r} is not a PMID; one number a line is wanted", path, number)
        if (first := found.setdefault(pmid, number)) != number:
            n_repeated += 1
            if n_repeated <= REPETITIONS_NAMED:
                logger.warning("%s:%d: PMID %s stands on line %d already", path, number, word, first)
    if n_repeated > REPETITIONS_NAMED:
        logger.warning("%s: %d lines repeat a PMID; the first %d are named", path, n_repeated, REPETITIONS_NAMED)
    if not found:
        raise InputError("holds no PMID; one number a line is wanted", path)
    return tuple(found)


def _pmid(word: str) -> int | None:
    """A number with any zeros before it; Python turns no more than some thousand digits into one."""
    digits = word.lstrip("0")
    is_number = word.isascii() and word.isdecimal() and 0 < len(digits) <= len(str(MAX_PMID))
    return int(digits) if is_number and int(digits) <= MAX_PMID else None


class PmidsSource:
    """The list over another source, which brings the records.

    Raises:
        InputError: see `read_pmids`.
    """

    name = "pmids"

    def __init__(self, path: Path, records: Source, filters: RecordFilters = ALL_RECORDS) -> None:
        self._path = path
        self._filters = filters
        self._pmids = read_pmids(path)
        self._records = records
        # One tuple for all questions: a long list times many questions would not fit into memory.
        self._hits = tuple(Hit(pmid, rank) for rank, pmid in enumerate(self._pmids, start=1))

    @property
    def store(self) -> AbstractStore:
        """Where the records lie."""
        return self._records.store

    def search(self, question: Question, limit: int) -> Retrieval:
        """The whole list, whatever the question and the limit."""
        return Retrieval(question.id, self._hits)

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        """Those that the other source cannot bring, and those that the filters leave out."""
        missing = self._records.ensure(pmids, progress=progress)
        if not self._filters:
            return missing
        absent = {m.pmid for m in missing}
        left_out = (
            (record.pmid, self._filters.left_out(record))
            for record in self._records.store.get([pmid for pmid in dict.fromkeys(pmids) if pmid not in absent])
        )
        return [*missing, *(Missing(pmid, FetchStatus.FILTERED, why) for pmid, why in left_out if why)]

    def describe(self) -> dict[str, str]:
        """The file, and where the records come from."""
        return {
            "kind": self.name,
            "file": str(self._path),
            "pmids": str(len(self._pmids)),
            "filters": self._filters.described(),
            **self._others(),
        }

    def _others(self) -> dict[str, str]:
        return {f"records_{name}": value for name, value in self._records.describe().items()}
