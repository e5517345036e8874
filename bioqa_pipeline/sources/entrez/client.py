"""Calls of ESearch and EFetch: a term into PMIDs in rank order, PMIDs into records.

Knows the limits of PubMed (9,999 hits of one query, 200 PMIDs of one request), nothing of questions and stores.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

from pydantic import SecretStr

from bioqa_pipeline.errors import RetryableSourceError, SourceError, SourceErrorKind
from bioqa_pipeline.pubmed.xml import BadRecord, DeletedRecord, parse_records
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.entrez.responses import SearchAnswer, decode_count, decode_search
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from bioqa_pipeline.sources.entrez.transport import EntrezTransport

logger = logging.getLogger(__name__)

FIRST_DAY = date(1700, 1, 1)
# Searches by entry date of one query; a million hits take some 400.
MAX_RANGES = 2000
_SEARCH_ROOTS = ("eSearchResult",)
_SET_ROOTS = ("PubmedArticleSet",)


@dataclass(frozen=True, slots=True)
class FetchAnswer:
    """The records of one EFetch answer, and those that could not be read."""

    records: tuple[Abstract, ...]
    bad: tuple[BadRecord, ...]
    deleted: tuple[int, ...]


class EntrezClient:
    """Searches and fetches; threads may share one."""

    def __init__(self, settings: EntrezSettings, *, email: str, api_key: SecretStr | None = None) -> None:
        self.settings = settings
        self._transport = EntrezTransport(settings, email=email, api_key=api_key)

    def search(self, term: str, wanted: int, *, sort: str, dates: Mapping[str, str]) -> SearchAnswer:
        """At most `wanted` PMIDs that match, in the order of `sort`.

        More than PubMed gives of one query come from one query for each of several ranges of entry dates, the newest
        first: the order then holds inside a range only, and a message says so.

        Args:
            dates: ESearch's datetype, mindate and maxdate; or empty.

        Raises:
            SourceError: the query cannot be answered.
        """
        params = {"sort": sort, **dates}
        answer = self._search(term, min(wanted, self.settings.max_hits), params)
        if wanted > self.settings.max_hits and answer.count > self.settings.max_hits:
            return self._search_by_date(term, wanted, params, answer)
        return answer

    def count(self, term: str, *, dates: Mapping[str, str]) -> int:
        """How many records match.

        Raises:
            SourceError: the query cannot be answered.
        """
        params = {"term": term, "rettype": "count", "retmode": "xml", **dates}
        return self._transport.call("esearch", params, decode_count, roots=_SEARCH_ROOTS)

    def fetch(self, pmids: Sequence[int]) -> FetchAnswer:
        """The records of at most `batch_size` PMIDs, as they come: some may be missing, doubled or not asked for.

        Raises:
            SourceError: there is no answer that could be read.
        """
        decode = partial(_decode_records, name=f"EFetch answer for {len(pmids)} PMIDs from {pmids[0]} on")
        params = {"id": ",".join(map(str, pmids)), "retmode": "xml"}
        return self._transport.call("efetch", params, decode, roots=_SET_ROOTS)

    def _search(self, term: str, size: int, params: Mapping[str, str]) -> SearchAnswer:
        sent = {"term": term, "retmode": "xml", "retmax": str(size), "retstart": "0", **params}
        answer = self._transport.call("esearch", sent, decode_search, roots=_SEARCH_ROOTS)
        return replace(answer, pmids=answer.pmids[:size])

    def _search_by_date(self, term: str, wanted: int, params: Mapping[str, str], whole: SearchAnswer) -> SearchAnswer:
        limit = self.settings.max_hits
        pmids: dict[int, None] = {}
        messages = [*whole.messages, f"more than {limit} hits: asked by entry date, newest first"]
        ranges = [(FIRST_DAY, datetime.now(UTC).date() + timedelta(days=366))]
        n_found = 0
        for _ in range(MAX_RANGES):
            if not ranges or len(pmids) >= wanted:
                break
            first, last = ranges.pop()
            part = self._search(f"({term}) AND {date_range(first, last, 'edat')}", limit, params)
            if part.count > limit and first < last:
                middle = first + (last - first) // 2
                ranges += [(first, middle), (middle + timedelta(days=1), last)]
                continue
            if part.count > limit:
                messages.append(f"{part.count} hits of {first}, of which PubMed gives {limit}")
            n_found += part.count
            pmids |= dict.fromkeys(part.pmids)
        if ranges and len(pmids) < wanted:
            messages.append(f"given up after {MAX_RANGES} searches by entry date")
        elif not ranges and n_found != whole.count:
            messages.append(f"{whole.count} hits in all, {n_found} by entry date")
        return replace(whole, pmids=tuple(pmids)[:wanted], messages=tuple(messages))


def date_range(first: date, last: date, field: str) -> str:
    """A term for the records of some days, both ends included."""
    return f'("{first:%Y/%m/%d}"[{field}] : "{last:%Y/%m/%d}"[{field}])'


def _decode_records(body: bytes, name: str) -> FetchAnswer:
    records: list[Abstract] = []
    bad: list[BadRecord] = []
    deleted: list[int] = []
    try:
        for item in parse_records(io.BytesIO(body), name=name):
            if isinstance(item, Abstract):
                records.append(item)
            elif isinstance(item, DeletedRecord):
                deleted.append(item.pmid)
            else:
                bad.append(item)
    except SourceError as exc:
        raise RetryableSourceError(str(exc), kind=SourceErrorKind.UNREADABLE) from exc
    return FetchAnswer(tuple(records), tuple(bad), tuple(deleted))
