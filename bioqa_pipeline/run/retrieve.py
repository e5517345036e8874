"""Questions into ranked PMIDs: every question is searched for, some at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from bioqa_pipeline.records.texts import Question, Retrieval, RetrievalOutcome
from bioqa_pipeline.run.executor import in_flight
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.sources.base import Source

logger = logging.getLogger(__name__)

# One search waits for PubMed's answer most of its time; so many fill the rate that PubMed allows.
SEARCHES_AT_ONCE = 4
# Searches that may wait behind a slow one.
SEARCHES_AHEAD = 64
# Searches without a result that the log names, and searches whose queries it tells.
NAMED, TOLD = 20, 100
# So many searches after each other that the service did not answer, and the others are not tried: each would take its
# tries and waits, a hundred thousand of them weeks.
MOST_UNANSWERED = 40


def retrieve(
    questions: Sequence[Question], source: Source, limit: int, *, progress: Progress | None = None
) -> list[Retrieval]:
    """Searches for every question, some at once; one that fails is reported in its `Retrieval`, the others go on.

    Where the service has stopped answering, the questions that are left are reported as failed without being asked.
    """
    retrievals: list[Retrieval] = []
    log, gave_up, n_unanswered = _SearchLog(), "", 0

    def submit(question: Question) -> Future[Retrieval] | None:
        return None if gave_up else pool.submit(copy_context().run, source.search, question, limit)

    with ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="search") as pool:
        try:
            for question, search in zip(questions, in_flight(questions, submit, SEARCHES_AHEAD), strict=True):
                retrieval = search.result() if search and not (gave_up and search.cancel()) else None
                if retrieval is None:
                    retrieval = Retrieval(question.id, (), outcome=RetrievalOutcome.FAILED, error=gave_up)
                n_unanswered = n_unanswered + 1 if retrieval.is_unanswered else 0
                if n_unanswered == MOST_UNANSWERED and not gave_up:
                    gave_up = f"not searched for: {MOST_UNANSWERED} searches before it got no answer: {retrieval.error}"
                log.add(question, retrieval)
                retrievals.append(retrieval)
                if progress:
                    progress(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    log.sum_up(len(questions))
    return retrievals


class _SearchLog:
    """Names the first searches that came to nothing, and counts the others."""

    def __init__(self) -> None:
        self._n_told = 0
        self._without = {RetrievalOutcome.NO_HITS: 0, RetrievalOutcome.FAILED: 0}

    def add(self, question: Question, retrieval: Retrieval) -> None:
        if retrieval.outcome in self._without:
            if sum(self._without.values()) < NAMED:
                logger.warning("%s (%s): %s", question.text, question.id, retrieval.error or "nothing found")
            self._without[retrieval.outcome] += 1
        if self._n_told < TOLD:
            for attempt in retrieval.attempts:
                logger.info("%s: %d records: %s", question.id, attempt.count, attempt.term)
                # Half a page for each question, and in the data set: in runs/, with the run's searches.
                logger.debug("%s: understood as %s", question.id, attempt.translation)
            self._n_told += 1

    def sum_up(self, n_questions: int) -> None:
        if sum(self._without.values()) > NAMED:
            logger.warning(
                "of %d searches %d found nothing and %d failed; the first %d are named above",
                n_questions,
                self._without[RetrievalOutcome.NO_HITS],
                self._without[RetrievalOutcome.FAILED],
                NAMED,
            )
