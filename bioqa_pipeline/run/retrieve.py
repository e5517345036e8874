"""Questions into ranked PMIDs: every question is searched for, some at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from bioqa_pipeline.records.texts import Question, Retrieval, RetrievalOutcome
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.sources.base import Source

logger = logging.getLogger(__name__)

# One search waits for PubMed's answer most of its time; so many fill the rate that PubMed allows.
SEARCHES_AT_ONCE = 4


def retrieve(
    questions: Sequence[Question], source: Source, limit: int, *, progress: Progress | None = None
) -> list[Retrieval]:
    """Searches for every question, some at once; one that fails is reported in its `Retrieval`, the others go on."""
    retrievals = []
    with ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="search") as pool:
        searches = [pool.submit(copy_context().run, source.search, question, limit) for question in questions]
        try:
            for question, search in zip(questions, searches, strict=True):
                retrieval = search.result()
                _log_retrieval(question, retrieval)
                retrievals.append(retrieval)
                if progress:
                    progress(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return retrievals


def _log_retrieval(question: Question, retrieval: Retrieval) -> None:
    if retrieval.outcome is not RetrievalOutcome.OK:
        logger.warning("%s (%s): %s", question.text, question.id, retrieval.error or "nothing found")
    for attempt in retrieval.attempts:
        logger.info("%s: %d records: %s", question.id, attempt.count, attempt.translation or attempt.term)
