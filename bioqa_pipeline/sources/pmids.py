"""A given list of PMIDs as a source: every question is asked of each that passes the filters, in the list's order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.questions.record_filters import ALL_RECORDS, RecordFilters
from bioqa_pipeline.records.texts import Hit, Missing, Question, Retrieval
from bioqa_pipeline.sources.base import Source
from bioqa_pipeline.sources.files.reading import FileContent, read_records
from bioqa_pipeline.sources.files.values import RecordFormat
from bioqa_pipeline.sources.filtering import also_filtered

logger = logging.getLogger(__name__)

REPETITIONS_NAMED = 10


def read_list(path: Path) -> tuple[int | str, ...]:
    """PMIDs, and DOIs and PMCIDs in their place, of a list or of records in any format that source files reads.

    They come in the order of the list, each once. In a list blank lines, what follows a `#` and a first line of words
    alone are skipped; repetitions are merged and logged.

    Raises:
        InputError: the file cannot be read, a word of a list is none of them, or there is none.
    """
    content = read_records(path)
    is_list = content.format is RecordFormat.LIST
    if is_list and content.bad:
        raise InputError(content.bad[0].reason, path, content.bad[0].line)
    content.log()
    return _listed(content, is_list)


def _listed(content: FileContent, is_list: bool) -> tuple[int | str, ...]:
    lines: dict[int | str, int] = {}
    n_nameless, repeated = 0, list[str]()
    for record in content.records:
        name: int | str | None = record.abstract.pmid or record.identifier
        if name is None:
            n_nameless += 1
        elif (first := lines.setdefault(name, record.line)) != record.line and is_list:
            repeated.append(f"{record.place}: {name} stands on line {first} already")
    for line in repeated[:REPETITIONS_NAMED]:
        logger.warning("%s", line)
    if len(repeated) > REPETITIONS_NAMED:
        logger.warning(
            "%s: %d lines repeat a PMID; the first %d are named", content.path, len(repeated), REPETITIONS_NAMED
        )
    if n_nameless:
        logger.warning("%s: %d records have neither PMID nor DOI and are left out", content.path, n_nameless)
    if not lines:
        raise InputError(f"none of {n_nameless:,} records has a PMID, PMCID or DOI", content.path)
    return tuple(lines)


class PmidsSource:
    """The list over another source, which brings the records and, where it is PubMed, PMIDs for DOIs and PMCIDs.

    Raises:
        InputError: see `read_list`, or no PMID is left.
    """

    name = "pmids"

    def __init__(self, path: Path, records: Source, filters: RecordFilters = ALL_RECORDS) -> None:
        self._path = path
        self._filters = filters
        self._records, self.store = records, records.store
        listed = read_list(path)
        others = [name for name in listed if isinstance(name, str)]
        found = self._converted(others)
        pmids = (name if isinstance(name, int) else found.get(name) for name in listed)
        self._pmids = tuple(dict.fromkeys(pmid for pmid in pmids if pmid))
        self._n_converted, self._n_not = len(found), len(others) - len(found)
        if not self._pmids:
            raise InputError(f"none of {self._n_not:,} DOIs and PMCIDs has a PMID that {records.name} knows", path)
        # One tuple for all questions: a long list times many questions would not fit into memory.
        self._hits = tuple(Hit(pmid, rank) for rank, pmid in enumerate(self._pmids, start=1))

    def _converted(self, names: Sequence[str]) -> Mapping[str, int]:
        convert = getattr(self._records, "pmids_of", None)
        found: Mapping[str, int] = convert(names) if convert and names else {}
        if left := [name for name in names if name not in found]:
            how = "PubMed has no one record of them" if convert else "only PubMed itself converts them, no folder"
            logger.warning(
                "%s: %d of %d DOIs and PMCIDs are left out (%s): %s",
                self._path, len(left), len(names), how, ", ".join(left[:5]),
            )  # fmt: skip
        return found

    def search(self, question: Question, limit: int) -> Retrieval:
        """The whole list, whatever the question and the limit."""
        return Retrieval(question.id, self._hits)

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        """Those that the other source cannot bring, and those that the filters leave out."""
        return also_filtered(self._filters, self._records.ensure(pmids, progress=progress), self.store, pmids)

    def describe(self) -> dict[str, str]:
        """The file, and where the records come from."""
        return {
            "kind": self.name,
            "file": str(self._path),
            "pmids": str(len(self._pmids)),
            "filters": self._filters.described(),
            **({"converted": str(self._n_converted)} if self._n_converted else {}),
            **({"not_converted": str(self._n_not)} if self._n_not else {}),
            **self._others(),
        }

    def _others(self) -> dict[str, str]:
        return {f"records_{name}": value for name, value in self._records.describe().items()}
