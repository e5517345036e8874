"""The abstracts of a store ranked for a question: BM25 over title and abstract, on disk, kept up with the store.

The index holds the current records that have an abstract, words folded to stems and plain letters. It says itself up to
which part of the store it has come, in the same commit, so a kill costs at most the parts since; readers see whole
commits. One that is missing, damaged or of another version is made anew from the store. One process may update it at a
time. Knows nothing about where records come from.

A question becomes a sum over its words, names weighted up, without phrases and so without positions on disk: phrases of
neighbouring words ranked no better (mean reciprocal rank 0.85 with and without, tests/data/retrieval_questions.tsv),
and joined forms of names ("IL-6" as "il6") neither. No text is ever parsed as a query.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import tantivy
from tantivy import Document, FieldType, Index, Occur, Query

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.errors import SourceError, SourceErrorKind
from bioqa_pipeline.questions.terms import question_words
from bioqa_pipeline.storage.folder import refuse_link

logger = logging.getLogger(__name__)

VERSION = 1
TITLE_WEIGHT = 0.5
NAME_WEIGHT = 1.5
# Parts are committed together until so many records have come: each commit costs a merge later.
COMMIT_RECORDS = 300_000
HEAP_BYTES = 256_000_000
_MAX_THREADS = 4
_LONGEST_WORD_BYTES = 64
_ANALYZER = "words"
_FIELDS = {"title": TITLE_WEIGHT, "text": 1.0}
_PROGRESS_PMID = 0
# Equal scores are ordered by PMID, over this many records beyond the limit.
_TIES = 50
_COLUMNS = ("title", "text", "pub_date", "date_revised", "fetched_at")
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


@dataclass(frozen=True, slots=True)
class DateRange:
    """Only records whose date lies in a range with one end or two, included; records without the date are left out.

    Attributes:
        field: "published" or "revised", a month or a year standing for its first day; "arrived", when the store got
            the record.
    """

    field: Literal["published", "revised", "arrived"]
    first: datetime | date | None = None
    last: datetime | date | None = None


@dataclass(frozen=True, slots=True)
class ScoredPmid:
    """A record that has words of the question; higher scores are better and mean nothing across questions."""

    pmid: int
    score: float


class FullTextIndex:
    """An index in a folder of its own.

    Args:
        path: the folder; made by `update`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = path / f"v{VERSION}"
        self._searcher: tantivy.Searcher | None = None
        self._schema = _schema()

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

    def search(self, question: str, limit: int, dates: Sequence[DateRange] = ()) -> list[ScoredPmid]:
        """The records that fit best, best first, none twice.

        Raises:
            SourceError: there is no index, or it cannot be read.
        """
        if not (weights := query_words(question)):
            return []
        with _explained(self._folder):
            searcher = self._open()
            query = self._query(weights, dates)
            hits = searcher.search(query, limit=limit + _TIES, count=False).hits
            pmids = searcher.fast_field_values("pmid", [address for _, address in hits])
        scored = [ScoredPmid(int(pmid or 0), score) for pmid, (score, _) in zip(pmids, hits, strict=True)]
        return sorted(scored, key=lambda hit: (-hit.score, hit.pmid))[:limit]

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
        if self.path.exists():
            shutil.rmtree(self.path)
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
            added = [row for row in changes.current if row["text"]]
            for row in added:
                writer.add_document(_document(row))
            waiting += len(added)
            progress(len(added))
        _commit(writer, last)
        writer.wait_merging_threads()

    def _query(self, weights: Mapping[str, float], dates: Sequence[DateRange]) -> Query:
        words = [
            (Occur.Should, Query.boost_query(Query.term_query(self._schema, field, word, "freq"), boost * weight))
            for word, weight in weights.items()
            for field, boost in _FIELDS.items()
        ]
        query = Query.boolean_query(words)
        if not dates:
            return query
        filters = [(Occur.Must, Query.const_score_query(self._date_query(dated), 0.0)) for dated in dates]
        return Query.boolean_query([(Occur.Must, query), *filters])

    def _date_query(self, dated: DateRange) -> Query:
        first, last = (None if end is None else _moment(end) for end in (dated.first, dated.last))
        return Query.range_query(self._schema, dated.field, FieldType.Integer, first, last)


def query_words(question: str) -> dict[str, float]:
    """The words of a question as the index holds them, with their weights."""
    weights: dict[str, float] = {}
    for word in question_words(question):
        for spelling in word.spellings:
            for stem in _analyzer().analyze(spelling):
                weights.setdefault(stem, NAME_WEIGHT if word.core else 1.0)
    return weights


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("pmid", indexed=True, fast=True)
    for name in ("part", "published", "revised", "arrived"):
        builder.add_integer_field(name, fast=True)
    for name in _FIELDS:
        builder.add_text_field(name, tokenizer_name=_ANALYZER, index_option="freq")
    return builder.build()


@lru_cache(maxsize=1)
def _analyzer() -> tantivy.TextAnalyzer:
    """As tantivy's en_stem, with accents folded and longer words."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(_LONGEST_WORD_BYTES))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def _open(folder: Path) -> Index:
    return _with_analyzer(Index.open(str(folder)))


def _with_analyzer(index: Index) -> Index:
    index.register_tokenizer(_ANALYZER, _analyzer())
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


def _document(row: Mapping[str, Any]) -> Document:
    document = Document()
    document.add_integer("pmid", row["pmid"])
    document.add_text("title", row["title"])
    document.add_text("text", row["text"])
    document.add_integer("arrived", _moment(row["fetched_at"]))
    for field, text in (("published", row["pub_date"]), ("revised", row["date_revised"])):
        if match := _DATE.match(text):
            year, month, day = match.groups()
            document.add_integer(field, int(year) * 10_000 + int(month or 1) * 100 + int(day or 1))
    return document


def _moment(value: date | datetime) -> int:
    """A time as microseconds since 1970, a day as yyyymmdd."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1_000_000)
    return value.year * 10_000 + value.month * 100 + value.day


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """tantivy's errors as SourceError; an index that is damaged is given up, so that the next update makes it anew."""
    try:
        yield
    except BaseException as exc:
        if _is_damage(exc):
            (folder / "meta.json").unlink(missing_ok=True)
            raise SourceError(
                f"{folder}: the full-text index is damaged ({exc}); the next run makes it anew",
                kind=SourceErrorKind.INDEX_DAMAGED,
            ) from exc
        if not isinstance(exc, (ValueError, OSError)):
            raise
        raise SourceError(
            f"{folder}: the full-text index cannot be used: {exc}; delete the folder if this happens again",
            kind=SourceErrorKind.INDEX_UNUSABLE,
        ) from exc


def _is_damage(error: BaseException) -> bool:
    """tantivy panics over damage inside a file, which is no Exception, and names that of a file's footer."""
    if type(error).__name__ == "PanicException":
        return True
    return isinstance(error, ValueError) and any(
        mark in str(error) for mark in ("InvalidData", "UnexpectedEof", "corrupt")
    )
