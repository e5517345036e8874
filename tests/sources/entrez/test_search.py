from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bioqa_pipeline.questions.query import QueryFilters
from bioqa_pipeline.records.texts import Question, Retrieval, RetrievalOutcome
from bioqa_pipeline.sources.entrez.responses import SearchAnswer
from bioqa_pipeline.sources.entrez.search import SearchPlan, search_question, since_day
from support.entrez_sources import make_source
from support.eutils_faults import QUICK, Faults
from support.eutils_records import made_question, make_records
from support.eutils_search import Corpus
from support.eutils_server import EutilsServer

RECORDS = make_records(300)
CORPUS = Corpus(RECORDS)


def question(text: str = "", query: str | None = None) -> Question:
    return Question(id="q1", text=text or "A question.", query=query)


def terms(server: EutilsServer) -> list[str]:
    """Terms whose hits were asked for, and not their number alone."""
    return [r.params["term"] for r in server.requests("esearch") if "rettype" not in r.params]


@pytest.fixture
def server() -> Iterator[EutilsServer]:
    with EutilsServer([], Faults(retry_after_seconds=0), limit=None, corpus=CORPUS) as running:
        yield running


def test_a_query_of_the_users_own_is_sent_as_it_is(server: EutilsServer, tmp_path: Path) -> None:
    retrieval = make_source(server, tmp_path).search(question(query="aspirin[tiab] OR insulin[tiab]"), 10)
    expected = CORPUS.search("aspirin[tiab] OR insulin[tiab]")
    assert retrieval.outcome is RetrievalOutcome.OK
    assert [(h.pmid, h.rank, h.level) for h in retrieval.hits] == [
        (p, i, 0) for i, p in enumerate(expected.pmids[:10], 1)
    ]
    (attempt,) = retrieval.attempts
    assert (attempt.term, attempt.count) == ("aspirin[tiab] OR insulin[tiab]", len(expected.pmids))
    assert attempt.translation == expected.translation
    (request,) = server.log
    assert (request.params["sort"], request.params["retmax"], request.params["db"]) == ("relevance", "10", "pubmed")


def test_a_query_that_pubmed_would_misread_fails_without_a_request(server: EutilsServer, tmp_path: Path) -> None:
    retrieval = make_source(server, tmp_path).search(question(query="aspirin[tiabb]"), 10)
    assert (retrieval.outcome, retrieval.hits, server.log) == (RetrievalOutcome.FAILED, (), [])
    assert "tiabb" in (retrieval.error or "")


def test_looser_queries_follow_until_there_are_enough_hits(server: EutilsServer, tmp_path: Path) -> None:
    text = made_question(RECORDS[0])
    retrieval = make_source(server, tmp_path, enough_hits=8).search(question(text), 30)
    levels = [hit.level for hit in retrieval.hits]
    assert retrieval.outcome is RetrievalOutcome.OK
    assert len(retrieval.hits) >= 8
    assert levels == sorted(levels)
    assert [hit.rank for hit in retrieval.hits] == list(range(1, len(levels) + 1))
    assert len({hit.pmid for hit in retrieval.hits}) == len(levels)
    assert [a.term for a in retrieval.attempts] == terms(server)
    assert len(retrieval.attempts) > 1
    matching = {a.level: CORPUS.search(a.term).pmids for a in retrieval.attempts}
    stricter: set[int] = set()
    for level, pmids in matching.items():
        new = [pmid for pmid in pmids[:30] if pmid not in stricter]
        assert [hit.pmid for hit in retrieval.hits if hit.level == level] == new[: len(retrieval.hits) - len(stricter)]
        stricter |= set(new)
    assert len(set().union(*list(matching.values())[:-1])) < 8


def test_enough_strict_hits_end_the_search(server: EutilsServer, tmp_path: Path) -> None:
    retrieval = make_source(server, tmp_path, enough_hits=2).search(question("What does metformin do?"), 5)
    assert len(retrieval.attempts) == 1
    assert len(retrieval.hits) == 5
    assert len(server.log) == 1


