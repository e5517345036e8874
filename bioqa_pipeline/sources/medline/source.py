"""A local folder of PubMed files as a source: imported into a store, ranked by a full-text index beside it.

Opening it imports what is new in the folder and brings the index up to date, so it can take hours the first time and no
time afterwards. Files, store and index of a folder lie in the user's cache, one generation for each annual baseline.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from bioqa_pipeline.abstracts.documents import DateRange, query_words
from bioqa_pipeline.abstracts.fulltext import FullTextIndex, ScoredPmid
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import BioqaError, ConfigError
from bioqa_pipeline.messages import first_few
from bioqa_pipeline.questions.terms import question_words
from bioqa_pipeline.records.texts import (
    FetchStatus,
    Hit,
    Missing,
    QueryAttempt,
    Question,
    Retrieval,
    RetrievalOutcome,
    content_digest,
)
from bioqa_pipeline.sources.base import cache_dir
from bioqa_pipeline.sources.generations import drop_others, one_writer, opened
from bioqa_pipeline.sources.medline.files import NAMED, Listing, list_files
from bioqa_pipeline.sources.medline.importing import import_files, stale_files
from bioqa_pipeline.sources.medline.state import STATE_FILE, ImportState

logger = logging.getLogger(__name__)

UNRESTRICTED = SourceConfig()
_NAMED_BAD_RECORDS = 5
# The index knows no capitals: so many hits for each wanted one, and so many in all, are looked at for a name in them.
_LOOKED_AT_FOR_NAMES, _MOST_LOOKED_AT = 10, 2000


class MedlineSource:
    """PubMed baseline and update files, or any other PubMed XML, in a folder.

    Args:
        folder: see `list_files` for what counts.
        config: dates, of publication or last revision, and filters; which records are searched.
        home: where store and index go; None takes a place in the user's cache that belongs to the folder.
        since: only records that came, new or revised, at or after this time.
        with_titles: records without an abstract are searched by their titles, too.
        workers: parsing processes; None takes one for each core.

    Raises:
        SourceError: the folder or a file in it cannot be used; what was imported before stays.
        ConfigError: the files cannot tell what is asked for.
        StoreError: the cache cannot be written.
    """

    name = "medline"

    def __init__(
        self,
        folder: Path,
        config: SourceConfig = UNRESTRICTED,
        *,
        home: Path | None = None,
        since: datetime | None = None,
        with_titles: bool = False,
        workers: int | None = None,
    ) -> None:
        self._folder = folder.resolve()
        self._dates = _date_ranges(config, since)
        self._filters, self._with_titles = config.filters(), with_titles
        home = home or cache_dir() / "medline" / content_digest("folder", str(self._folder))
        list_files(self._folder)  # what is wrong with it is said without waiting
        with one_writer(home, "import", str(self._folder)):
            self._open(home, workers)

    def _open(self, home: Path, workers: int | None) -> None:
        listing = list_files(self._folder)
        generation = _generation(home, listing)
        self.store = opened(self, generation)
        self._index = FullTextIndex(
            generation / "fulltext", with_titles=self._with_titles, can_filter=bool(self._filters)
        )
        state = ImportState.load(self.store)
        if not state.files:
            self._index.discard()
        self._not_read = listing.not_read
        self._say_what_is_left_out(listing, state)
        self._state = import_files(
            self._folder,
            listing,
            self.store,
            state,
            workers=workers,
            needs_journal_names=bool(self._filters.journal),
        )
        self._index.update(self.store)
        self._replaced = drop_others(home, generation)
        for name in self._replaced:
            logger.warning("%s: %s has replaced everything imported as %s", self._folder, generation.name, name)
        self._n_searched = self._index.count(self._filters.wanted()) if self._filters else len(self._index)
        logger.info("%s: %d abstracts can be searched", self._folder, self._n_searched)

    def search(self, question: Question, limit: int) -> Retrieval:
        """At most `limit` PMIDs with an abstract, ranked by BM25; a search that fails says so in its `Retrieval`."""
        if question.query is not None:
            error = "a query in PubMed's syntax can be sent to PubMed only; leave it out to search a folder"
            return Retrieval(question.id, (), outcome=RetrievalOutcome.FAILED, error=error)
        words = " ".join(query_words(question.text))
        try:
            scored = self._search(question.text, limit)
        except BioqaError as exc:
            return Retrieval(question.id, (), outcome=RetrievalOutcome.FAILED, error=str(exc))
        hits = tuple(Hit(hit.pmid, rank, hit.score) for rank, hit in enumerate(scored, start=1))
        attempt = QueryAttempt(level=0, term=words, translation="BM25 over title and abstract", count=len(hits))
        outcome = RetrievalOutcome.OK if hits else RetrievalOutcome.NO_HITS
        return Retrieval(question.id, hits, attempts=(attempt,), outcome=outcome)

    def _search(self, text: str, limit: int) -> list[ScoredPmid]:
        """The best of the index. Where a name reads like a word without content there (ALL, NO), only those that write
        it in capitals, if there are any: all others have the word, too."""
        names = [re.compile(rf"\b{word.text.upper()}\b") for word in question_words(text) if word.is_stop_word]
        if not names:
            return self._ranked(text, limit)
        scored = self._ranked(text, max(limit, min(limit * _LOOKED_AT_FOR_NAMES, _MOST_LOOKED_AT)))
        said = {
            abstract.pmid: sum(bool(name.search(f"{abstract.title} {abstract.text}")) for name in names)
            for abstract in self.store.get([hit.pmid for hit in scored])
        }
        naming = [hit for hit in scored if said.get(hit.pmid)]
        return sorted(naming or scored, key=lambda hit: -said.get(hit.pmid, 0))[:limit]

    def _ranked(self, text: str, limit: int) -> list[ScoredPmid]:
        return self._index.search(text, limit, self._dates, self._filters.wanted())

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        """Says which PMIDs are not in the folder; all others are in the store already."""
        asked = dict.fromkeys(pmids)
        absent = asked.keys() - set(self.store.index(list(asked))["pmid"].to_list())
        deleted = self.store.deleted(absent)
        bad = {record.pmid: f"{name}: {record.reason}" for name, record in self._state.bad_records()} if absent else {}
        if progress:
            progress(len(pmids))
        return [self._missing(pmid, pmid in deleted, bad.get(pmid)) for pmid in asked if pmid in absent]

    def describe(self) -> dict[str, str]:
        """Folder, files and what of them could not be used."""
        files, n_all = self._state.files, len(self._index)
        bad = [f"PMID {r.pmid} ({name}): {r.reason}" for name, r in self._state.bad_records()][:_NAMED_BAD_RECORDS]
        return {
            "kind": self.name,
            "folder": str(self._folder),
            "generation": self.store.path.name,
            "files": str(len(files)),
            "last_file": next(reversed(files), ""),
            "abstracts": str(n_all),
            "without_abstract": str(self._state.n_without_abstract or 0),
            "filters": self._filters.described(),
            "left_out_by_filters": f"{n_all - self._n_searched:,} of {n_all:,} records" if self._filters else "",
            "bad_records": str(self._state.n_bad),
            "bad_record_examples": "; ".join(bad),
            "not_read": f"{len(self._not_read)} paths: {first_few(self._not_read, NAMED)}" if self._not_read else "",
            "import_report": str(self.store.path / STATE_FILE),
            "replaced_generations": ", ".join(self._replaced),
            "dates": "; ".join(
                f"{d.field} from {d.first or 'the first'} to {d.last or 'the last'}" for d in self._dates
            ),
        }

    def _missing(self, pmid: int, is_deleted: bool, bad: str | None) -> Missing:
        if is_deleted:
            return Missing(pmid, FetchStatus.DELETED, "PubMed has deleted the record")
        if bad is not None:
            return Missing(pmid, FetchStatus.PARSE_ERROR, bad)
        return Missing(pmid, FetchStatus.NOT_FOUND, f"no file in {self._folder} has it")

    def _say_what_is_left_out(self, listing: Listing, state: ImportState) -> None:
        if paths := listing.not_read:
            logger.warning("%s: %d paths are not read: %s", self._folder, len(paths), first_few(paths, NAMED))
        for year in listing.superseded:
            logger.warning(
                "%s: the files of pubmed%02d are left out, those of pubmed%02d replace them",
                self._folder, year, listing.year,
            )  # fmt: skip
        if gone := stale_files(listing, state):
            logger.warning(
                "%s: what came from %s in its earlier form stays until the next baseline; delete %s to import anew",
                self._folder, ", ".join(sorted(gone)), self.store.path,
            )  # fmt: skip


def _generation(home: Path, listing: Listing) -> Path:
    """The folder of what is imported together.

    Each year's baseline replaces everything of the year before. A folder without numbered files is small: when one of
    them changed or is gone, all are imported anew, so that nothing stays that is in none of them.
    """
    if listing.year is not None:
        return home / f"pubmed{listing.year:02d}"
    for path in sorted(home.glob("records-*")):
        if not stale_files(listing, ImportState.load(AbstractStore(path))):
            return path
    return home / f"records-{secrets.token_hex(4)}"


def _date_ranges(config: SourceConfig, since: datetime | None) -> tuple[DateRange, ...]:
    ranges = []
    if config.mindate is not None or config.maxdate is not None:
        if config.datetype == "edat":
            raise ConfigError(
                "PubMed's files do not tell when a record was entered: use `datetype pdat` or `datetype mdat`"
            )
        field: Literal["published", "revised"] = "published" if config.datetype == "pdat" else "revised"
        ranges.append(DateRange(field, config.mindate, config.maxdate))
    if since is not None:
        ranges.append(DateRange("arrived", since))
    return tuple(ranges)
