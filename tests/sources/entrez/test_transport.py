from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from Bio import Entrez
from pydantic import SecretStr, ValidationError

from bioqa_pipeline.errors import ConfigError, RetryableSourceError, SourceError
from bioqa_pipeline.sources.entrez.responses import SearchAnswer, decode_search
from bioqa_pipeline.sources.entrez.settings import EntrezSettings, resolve_api_key, resolve_email
from bioqa_pipeline.sources.entrez.transport import EntrezTransport
from support.eutils_faults import HOSTILE, QUICK, REFUSED, STATUS, Faults
from support.eutils_records import make_records
from support.eutils_search import Corpus
from support.eutils_server import EutilsServer, most_in_a_second

KEY = "s3cr3t+key/0123456789"
EMAIL = "someone@example.org"
CORPUS = Corpus(make_records(40))
# What faults are called in errors, where it is not by their own names.
KINDS = {
    "rate_limit_200": "rate_limited",
    "html_200": "html",
    "json_error": "backend_failed",
    "latin1": "bad_xml",
    "short_body": "truncated",
    "chunked_cut": "truncated",
    "close_early": "connection",
    "cut_record": "bad_xml",
    "malformed_record": "bad_xml",
}


@pytest.fixture
def server() -> Iterator[EutilsServer]:
    faults = Faults(retry_after_seconds=0, stall_seconds=1.0)
    with EutilsServer([], faults, limit=None, key_limit=None, keys=(KEY,), corpus=CORPUS) as running:
        yield running


@pytest.fixture
def connect(server: EutilsServer, tmp_path: Path) -> Callable[..., EntrezTransport]:
    """A transport to the server, with patience for tests."""

    def make(api_key: str | None = None, **changes: object) -> EntrezTransport:
        values: dict[str, object] = {
            "base_url": server.base_url,
            "lock_dir": tmp_path,
            "requests_per_second": 100,
            "backoff_seconds": 0.001,
            "max_tries": 4,
        }
        settings = EntrezSettings.model_validate(values | changes)
        return EntrezTransport(settings, email=EMAIL, api_key=SecretStr(api_key) if api_key else None)

    return make


def search(transport: EntrezTransport, term: str = "aspirin", **params: str) -> SearchAnswer:
    return transport.call("esearch", {"term": term, **params}, decode_search, roots=("eSearchResult",))


def failure(transport: EntrezTransport, term: str = "aspirin") -> SourceError:
    with pytest.raises(SourceError) as caught:
        search(transport, term)
    return caught.value