def test_words_that_no_record_has_are_dropped(server: EutilsServer, tmp_path: Path) -> None:
    retrieval = make_source(server, tmp_path, enough_hits=3).search(question("Does zzyzx help metformin in sepsis?"), 5)
    first, second = retrieval.attempts[:2]
    assert "zzyzx" in first.term
    assert "not found: zzyzx" in first.warnings
    assert all("zzyzx" not in attempt.term for attempt in retrieval.attempts[1:])
    assert second.level == 0
    assert retrieval.hits


def test_nothing_found_is_no_failure(server: EutilsServer, tmp_path: Path) -> None:
    retrieval = make_source(server, tmp_path).search(question("Is the zzyzx qqqq?"), 5)
    assert (retrieval.outcome, retrieval.hits, retrieval.error) == (RetrievalOutcome.NO_HITS, (), None)
    assert retrieval.attempts
    assert {a.count for a in retrieval.attempts} == {0}


def test_a_question_without_a_word_finds_nothing(server: EutilsServer, tmp_path: Path) -> None:
    retrieval = make_source(server, tmp_path).search(question("???"), 5)
    assert (retrieval.outcome, retrieval.attempts, server.log) == (RetrievalOutcome.NO_HITS, (), [])


@pytest.mark.parametrize("kind", [*QUICK, "http_400", "redirect", "billion_laughs", "huge_body"])
def test_a_failed_request_is_never_an_empty_result(server: EutilsServer, tmp_path: Path, kind: str) -> None:
    source = make_source(server, tmp_path, max_tries=2, max_body_bytes=1_000_000)
    server.fail("esearch", kind, times=99)
    retrieval = source.search(question(made_question(RECORDS[0])), 5)
    assert (retrieval.outcome, retrieval.hits, retrieval.attempts) == (RetrievalOutcome.FAILED, (), ())
    assert retrieval.error
    assert len(server.log) <= 2


def test_the_key_is_in_no_query_that_the_service_repeats(server: EutilsServer, tmp_path: Path) -> None:
    key, quoted = "s3cr3t+key", "s3cr3t%2Bkey"
    server.keys = (key,)
    body = (
        f"<eSearchResult><Count>1</Count><IdList><Id>7</Id></IdList><QueryTranslation>{quoted}</QueryTranslation>"
        f"<WarningList><OutputMessage>{key} and {quoted}</OutputMessage></WarningList></eSearchResult>"
    )
    server.faults.apply = lambda kind, good: type(good)(200, body.encode())  # type: ignore[method-assign]
    server.fail("esearch", "echo")
    (attempt,) = make_source(server, tmp_path, api_key=key).search(question(query="aspirin"), 1).attempts
    assert (attempt.translation, attempt.warnings) == ("[redacted]", ("[redacted] and [redacted]",))


def test_a_failure_on_the_way_keeps_what_was_found(server: EutilsServer, tmp_path: Path) -> None:
    source = make_source(server, tmp_path, max_tries=1)
    server.fail("esearch", "http_503", times=99, after=3)
    retrieval = source.search(question(made_question(RECORDS[0])), 300)
    assert retrieval.outcome is RetrievalOutcome.FAILED
    assert len(retrieval.attempts) == 3
    assert "HTTP 503" in (retrieval.error or "")
    assert terms(server)[-1] in (retrieval.error or "")
    assert {h.pmid for h in retrieval.hits} == set().union(*(CORPUS.search(a.term).pmids for a in retrieval.attempts))


def test_dates_and_order_are_sent(server: EutilsServer, tmp_path: Path) -> None:
    config = {"mindate": date(2001, 2, 1), "maxdate": date(2001, 3, 31), "datetype": "edat", "sort": "pub_date"}
    retrieval = make_source(server, tmp_path, config=config).search(question(query="hasabstract"), 100)
    expected = [r.pmid for r in RECORDS if date(2001, 2, 1) <= r.dates["edat"] <= date(2001, 3, 31) and r.abstract]
    assert [h.pmid for h in retrieval.hits] == sorted(expected, reverse=True)
    sent = server.log[0].params
    assert (sent["datetype"], sent["mindate"], sent["maxdate"], sent["sort"]) == (
        "edat", "2001/02/01", "2001/03/31", "pub_date",
    )  # fmt: skip


