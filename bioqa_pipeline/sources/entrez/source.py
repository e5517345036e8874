"""Source `pubmed`: questions and PMIDs answered by NCBI's E-utilities, as they are today.

Requests are those of Bio.Entrez, sent over httpx. Records go to the store and are fetched again when they are
older than `ttl_days`, so that revisions and retractions arrive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from pydantic import SecretStr

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.pubmed.fields import MAX_PMID
from bioqa_pipeline.questions.query import QueryFilters
from bioqa_pipeline.records.texts import FetchStatus, Missing, Question, Retrieval
from bioqa_pipeline.sources.entrez.client import EntrezClient
from bioqa_pipeline.sources.entrez.fetch import Fetcher
from bioqa_pipeline.sources.entrez.identifiers import pmids_of
from bioqa_pipeline.sources.entrez.search import SearchPlan, search_question, since_day
from bioqa_pipeline.sources.entrez.settings import (
    EntrezSettings,
    resolve_api_key,
    resolve_email,
)

logger = logging.getLogger(__name__)

STORE_FOLDER = "pubmed"


class EntrezSource:
    """PubMed through E-utilities; threads may share one.

    Args:
        store: where records are kept.
        config: dates, datetype, filters, sort and e-mail address.
        api_key: raises the rate from 3 to 10 requests a second; None takes NCBI_API_KEY where that is set.
        since: only records entered or revised on that day or later, by search; the caller subtracts an overlap.
        with_titles: searches find records without an abstract, too.

    Raises:
        ConfigError: there is no e-mail address.
        SourceError: the file that keeps the request rate cannot be used.
    """

    name = "pubmed"

    def __init__(
        self,
        store: AbstractStore,
        config: SourceConfig,
        *,
        settings: EntrezSettings | None = None,
        api_key: SecretStr | None = None,
        since: datetime | None = None,
        with_titles: bool = False,
    ) -> None:
        self.store = store
        self._settings = settings or EntrezSettings()
        key = resolve_api_key(api_key)
        self._has_key = key is not None
        self._client = EntrezClient(self._settings, email=resolve_email(config.email), api_key=key)
        self._plan = SearchPlan(
            filters=QueryFilters(
                has_abstract=not with_titles,
                records=config.filters(),
                mindate=config.mindate,
                maxdate=config.maxdate,
                datetype=config.datetype,
            ),
            sort=config.sort,
            enough_hits=self._settings.enough_hits,
            since=since_day(since),
        )

    def search(self, question: Question, limit: int) -> Retrieval:
        """At most `limit` PMIDs, ranked; a search that fails is a `Retrieval` that says so, not an exception."""
        return search_question(question, limit, self._plan, self._client)

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        """Fetches what the store lacks or has had for too long; each batch is kept as soon as it has come.

        Raises:
            StoreError: the store cannot be written.
        """
        distinct = list(dict.fromkeys(pmids))
        asked = [pmid for pmid in distinct if 0 < pmid <= MAX_PMID]
        missing = [
            Missing(pmid, FetchStatus.NOT_FOUND, "no PMID has such a number")
            for pmid in distinct
            if not 0 < pmid <= MAX_PMID
        ]
        self.store.repair()
        stored = self.store.index(asked)
        known = set(stored["pmid"].to_list())
        now = datetime.now(UTC)
        oldest = now - timedelta(days=self._settings.ttl_days)
        # What comes from the future came before the clock was set back, nobody knows when.
        fresh = set(stored.filter(pl.col("fetched_at").is_between(oldest, now))["pmid"].to_list())
        if progress:
            progress(len(pmids) - len(asked) + len(fresh))
        todo = [pmid for pmid in asked if pmid not in fresh]
        if todo:
            logger.info("%d of %d records are to be fetched", len(todo), len(distinct))
        fetcher = Fetcher(
            self._client, self.store, batch_size=self._settings.batch_size, known=known, progress=progress
        )
        return missing + fetcher.run(todo)

    def pmids_of(self, identifiers: Sequence[str]) -> dict[str, int]:
        """The PMIDs of DOIs and PMCIDs that PubMed has one record of."""
        return pmids_of(identifiers, self._client)

    def describe(self) -> dict[str, str]:
        """Address, filters and freshness; neither key nor e-mail address."""
        filters = self._plan.filters
        return {
            "kind": self.name,
            "base_url": self._settings.base_url,
            "api_key": "yes" if self._has_key else "no",
            "sort": self._plan.sort,
            "datetype": filters.datetype,
            "mindate": str(filters.mindate or ""),
            "maxdate": str(filters.maxdate or ""),
            "since": str(self._plan.since or ""),
            "has_abstract": str(filters.has_abstract),
            "filters": " AND ".join(filters.records.terms()),
            "ttl_days": str(self._settings.ttl_days),
        }
