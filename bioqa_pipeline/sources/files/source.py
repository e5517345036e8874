"""Files that people exported as a source: every question is asked of each of their records, in the order of the files.

What the files hold is kept in the user's cache while it is read. What they lack, abstracts of records that say their
PMID only and PMIDs of those that say their DOI only, another source brings, where there is one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.messages import counted
from bioqa_pipeline.records.texts import Abstract, FetchStatus, Hit, Missing, Question, Retrieval, content_digest
from bioqa_pipeline.sources.base import Source, cache_dir
from bioqa_pipeline.sources.files.finding import find_files
from bioqa_pipeline.sources.files.gathering import Gathered, gather, read_files
from bioqa_pipeline.sources.filtering import also_filtered
from bioqa_pipeline.sources.generations import drop_others, one_writer, opened

logger = logging.getLogger(__name__)

WAY_OUT = "give an e-mail address (--email, NCBI_EMAIL), and they are fetched from PubMed"


class FilesSource:
    """Records of files, folders and patterns.

    Args:
        config: files, dates and filters; records without the date that is asked for are left out.
        open_others: opens what brings the records that the files lack; called only where some are lacking.

    Raises:
        InputError: a file cannot be read or holds no record, or there is nothing to ask.
        ConfigError: the files cannot tell the date that is asked for.
        SourceError: the cache cannot be written.
    """

    name = "files"

    def __init__(self, config: SourceConfig, open_others: Callable[[], Source] | None = None) -> None:
        files, first, last = config.files or (), config.mindate, config.maxdate
        if config.datetype == "edat" and (first or last):
            raise ConfigError("files do not tell when a record was entered: use `datetype pdat` or `datetype mdat`")
        self._others: Source | None = None
        self._open_others = open_others
        self._filters = config.filters()
        contents, not_read = read_files(find_files(files))
        self._gathered = gather(contents, not_read, self._convert if open_others else None)
        self._gathered.log()
        self._check_what_lacks(files)
        self.store = self._stored([str(path.absolute()) for path in files])
        is_bounded = bool(first or last)
        self._dates = f"{config.datetype} from {first or 'the first'} to {last or 'the last'}" if is_bounded else ""
        records = self._gathered.records.items()
        pmids = [pmid for pmid, record in records if not is_bounded or _is_within(record.abstract, config)]
        # One tuple for all questions: many records times many questions would not fit into memory.
        self._hits = tuple(Hit(pmid, rank) for rank, pmid in enumerate(pmids, start=1))

    def search(self, question: Question, limit: int) -> Retrieval:
        """All records, whatever the question and the limit."""
        return Retrieval(question.id, self._hits)

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        """Fetches the abstracts that the files lack; those that cannot be had, and those that the filters leave out."""
        return also_filtered(self._filters, self._fetched(pmids, progress), self.store, pmids)

    def _fetched(self, pmids: Sequence[int], progress: Callable[[int], None] | None) -> list[Missing]:
        asked = dict.fromkeys(pmids)
        lacking = [pmid for pmid in self._gathered.without_abstract() if pmid in asked]
        if progress:
            progress(len(pmids) - len(lacking))
        if not lacking:
            return []
        if self._open_others is None:
            bare = [pmid for pmid in lacking if self._gathered.records[pmid].is_bare]
            if progress:
                progress(len(lacking))
            return [Missing(pmid, FetchStatus.NOT_FOUND, "the files have but its number") for pmid in bare]
        others = self._opened()
        missing = others.ensure(lacking, progress=progress)
        self.store.add(others.store.get(lacking), origin=f"{self.name}, from {others.name}")
        return missing

    def describe(self) -> dict[str, str]:
        """The files, what they hold, and what of it could not be used."""
        gathered = self._gathered
        formats = Counter(str(content.format) for content in gathered.contents)
        return {
            "kind": self.name,
            "files": ", ".join(str(content.path) for content in gathered.contents[:10]),
            "formats": ", ".join(f"{n} × {name}" for name, n in formats.items()),
            "records": str(len(gathered.records)),
            "without_abstract": str(len(gathered.without_abstract())),
            "without_pmid": str(len(gathered.without_pmid)),
            "converted": str(gathered.n_converted),
            "repeated": str(len(gathered.repeated)),
            "bad_records": str(gathered.n_bad),
            "dates": self._dates,
            "filters": self._filters.described(),
            **({f"others_{name}": value for name, value in self._others.describe().items()} if self._others else {}),
        }

    def _opened(self) -> Source:
        if self._others is None:
            assert self._open_others is not None
            self._others = self._open_others()
        return self._others

    def _convert(self, identifiers: Sequence[str]) -> dict[str, int]:
        convert = getattr(self._opened(), "pmids_of", None)
        return convert(identifiers) if convert else {}

    def _check_what_lacks(self, files: Sequence[Path]) -> None:
        gathered = self._gathered
        if not gathered.records:
            first = gathered.without_pmid[0] if gathered.without_pmid else None
            way = WAY_OUT if first and first.identifier else "save them with their PMIDs"
            raise InputError(
                f"none of {len(gathered.without_pmid):,} records has a PMID, by which they are kept: {way}",
                first.place if first else files[0],
            )
        if self._open_others:
            return
        if gathered.without_pmid:
            n_named = sum(record.identifier is not None for record in gathered.without_pmid)
            logger.warning(
                "%d records without a PMID are left out, %d of them with a DOI or PMCID: %s",
                len(gathered.without_pmid), n_named, WAY_OUT.replace("they are fetched", "their PMIDs are asked"),
            )  # fmt: skip

    def _stored(self, names: Sequence[str]) -> AbstractStore:
        abstracts = list(self._gathered.abstracts())
        home = cache_dir() / "files" / content_digest("files", *names)
        generation = home / f"records-{content_digest(*map(repr, abstracts))}"
        with one_writer(home, "read", names[0]):
            store = opened(self, generation)
            store.add(abstracts, origin=self.name)
            drop_others(home, generation)
        return store


def _is_within(abstract: Abstract, config: SourceConfig) -> bool:
    """A month or a year stands for its first day."""
    first, last = config.mindate, config.maxdate
    said = abstract.pub_date if config.datetype == "pdat" else abstract.date_revised
    if not said:
        return False
    day = f"{said}-01-01"[:10] if len(said) == 4 else f"{said}-01"[:10]
    return (not first or day >= first.isoformat()) and (not last or day <= last.isoformat())


def describe_files(files: Sequence[Path]) -> list[str]:
    """What is in files, line by line, without asking anybody for what they lack.

    Raises:
        InputError: as of `FilesSource`.
    """
    contents, not_read = read_files(find_files(files))
    lines = []
    for content in contents:
        n_with = sum(bool(record.abstract.text) for record in content.records)
        n_none = sum(not record.abstract.pmid for record in content.records)
        encoding = "" if content.encoding == "utf-8" else f", {content.encoding}"
        lines.append(
            f"{content.path}: {content.format}{encoding}: {counted(len(content.records), 'record')}, {n_with:,} with "
            f"an abstract, {len(content.records) - n_with:,} without"
            + (f", {n_none:,} without a PMID" if n_none else "")
            + (f", {len(content.bad):,} that cannot be read" if content.bad else "")
        )
        lines += [f"  {content.place(part.line)} is left out: {part.reason}" for part in content.bad[:20]]
    gathered = gather(contents, not_read)
    lines += [*not_read, *(f"  {said}" for said in (*gathered.repeated[:20], *gathered.nameless()[:20]))]
    lines.append(_sum(gathered))
    return lines


def _sum(gathered: Gathered) -> str:
    n_lacking = len(gathered.without_abstract())
    return (
        f"in all {counted(len(gathered.records), 'distinct PMID')}, {n_lacking:,} of them without an abstract; "
        f"{counted(len(gathered.without_pmid), 'record')} without a PMID"
    )
