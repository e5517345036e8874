"""The abstracts of a store ranked for a question: BM25 over title and abstract, on disk, kept up with the store.

The index holds the current records that have an abstract, or a title at least, words folded to stems and plain letters,
and what they can be filtered by (`documents`). It says itself up to which part of the store it has come, in the same
commit, so a kill costs at most the parts since; readers see whole commits. One that is missing, damaged or of another
version is made anew from the store. One process may update it at a time. Knows nothing about where records come from.

A question becomes a sum over its words, names weighted up, without phrases and so without positions on disk: phrases of
neighbouring words ranked no better (mean reciprocal rank 0.85 with and without, tests/data/retrieval_questions.tsv),
and joined forms of names ("IL-6" as "il6") neither. No text is ever parsed as a query.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tantivy
from tantivy import Document, FieldType, Index, Occur, Query

from bioqa_pipeline.abstracts.documents import FIELDS, WORDS, DateRange, analyzer, document, moment, query_words, schema
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.storage.folder import refuse_link

logger = logging.getLogger(__name__)

VERSION = 2
# Without what records are filtered by; good for searches that filter nothing.
_UNFILTERED = "v1"
# Parts are committed together until so many records have come: each commit costs a merge later.
COMMIT_RECORDS = 300_000
HEAP_BYTES = 256_000_000
_MAX_THREADS = 4
_PROGRESS_PMID = 0
# Equal scores are ordered by PMID, over this many records beyond the limit.
_TIES = 50
_COLUMNS = ("title", "text", "journal", "pub_date", "date_revised", "fetched_at", "details")
# Kind -> the values of which a record must have one.
Wanted = Mapping[str, frozenset[str]]
_ALL: Wanted = {}


@dataclass(frozen=True, slots=True)
class ScoredPmid:
    """A record that has words of the question; higher scores are better and mean nothing across questions."""

    pmid: int
    score: float


class FullTextIndex:
    """An index in a folder of its own.

    Args:
        path: the folder; made by `update`.
        with_titles: it holds the records, too, that have a title alone. It is an index of its own, so that it does not
            change how records with an abstract are ranked among themselves.
        can_filter: records can be searched by what they are; an index of an earlier version is made anew for that.
    """

    def __init__(self, path: Path, *, with_titles: bool = False, can_filter: bool = False) -> None:
        self.path = path
        self._with_titles = with_titles
        self._folder = path / f"v{VERSION}{'-titles' * with_titles}"
        old = path / _UNFILTERED
        if not (with_titles or can_filter or self._folder.exists()) and (old / "meta.json").exists():
            self._folder = old
        self._searcher: tantivy.Searcher | None = None
        self._schema = schema(filtered=self._folder != old)

    def update(self, store: AbstractStore, *, progress: Callable[[int], None] | None = None) -> None:
        """Takes up what the store has got since; for one process at a time.

        Args:
            progress: called with the number of records that were added.

        Raises:
            SourceError: the index cannot be written.
        """
        with _explained(self._folder):
            self._searcher = None
            refuse_link(self.path)
            index, done = self._usable()
            latest = store.latest_part()
            if index is None or done > latest:
                index, done = self._new(), 0
            elif done == latest:
                return
            self._take_up(index, store, done, progress or (lambda added: None))

    def discard(self) -> None:
        """Deletes the index, so that the next update makes it anew."""
        with _explained(self._folder):
            self._searcher = None
            shutil.rmtree(self.path, ignore_errors=True)

    def search(
        self, question: str, limit: int, dates: Sequence[DateRange] = (), wanted: Wanted = _ALL
    ) -> list[ScoredPmid]:
        """The records that fit best, best first, none twice.

        Args:
            wanted: as of `RecordFilters.wanted`.

        Raises:
            SourceError: there is no index, or it cannot be read.
        """
        if not (weights := query_words(question)):
            return []
        with _explained(self._folder):
            searcher = self._open()
            query = self._query(weights, dates, wanted)
            hits = searcher.search(query, limit=limit + _TIES, count=False).hits
            pmids = searcher.fast_field_values("pmid", [address for _, address in hits])
        scored = [ScoredPmid(int(pmid or 0), score) for pmid, (score, _) in zip(pmids, hits, strict=True)]
        return sorted(scored, key=lambda hit: (-hit.score, hit.pmid))[:limit]

    def count(self, wanted: Wanted) -> int:
        """The number of records that pass a filter."""
        with _explained(self._folder):
            found = self._open().search(Query.boolean_query(self._passing(wanted)), limit=1, count=True)
        return int(found.count or 0)  # type: ignore[attr-defined]  # the stubs are older

    def __len__(self) -> int:
        """The number of records in the index."""
        with _explained(self._folder):
            return self._open().num_docs - 1

    def _open(self) -> tantivy.Searcher:
        if self._searcher is None:
            self._searcher = _open(self._folder).searcher()
        return self._searcher

    def _usable(self) -> tuple[Index | None, int]:
        """The index on disk and how far it has come; None if it must be made anew."""
        if not (self._folder / "meta.json").exists():
            return None, 0
        try:
            index = _open(self._folder)
            return index, _progress(index)
        except ValueError as exc:
            logger.warning("%s: the full-text index is made anew: %s", self._folder, exc)
            return None, 0

    def _new(self) -> Index:
        kept = {f"v{VERSION}", f"v{VERSION}-titles"} | ({_UNFILTERED} if self._with_titles else set())
        for folder in list(self.path.iterdir()) if self.path.exists() else ():
            if folder == self._folder or folder.name not in kept:
                if folder.name == _UNFILTERED and folder != self._folder:
                    logger.warning("%s: the full-text index is made anew, with what records are filtered by", self.path)
                _delete(folder)
        self._folder.mkdir(parents=True)
        return _with_analyzer(Index(self._schema, path=str(self._folder)))

    def _take_up(self, index: Index, store: AbstractStore, done: int, progress: Callable[[int], None]) -> None:
        writer = index.writer(HEAP_BYTES, min(_MAX_THREADS, os.cpu_count() or 1))
        waiting, last = 0, done
        for changes in store.changes(done, _COLUMNS):
            if changes.part > last and waiting >= COMMIT_RECORDS:
                _commit(writer, last)
                waiting = 0
            last = changes.part
            if done:
                for pmid in (*changes.deleted, *(row["pmid"] for row in changes.current)):
                    writer.delete_documents_by_term("pmid", pmid)
            added = [row for row in changes.current if row["text"] or (self._with_titles and row["title"])]
            for row in added:
                writer.add_document(document(row, filtered=self._folder.name != _UNFILTERED))
            waiting += len(added)
            progress(len(added))
        _commit(writer, last)
        writer.wait_merging_threads()

    def _query(self, weights: Mapping[str, float], dates: Sequence[DateRange], wanted: Wanted) -> Query:
        words = [
            (Occur.Should, Query.boost_query(Query.term_query(self._schema, field, word, "freq"), boost * weight))
            for word, weight in weights.items()
            for field, boost in FIELDS.items()
        ]
        query = Query.boolean_query(words)
        filters = [(Occur.Must, Query.const_score_query(self._date_query(dated), 0.0)) for dated in dates]
        filters += self._passing(wanted)
        return Query.boolean_query([(Occur.Must, query), *filters]) if filters else query

    def _passing(self, wanted: Wanted) -> list[tuple[Occur, Query]]:
        """For each kind a query for the records that have one of its values."""
        kinds = []
        for kind, values in wanted.items():
            terms = [(Occur.Should, Query.term_query(self._schema, kind, value, "basic")) for value in sorted(values)]
            kinds.append((Occur.Must, Query.const_score_query(Query.boolean_query(terms), 0.0)))
        return kinds

    def _date_query(self, dated: DateRange) -> Query:
        first, last = (None if end is None else moment(end) for end in (dated.first, dated.last))
        return Query.range_query(self._schema, dated.field, FieldType.Integer, first, last)


def _open(folder: Path) -> Index:
    return _with_analyzer(Index.open(str(folder)))


def _with_analyzer(index: Index) -> Index:
    index.register_tokenizer(WORDS, analyzer())
    index.config_reader("manual")
    return index


def _progress(index: Index) -> int:
    """The part of the store up to which the index has come: a document of its own says so."""
    searcher = index.searcher()
    hits = searcher.search(Query.term_query(index.schema, "pmid", _PROGRESS_PMID), limit=1).hits
    (part,) = searcher.fast_field_values("part", [address for _, address in hits]) or (0,)
    return int(part or 0)


def _commit(writer: tantivy.IndexWriter, part: int) -> None:
    writer.delete_documents_by_term("pmid", _PROGRESS_PMID)
    document = Document()
    document.add_integer("pmid", _PROGRESS_PMID)
    document.add_integer("part", part)
    writer.add_document(document)
    writer.commit()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """tantivy's errors as SourceError; an index that is damaged is given up, so that the next update makes it anew."""
    try:
        yield
    except BaseException as exc:
        if _is_damage(exc):
            (folder / "meta.json").unlink(missing_ok=True)
            raise SourceError(f"{folder}: the full-text index is damaged ({exc}); the next run makes it anew") from exc
        if not isinstance(exc, (ValueError, OSError)):
            raise
        raise SourceError(
            f"{folder}: the full-text index cannot be used: {exc}; delete the folder if this happens again"
        ) from exc


def _is_damage(error: BaseException) -> bool:
    """tantivy panics over damage inside a file, which is no Exception, and names that of a file's footer."""
    if type(error).__name__ == "PanicException":
        return True
    return isinstance(error, ValueError) and any(
        mark in str(error) for mark in ("InvalidData", "UnexpectedEof", "corrupt")
    )
