"""What filters leave out of records that are there, for sources that cannot search by them."""

from __future__ import annotations

from collections.abc import Sequence

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.questions.record_filters import RecordFilters
from bioqa_pipeline.records.texts import FetchStatus, Missing


def also_filtered(
    filters: RecordFilters, missing: list[Missing], store: AbstractStore, pmids: Sequence[int]
) -> list[Missing]:
    """What is missing, and of the rest in the store what does not pass, each with the reason."""
    if not filters:
        return missing
    absent = {m.pmid for m in missing}
    there = store.get([pmid for pmid in dict.fromkeys(pmids) if pmid not in absent])
    left_out = ((record.pmid, filters.left_out(record)) for record in there)
    return [*missing, *(Missing(pmid, FetchStatus.FILTERED, why) for pmid, why in left_out if why)]