def test_since_the_last_run_only_what_is_new_or_revised_comes(tmp_path: Path) -> None:
    """Few new records are no reason to ask more loosely: judged by all records, the strict query has enough."""
    last_run = datetime(2001, 8, 1, 23, 0, tzinfo=UTC)
    asked = question("Which patients have insulin in the liver?")
    with EutilsServer([], limit=None, corpus=CORPUS) as server:
        (strict, *_) = make_source(server, tmp_path).search(asked, 1).attempts
    matching = CORPUS.search(strict.term).pmids
    old = next(p for p in matching if CORPUS.records[p].dates["edat"] < date(2001, 8, 1))
    revised = replace(CORPUS.records[old], dates={**CORPUS.records[old].dates, "mdat": date(2001, 9, 9)})
    with EutilsServer([revised if r.pmid == old else r for r in RECORDS], limit=None) as server:
        retrieval = make_source(server, tmp_path, since=last_run, enough_hits=len(matching)).search(asked, 50)
        new = {p for p in matching if CORPUS.records[p].dates["edat"] >= date(2001, 8, 1)} | {old}
        assert {h.pmid for h in retrieval.hits} == new
        assert len(new) < len(matching)
        (attempt,) = retrieval.attempts
        entered, changed = (f'("2001/08/01"[{field}] : "3000/12/31"[{field}])' for field in ("edat", "mdat"))
        assert attempt.term == f"({strict.term}) AND ({entered} OR {changed})"
        looser = make_source(server, tmp_path, since=last_run, enough_hits=len(matching) + 1).search(asked, 50)
        assert len(looser.attempts) > 1
        nothing_new = make_source(server, tmp_path, since=datetime(2026, 1, 1, tzinfo=UTC), enough_hits=2)
        assert nothing_new.search(asked, 50).outcome is RetrievalOutcome.NO_HITS


class LateKnowledge:
    """A service that says only with its second answer that it does not know a word."""

    def __init__(self) -> None:
        self.terms: list[str] = []

    def search(self, term: str, wanted: int, *, sort: str, dates: Mapping[str, str]) -> SearchAnswer:
        self.terms.append(term)
        if len(self.terms) == 1:
            return SearchAnswer(0)
        if len(self.terms) == 2:
            return SearchAnswer(2, (3, 1), not_found=("qqqq",))
        return SearchAnswer(2, (2, 1))

    def count(self, term: str, *, dates: Mapping[str, str]) -> int:
        raise AssertionError("nothing is to be counted")


def test_hits_stand_by_strictness_whenever_they_came() -> None:
    service = LateKnowledge()
    plan = SearchPlan(QueryFilters(), "relevance", enough_hits=3)
    retrieval = search_question(question("Does insulin change the qqqq of the liver?"), 5, plan, service)
    assert [attempt.level for attempt in retrieval.attempts] == [0, 1, 0]
    assert [(hit.pmid, hit.rank, hit.level) for hit in retrieval.hits] == [(2, 1, 0), (1, 2, 0), (3, 3, 1)]


class Scripted:
    """A service that gives one answer after the other and then nothing; `total` records match without dates."""

    def __init__(self, *answers: SearchAnswer, total: int | None = None) -> None:
        self.answers, self.total = list(answers), total
        self.terms: list[str] = []

    def search(self, term: str, wanted: int, *, sort: str, dates: Mapping[str, str]) -> SearchAnswer:
        self.terms.append(term)
        return self.answers.pop(0) if self.answers else SearchAnswer(0)

    def count(self, term: str, *, dates: Mapping[str, str]) -> int:
        assert self.total is not None, "nothing is to be counted"
        return self.total


LIVER = "Does insulin change the growth of the liver in old mice?"


