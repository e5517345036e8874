"""PMIDs into records in the store: in batches, each committed as it comes.

EFetch answers by omission: what was asked for is compared with what came, and what did not come is asked for again
before it counts as missing. Every PMID ends in the store or as one `Missing`. Knows nothing of searches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from bioqa_pipeline.abstracts.locator import batched
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.errors import SourceError, SourceErrorKind
from bioqa_pipeline.records.texts import Abstract, FetchStatus, Missing
from bioqa_pipeline.sources.entrez.client import EntrezClient, FetchAnswer

logger = logging.getLogger(__name__)

ORIGIN = "eutils"
# Rounds in which PMIDs that did not come, or came unreadable, are asked for again.
AGAIN = 2
# A batch that cannot be read is halved until the record that spoils it is alone, with at most so many requests.
MAX_SPLITS = 64
# Records that the log names for each reason.
NAMED = 10
_SPLIT_KINDS = (SourceErrorKind.UNREADABLE, SourceErrorKind.TOO_LARGE)


@dataclass(slots=True)
class _Outcome:
    """What became of some PMIDs: each is in one of the two."""

    records: dict[int, Abstract] = field(default_factory=dict)
    missing: dict[int, Missing] = field(default_factory=dict)

    def add(self, other: _Outcome) -> _Outcome:
        self.records |= other.records
        self.missing |= other.missing
        return self


class Fetcher:
    """Fetches for one call of `ensure`.

    Args:
        known: PMIDs of which the store has an old record: where a new one cannot be had it goes on being used, unless
            the service has deleted it.
        progress: called with the number of PMIDs that were settled.
    """

    def __init__(
        self,
        client: EntrezClient,
        store: AbstractStore,
        *,
        batch_size: int,
        known: Collection[int] = (),
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._client, self._store, self._batch_size = client, store, batch_size
        self._known = frozenset(known)
        self._progress = progress or (lambda settled: None)
        self._splits_left = MAX_SPLITS

    def run(self, pmids: Sequence[int]) -> list[Missing]:
        """Fetches distinct PMIDs and returns those that cannot be had."""
        unsettled = list(pmids)
        missing: dict[int, Missing] = {}
        for n_round in range(AGAIN + 1):
            again = []
            for batch in batched(unsettled, self._batch_size):
                outcome = self._fetch(batch)
                if outcome.records:
                    self._store.add(outcome.records.values(), origin=ORIGIN)
                missing |= outcome.missing
                unclear = [p for p, m in outcome.missing.items() if m.status is not FetchStatus.FETCH_ERROR]
                for pmid in outcome.records:
                    missing.pop(pmid, None)
                again += unclear if n_round < AGAIN else []
                self._progress(len(batch) - (len(unclear) if n_round < AGAIN else 0))
            unsettled = again
        return list(self._concluded(missing))

    def _concluded(self, missing: dict[int, Missing]) -> Iterator[Missing]:
        """A record that the service no longer has is deleted here, too; other old records are kept and used."""
        gone = {
            p
            for p, m in missing.items()
            if p in self._known and m.status in (FetchStatus.NOT_FOUND, FetchStatus.DELETED)
        }
        if gone:
            self._store.add((), origin=ORIGIN, deleted=tuple(gone))
        n_kept = 0
        for pmid, entry in missing.items():
            if pmid in gone:
                yield Missing(pmid, FetchStatus.DELETED, "PubMed no longer has the record that it had")
            elif pmid in self._known:
                n_kept += 1
                if n_kept <= NAMED:
                    logger.warning("PMID %d stays as it was fetched before: %s", pmid, entry.reason)
            else:
                yield entry
        if n_kept > NAMED:
            logger.warning("%d records stay as they were fetched before; the first %d are named", n_kept, NAMED)

    def _fetch(self, batch: Sequence[int]) -> _Outcome:
        """One batch, by halves where it cannot be read as a whole."""
        try:
            return _matched(batch, self._client.fetch(batch))
        except SourceError as exc:
            kind, reason = exc.kind, str(exc)
        if kind is SourceErrorKind.NO_IDS:
            return _all_missing(batch, FetchStatus.NOT_FOUND, "PubMed has no record of this number")
        if kind in _SPLIT_KINDS and len(batch) > 1 and self._splits_left > 0:
            self._splits_left -= 1
            middle = len(batch) // 2
            return self._fetch(batch[:middle]).add(self._fetch(batch[middle:]))
        is_unreadable = kind is SourceErrorKind.UNREADABLE
        return _all_missing(batch, FetchStatus.PARSE_ERROR if is_unreadable else FetchStatus.FETCH_ERROR, reason)


def _matched(batch: Sequence[int], answer: FetchAnswer) -> _Outcome:
    """What came of what was asked.

    Raises:
        SourceError: kind "unreadable", there are some that do not say whose they are.
    """
    asked = set(batch)
    outcome = _Outcome()
    strangers = [record.pmid for record in answer.records if record.pmid not in asked]
    if strangers:
        first = ", ".join(map(str, strangers[:NAMED]))
        logger.warning("EFetch gave %d PMIDs that were not asked for, left out: %s", len(strangers), first)
    for record in answer.records:
        if record.pmid not in asked:
            continue
        other = outcome.records.get(record.pmid)
        if other is None or record.version >= other.version:
            outcome.records[record.pmid] = record
    for pmid in answer.deleted:
        if pmid in asked and pmid not in outcome.records:
            outcome.missing[pmid] = Missing(pmid, FetchStatus.DELETED, "PubMed deleted the record")
    for bad in answer.bad:
        if bad.pmid in asked and bad.pmid not in outcome.records:
            outcome.missing[bad.pmid] = Missing(bad.pmid, FetchStatus.PARSE_ERROR, bad.reason)
    absent = [p for p in batch if p not in outcome.records and p not in outcome.missing]
    unnamed = [bad.reason for bad in answer.bad if bad.pmid is None]
    if absent and unnamed:
        raise SourceError(f"records without a readable PMID: {unnamed[0]}", kind=SourceErrorKind.UNREADABLE)
    for pmid in absent:
        outcome.missing[pmid] = Missing(pmid, FetchStatus.NOT_FOUND, "PubMed has no record of this number")
    return outcome


def _all_missing(batch: Sequence[int], status: FetchStatus, reason: str) -> _Outcome:
    return _Outcome(missing={pmid: Missing(pmid, status, reason) for pmid in batch})