def chain(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception with all that it drags along."""
    while exc is not None:
        yield exc
        if exc.__cause__ is not None:
            yield from chain(exc.__cause__)
        exc = exc.__context__


def test_a_request_says_who_asks_and_keeps_the_key_out_of_the_address(server: EutilsServer, connect) -> None:
    expected = CORPUS.search("aspirin").pmids
    answer = search(connect(KEY), sort="relevance", retmax="100")
    assert (answer.pmids, answer.count) == (tuple(expected), len(expected))
    (request,) = server.log
    assert (request.method, request.path) == ("POST", "/entrez/eutils/esearch.fcgi")
    assert request.params == {
        "db": "pubmed", "term": "aspirin", "sort": "relevance", "retmax": "100", "tool": "bioqa", "email": EMAIL,
        "api_key": KEY,
    }  # fmt: skip


def test_without_a_key_none_is_sent(server: EutilsServer, connect) -> None:
    search(connect())
    assert "api_key" not in server.log[0].params


def test_bio_entrez_stays_as_it_is(connect) -> None:
    before = {name: value for name, value in vars(Entrez).items() if not name.startswith("__")}
    search(connect(KEY))
    assert {name: value for name, value in vars(Entrez).items() if not name.startswith("__")} == before
    assert Entrez.email is None
    assert Entrez.urlopen is urllib.request.urlopen


@pytest.mark.parametrize("kind", QUICK)
def test_what_passes_is_tried_again(server: EutilsServer, connect, kind: str) -> None:
    good = search(connect())
    server.fail("esearch", kind, times=2)
    assert search(connect()) == good
    assert [r.fault for r in server.log[1:]] == [kind, kind, None]


@pytest.mark.parametrize("kind", QUICK)
def test_what_does_not_pass_is_an_error_after_bounded_tries(server: EutilsServer, connect, kind: str) -> None:
    server.fail("esearch", kind, times=99)
    exc = failure(connect(max_tries=3))
    assert isinstance(exc, RetryableSourceError)
    assert "given up after try 3" in str(exc)
    assert len(server.log) == 3
    assert exc.kind == KINDS.get(kind, kind[:8] if kind in STATUS else kind)


@pytest.mark.parametrize("kind", [*REFUSED, *HOSTILE])
def test_what_is_refused_is_not_sent_again(server: EutilsServer, connect, kind: str) -> None:
    server.fail("esearch", kind)
    exc = failure(connect(max_body_bytes=100_000, max_tries=1))
    assert exc.kind in {"http_400", "http_403", "http_414", "redirect", "unsafe_xml", "body_too_large", "not_xml"}
    assert len(server.log) == 1


def test_a_packed_answer_is_read(server: EutilsServer, connect) -> None:
    good = search(connect())
    server.fail("esearch", "gzip")
    assert search(connect()) == good


@pytest.mark.parametrize(("kind", "changes"), [("stall", {"timeout_seconds": 0.2}), ("drip", {"try_seconds": 0.1})])
def test_silence_and_dripping_end(server: EutilsServer, connect, kind: str, changes: dict[str, float]) -> None:
    server.faults.stall_seconds = 0.6 if kind == "stall" else 0.02
    server.fail("esearch", kind)
    assert search(connect(**changes)).count
    assert [r.fault for r in server.log] == [kind, None]


@pytest.mark.parametrize("kind", ["http_429", "http_429_date"])
def test_a_try_waits_as_long_as_the_service_asks(server: EutilsServer, connect, kind: str) -> None:
    server.faults.retry_after_seconds = 1
    server.fail("esearch", kind)
    search(connect())
    first, second = server.log
    assert second.seconds - first.seconds >= 1


@pytest.mark.parametrize("value", ["\u00b2", "9" * 5000, "soon", "-1", "", "Thu, 99 Foo 2026"])
def test_odd_headers_are_ignored(server: EutilsServer, connect, value: str) -> None:
    server.faults.apply = lambda kind, good: type(good)(  # type: ignore[method-assign]
        503, b"busy", headers={"Retry-After": value, "X-RateLimit-Limit": value, "X-RateLimit-Remaining": value}
    )
    server.fail("esearch", "odd")
    search(connect())
    assert len(server.log) == 2


def test_an_error_counts_by_its_status_whatever_its_body_is(server: EutilsServer, connect) -> None:
    server.faults.apply = lambda kind, good: type(good)(  # type: ignore[method-assign]
        429, b"slow down", headers={"Retry-After": "1"}, claimed_bytes=10**6
    )
    server.fail("esearch", "cut off")
    search(connect())
    assert server.log[1].seconds - server.log[0].seconds >= 1


def test_a_limit_that_was_hit_stops_other_threads_and_processes(server: EutilsServer, connect) -> None:
    server.faults.retry_after_seconds = 1
    server.fail("esearch", "http_429")
    one, other = connect(), connect()
    thread = threading.Thread(target=search, args=(one,))
    thread.start()
    while json.loads(one.limiter.path.read_text())[2] <= time.monotonic():
        assert thread.is_alive(), "its own wait is over and it never told the others"
        time.sleep(0.01)
    search(other)
    thread.join()
    assert all(r.seconds - server.log[0].seconds >= 0.9 for r in server.log[1:])


def test_nothing_is_sent_while_a_long_pause_lasts(server: EutilsServer, connect) -> None:
    server.faults.retry_after_seconds = 1000
    server.fail("esearch", "http_429")
    transport = connect()
    assert failure(transport).kind == "http_429"
    assert "pause" in str(failure(transport))
    assert len(server.log) == 1


def test_a_dead_service_costs_single_tries_until_it_is_back(server: EutilsServer, connect) -> None:
    transport = connect(max_tries=2)
    server.fail("esearch", "http_503", times=8)
    for _ in range(5):
        failure(transport)
    assert len(server.log) == 3 * 2 + 2
    search(transport)
    server.fail("esearch", "http_503")
    search(transport)


def test_no_connection_is_an_error(connect) -> None:
    exc = failure(connect(base_url="http://127.0.0.1:9/", max_tries=2))
    assert (exc.kind, isinstance(exc, RetryableSourceError)) == ("connection", True)


@pytest.mark.parametrize("kind", [*QUICK, *REFUSED, *HOSTILE, "bad_key", "no_connection", "echo"])
def test_the_key_is_in_no_error_and_no_log(
    server: EutilsServer, connect, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key, term = (KEY, "aspirin") if kind != "bad_key" else ("wr0ng+key/987654321", "aspirin")
    changes: dict[str, object] = {"max_tries": 2, "max_body_bytes": 100_000}
    if kind == "no_connection":
        changes["base_url"] = "http://127.0.0.1:9/"
    elif kind == "echo":
        server.faults.apply = lambda kind, good: type(good)(  # type: ignore[method-assign]
            200, f"<eSearchResult><ERROR>temporarily no {KEY}</ERROR></eSearchResult>".encode()
        )
        server.fail("esearch", kind, times=9)
    elif kind != "bad_key":
        server.fail("esearch", kind, times=9)
    exc = failure(connect(key, **changes), term)
    seen = [text for link in chain(exc) for text in (str(link), repr(link), repr(vars(link)))]
    seen += [record.getMessage() + repr(record.args) for record in caplog.records] + [r.path for r in server.log]
    assert len(list(chain(exc))) == 1
    assert not [text for text in seen if key in text or "key/" in text or "key%2F" in text]


def test_threads_get_their_own_answers(server: EutilsServer, connect) -> None:
    transport = connect()
    server.faults.probability = 0.2
    terms = ["aspirin", "insulin", "sepsis", "malaria", "p53", "stroke", "zinc", "asthma"]
    answers: dict[str, list[int]] = {}

    def ask(term: str) -> None:
        answers[term] = [search(transport, term, sort="relevance").count for _ in range(4)]

    threads = [threading.Thread(target=ask, args=(term,)) for term in terms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {term: [len(CORPUS.search(term).pmids)] * 4 for term in terms}


def test_eight_threads_and_two_processes_keep_to_the_limit_of_the_service(tmp_path: Path) -> None:
    """Retries count; the server refuses the eleventh request of a second, and is never made to."""
    script = """
import sys, threading, pathlib
from pydantic import SecretStr
from bioqa_pipeline.sources.entrez.responses import decode_search
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from bioqa_pipeline.sources.entrez.transport import EntrezTransport
settings = EntrezSettings(base_url=sys.argv[1], lock_dir=pathlib.Path(sys.argv[2]), backoff_seconds=0.01)
transport = EntrezTransport(settings, email="a@b.org", api_key=SecretStr("good-key"))
def ask():
    transport.call("esearch", {"term": "aspirin"}, decode_search, roots=("eSearchResult",))
threads = [threading.Thread(target=ask) for _ in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
"""
    faults = Faults(0.15, ("http_500", "empty_body", "close_early"))
    with EutilsServer([], faults, corpus=CORPUS, latency_seconds=0.02) as server:
        command = [sys.executable, "-c", script, server.base_url, str(tmp_path)]
        for process in [subprocess.Popen(command) for _ in range(2)]:
            assert process.wait() == 0
        assert len(server.log) >= 16
        assert 429 not in {r.status for r in server.log}
        assert most_in_a_second([r.seconds for r in server.log]) <= 10


def test_a_lower_limit_that_the_service_tells_is_kept(tmp_path: Path) -> None:
    with EutilsServer([], corpus=CORPUS, limit=2) as server:
        settings = EntrezSettings(base_url=server.base_url, lock_dir=tmp_path, requests_per_second=50)
        transport = EntrezTransport(settings, email=EMAIL)
        for _ in range(3):
            search(transport)
        assert {r.status for r in server.log} == {200}


def test_a_folder_that_cannot_keep_the_rate_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="TMPDIR"):
        EntrezTransport(EntrezSettings(lock_dir=tmp_path / "file" / "below"), email=EMAIL)
    EntrezTransport(EntrezSettings(lock_dir=tmp_path / "new" / "below"), email=EMAIL)


@pytest.mark.parametrize("url", ["http://eutils.ncbi.nlm.nih.gov/", "ftp://x/", "https://u:p@x/", "https://x/?a=b"])
def test_addresses_that_would_give_the_key_away_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        EntrezSettings(base_url=url)


def test_who_is_asking_comes_from_arguments_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCBI_EMAIL", raising=False)
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    assert resolve_api_key(None) is None
    with pytest.raises(ConfigError, match="NCBI_EMAIL"):
        resolve_email(None)
    monkeypatch.setenv("NCBI_EMAIL", "env@example.org ")
    monkeypatch.setenv("NCBI_API_KEY", " from-env\n")
    assert resolve_email(None) == "env@example.org"
    assert resolve_email("given@example.org") == "given@example.org"
    found = resolve_api_key(None)
    assert found is not None
    assert found.get_secret_value() == "from-env"
    assert resolve_api_key(SecretStr("given")) == SecretStr("given")