def ask(service: Scripted, limit: int = 5, *, enough_hits: int = 3, since: date | None = None) -> Retrieval:
    plan = SearchPlan(QueryFilters(), "relevance", enough_hits=enough_hits, since=since)
    return search_question(question(LIVER), limit, plan, service)


def test_no_query_is_sent_twice() -> None:
    """What is not found may be no word of the question at all, so that without it the queries are the same."""
    service = Scripted(*[SearchAnswer(0, not_found=("no word of it",))] * 9)
    levels = [attempt.level for attempt in ask(service).attempts]
    assert levels == sorted(set(levels))
    assert len(set(service.terms)) == len(service.terms) > 3


def test_ignored_words_are_left_out_of_what_follows() -> None:
    service = Scripted(SearchAnswer(0, ignored=("liver",)))
    retrieval = ask(service)
    assert [attempt.level for attempt in retrieval.attempts][:2] == [0, 1]
    assert ["liver" in term for term in service.terms] == [True] + [False] * (len(service.terms) - 1)


def test_a_word_that_is_missing_still_does_not_start_the_search_again() -> None:
    missing = SearchAnswer(0, not_found=("insulin",))
    service = Scripted(missing, replace(missing, ignored=("liver",)))
    assert [attempt.level for attempt in ask(service).attempts][:3] == [0, 0, 1]


def test_hits_that_did_not_come_are_said() -> None:
    (attempt,) = ask(Scripted(SearchAnswer(9, (1, 2, 3)))).attempts
    assert attempt.warnings == ("3 of 5 hits came",)
    (attempt,) = ask(Scripted(SearchAnswer(3, (1, 2, 3)))).attempts
    assert attempt.warnings == ()


def test_since_a_day_no_more_are_wanted_than_asked_for() -> None:
    day = date(2001, 8, 1)
    assert len(ask(Scripted(SearchAnswer(2, (1, 2))), 2, since=day).attempts) == 1
    assert len(ask(Scripted(SearchAnswer(1, (1,)), total=2), 2, enough_hits=20, since=day).attempts) == 1
    assert len(ask(Scripted(SearchAnswer(1, (1,)), total=1), 2, enough_hits=20, since=day).attempts) > 1


def test_a_day_is_that_of_utc() -> None:
    assert since_day(datetime(2001, 8, 1, 23, tzinfo=timezone(timedelta(hours=-5)))) == date(2001, 8, 2)
    assert since_day(None) is None


def test_more_hits_than_pubmed_gives_are_split_by_date(tmp_path: Path) -> None:
    with EutilsServer([], limit=None, corpus=CORPUS, max_hits=20) as server:
        source = make_source(server, tmp_path, max_hits=20)
        retrieval = source.search(question(query="hasabstract"), 1000)
        expected = {r.pmid for r in RECORDS if r.abstract}
        assert {h.pmid for h in retrieval.hits} == expected
        (attempt,) = retrieval.attempts
        assert attempt.count == len(expected)
        assert any("by entry date" in warning for warning in attempt.warnings)
        assert all(int(r.params["retmax"]) <= 20 for r in server.log)
        n_requests = len(server.log)
        newest = source.search(question(query="hasabstract"), 30)
        assert len(newest.hits) == 30
        assert len(server.log) - n_requests < n_requests
        days = {r.pmid: r.dates["edat"] for r in RECORDS}
        assert min(days[h.pmid] for h in newest.hits) >= sorted(days[p] for p in expected)[-40]


def test_a_day_with_more_hits_than_pubmed_gives_is_said(tmp_path: Path) -> None:
    day = date(2005, 5, 5)
    records = [replace(r, dates={**r.dates, "edat": day}) for r in RECORDS[:50]]
    with EutilsServer(records, limit=None, max_hits=20) as server:
        retrieval = make_source(server, tmp_path, max_hits=20).search(question(query="hasabstract"), 1000)
    assert len(retrieval.hits) == 20
    assert any("45 hits of 2005-05-05" in warning for warning in retrieval.attempts[0].warnings)
