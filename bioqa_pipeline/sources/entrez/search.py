"""One question into ranked PMIDs: the queries of its ladder, sent from strict to loose until there are enough hits.

Every query that was sent is recorded with what the service made of it. Knows nothing of connections and records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from bioqa_pipeline.errors import RetryableSourceError, SourceError
from bioqa_pipeline.questions.query import LadderStep, QueryFilters, build_queries, date_parameters
from bioqa_pipeline.records.texts import Hit, QueryAttempt, Question, Retrieval, RetrievalOutcome
from bioqa_pipeline.sources.entrez.client import EntrezClient, date_range
from bioqa_pipeline.sources.entrez.responses import SearchAnswer

_LAST_DAY = date(3000, 12, 31)
# A service that always finds another word to be unknown would be asked for each word of the question anew.
MOST_QUERIES = 40


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What is the same for all questions of a run.

    Attributes:
        enough_hits: a looser query is sent while there are fewer.
        since: only records entered or revised on this day or later. What is enough is then judged by all records:
            a day brings few, and looser queries would make up for it with what the question is not about.
    """

    filters: QueryFilters
    sort: str
    enough_hits: int
    since: date | None = None


def search_question(question: Question, limit: int, plan: SearchPlan, client: EntrezClient) -> Retrieval:
    """At most `limit` hits, those of stricter queries first.

    A request that fails ends the search with outcome FAILED; what was found before it stays in the result.
    """
    ladder = _Ladder(question, limit, plan, client)
    try:
        ladder.run()
    except SourceError as exc:
        query = f" (query: {ladder.pending})" if ladder.pending else ""
        failed = ladder.result(RetrievalOutcome.FAILED, f"{exc}{query}")
        return replace(failed, is_unanswered=isinstance(exc, RetryableSourceError))
    return ladder.result(RetrievalOutcome.OK if ladder.found else RetrievalOutcome.NO_HITS)


class _Ladder:
    def __init__(self, question: Question, limit: int, plan: SearchPlan, client: EntrezClient) -> None:
        self.question, self.limit, self.plan, self.client = question, limit, plan, client
        self.dates = date_parameters(plan.filters)
        self.enough = min(limit, plan.enough_hits)
        self.found: dict[int, int] = {}  # PMID into the strictest level that has it, in the order of that level
        self.attempts: list[QueryAttempt] = []
        self.sent: set[str] = set()
        self.pending = ""  # the query that is being asked
        self.missing: set[str] = set()

    def run(self) -> None:
        lowest = 0
        while len(self.sent) < MOST_QUERIES and (step := self._next(lowest)) is not None:
            answer = self._ask(step)
            if self._is_enough(step):
                return
            # Without a word that no record has, the strict queries may succeed after all.
            lowest = 0 if set(answer.not_found) - self.missing else step.level + 1
            self.missing |= {*answer.not_found, *answer.ignored}

    def result(self, outcome: RetrievalOutcome, error: str | None = None) -> Retrieval:
        ranked = sorted(self.found.items(), key=lambda item: item[1])[: self.limit]
        hits = tuple(Hit(pmid, rank, level=level) for rank, (pmid, level) in enumerate(ranked, 1))
        return Retrieval(self.question.id, hits, tuple(self.attempts), outcome, error)

    def _next(self, lowest: int) -> LadderStep | None:
        """The strictest step of at least that level whose term was not sent yet."""
        steps = build_queries(self.question, filters=self.plan.filters, missing=self.missing)
        return next((s for s in steps if s.level >= lowest and s.term not in self.sent), None)

    def _ask(self, step: LadderStep) -> SearchAnswer:
        self.sent.add(step.term)
        term = step.term
        if self.plan.since:
            ranges = [date_range(self.plan.since, _LAST_DAY, field) for field in ("edat", "mdat")]
            term = f"({term}) AND ({' OR '.join(ranges)})"
        self.pending = term
        answer = self.client.search(term, self.limit, sort=self.plan.sort, dates=self.dates)
        self.pending = ""
        warnings = answer.warnings
        if len(answer.pmids) < min(answer.count, self.limit):
            warnings += (f"{len(answer.pmids)} of {min(answer.count, self.limit)} hits came",)
        self.attempts.append(QueryAttempt(step.level, term, answer.translation, answer.count, warnings))
        for pmid in answer.pmids:
            if step.level < self.found.get(pmid, step.level + 1):
                self.found.pop(pmid, None)  # its place is that of the stricter query
                self.found[pmid] = step.level
        return answer

    def _is_enough(self, step: LadderStep) -> bool:
        if len(self.found) >= self.limit:
            return True
        if self.plan.since:
            return self.client.count(step.term, dates=self.dates) >= self.enough
        return len(self.found) >= self.enough


def since_day(moment: datetime | None) -> date | None:
    """The day, by UTC, of a moment; None of None."""
    return moment.astimezone(UTC).date() if moment else None
