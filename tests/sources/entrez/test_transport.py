from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import httpx
import pytest
from Bio import Entrez
from pydantic import SecretStr, ValidationError

from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import ConfigError, RetryableSourceError, SourceError
from bioqa_pipeline.sources.entrez import exchange, rate_limit
from bioqa_pipeline.sources.entrez import transport as module
from bioqa_pipeline.sources.entrez.responses import SearchAnswer, decode_search
from bioqa_pipeline.sources.entrez.settings import EntrezSettings, resolve_api_key, resolve_email
from bioqa_pipeline.sources.entrez.transport import EntrezTransport
from support import eutils_server
from support.clock import SimulatedClock, simulated_time
from support.eutils_faults import HOSTILE, QUICK, REFUSED, STATUS, Faults
from support.eutils_records import make_records
from support.eutils_search import Corpus
from support.eutils_server import EutilsServer, most_in_a_second
from support.source_failures import word_of

KEY = "s3cr3t+key/0123456789"
# As an address quotes it, wholly or in part.
SPELLINGS = (KEY, quote_plus(KEY), quote(KEY), quote_plus(KEY).lower(), KEY.replace("+", "%2B"))
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


@pytest.fixture
def clock() -> Iterator[SimulatedClock]:
    """The time of both sides."""
    with simulated_time(module, exchange, rate_limit, eutils_server) as running:
        yield running


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


@pytest.mark.parametrize(
    ("utility", "params"),
    [
        ("esearch", {"term": '("β-catenin"[tiab] OR a+b & c=d%) AND x', "retmax": "9999", "sort": "pub_date"}),
        ("efetch", {"id": ",".join(map(str, range(1, 301))), "retmode": "xml"}),
    ],
)
def test_a_request_is_what_bio_entrez_itself_would_send(
    server: EutilsServer, connect, monkeypatch: pytest.MonkeyPatch, utility: str, params: dict[str, str]
) -> None:
    sent: list[urllib.request.Request] = []

    def urlopen(request: urllib.request.Request) -> io.BytesIO:
        sent.append(request)
        answer = io.BytesIO()
        answer.headers = Message()  # type: ignore[attr-defined]
        answer.url = request.full_url  # type: ignore[attr-defined]
        return answer

    monkeypatch.setattr(Entrez, "urlopen", urlopen)
    getattr(Entrez, utility)(db="pubmed", tool="bioqa", email=EMAIL, api_key=KEY, **params)
    monkeypatch.undo()
    body = sent[0].data if isinstance(sent[0].data, bytes) else urlsplit(sent[0].full_url).query.encode()
    connect(KEY).call(utility, params, lambda answer: answer, roots=("eSearchResult", "PubmedArticleSet"))
    assert server.log[0].params == dict(parse_qsl(body.decode()))
    assert sent[0].full_url.startswith(f"{EntrezSettings().base_url}{utility}.fcgi")


def test_what_others_left_in_bio_entrez_is_not_sent(
    server: EutilsServer, connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("api_key", "email", "tool"):
        monkeypatch.setattr(Entrez, name, "someone-elses")
    search(connect())
    assert server.log[0].params == {"db": "pubmed", "term": "aspirin", "tool": "bioqa", "email": EMAIL}


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
    assert word_of(exc) == KINDS.get(kind, kind[:8] if kind in STATUS else kind)


@pytest.mark.parametrize("kind", [*REFUSED, *HOSTILE])
def test_what_is_refused_is_not_sent_again(server: EutilsServer, connect, kind: str) -> None:
    server.fail("esearch", kind, times=9)
    exc = failure(connect(max_body_bytes=100_000, max_tries=3))
    assert word_of(exc) in {"http_400", "http_403", "http_414", "redirect", "unsafe_xml", "body_too_large", "not_xml"}
    # In UTF-16 it is not even XML, as half an answer may be.
    may_pass = kind == "utf16"
    assert (isinstance(exc, RetryableSourceError), len(server.log)) == (may_pass, 3 if may_pass else 1)


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
def test_a_try_waits_as_long_as_the_service_asks(
    server: EutilsServer, connect, clock: SimulatedClock, kind: str
) -> None:
    server.faults.retry_after_seconds = 7
    server.fail("esearch", kind)
    search(connect())
    first, second = server.log
    assert 7 <= second.seconds - first.seconds <= 9  # a date has whole seconds only


def test_waits_double_up_to_the_longest(server: EutilsServer, connect, clock: SimulatedClock) -> None:
    server.fail("esearch", "http_503", times=99)
    failure(connect(max_tries=7, backoff_seconds=1, max_backoff_seconds=10))
    waits = [later.seconds - earlier.seconds for earlier, later in pairwise(server.log)]
    shares = [wait / longest for wait, longest in zip(waits, (1, 2, 4, 8, 10, 10), strict=True)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert len(set(shares)) > 1, "all clients would come back at the same moments"


@pytest.mark.parametrize("value", ["\u00b2", "9" * 5000, "soon", "-1", "", "Thu, 99 Foo 2026"])
def test_odd_headers_are_ignored(server: EutilsServer, connect, value: str) -> None:
    server.faults.apply = lambda kind, good: type(good)(  # type: ignore[method-assign]
        503, b"busy", headers={"Retry-After": value, "X-RateLimit-Limit": value, "X-RateLimit-Remaining": value}
    )
    server.fail("esearch", "odd")
    search(connect())
    assert len(server.log) == 2


def test_an_error_counts_by_its_status_whatever_its_body_is(
    server: EutilsServer, connect, clock: SimulatedClock
) -> None:
    server.faults.apply = lambda kind, good: type(good)(  # type: ignore[method-assign]
        429, b"slow down", headers={"Retry-After": "7"}, claimed_bytes=10**6
    )
    server.fail("esearch", "cut off")
    search(connect())
    assert server.log[1].seconds - server.log[0].seconds >= 7


@pytest.mark.parametrize("kind", ["http_429", "rate_limit_200"])
def test_a_limit_that_was_hit_stops_everybody_else(
    server: EutilsServer, connect, clock: SimulatedClock, kind: str
) -> None:
    """Another transport has only the limiter's file in common with the one that was told, as another process has."""
    server.faults.retry_after_seconds = 7
    server.fail("esearch", kind)
    one, other = connect(backoff_seconds=14), connect()
    clock.at(clock.now + 2, lambda: search(other))  # while the one waits for its second try
    search(one)
    assert len(server.log) == 3
    assert all(r.seconds - server.log[0].seconds >= 7 for r in server.log[1:])


def test_nothing_is_sent_while_a_long_pause_lasts(server: EutilsServer, connect, clock: SimulatedClock) -> None:
    server.faults.retry_after_seconds = 1000
    server.fail("esearch", "http_429")
    transport = connect()
    assert word_of(failure(transport)) == "http_429"
    clock.sleep(990)
    assert "pause of another 10 s" in str(failure(transport))
    assert len(server.log) == 1
    clock.sleep(10)
    search(transport)


def test_a_dead_service_costs_single_tries_until_it_is_back(server: EutilsServer, connect) -> None:
    transport = connect(max_tries=2)
    server.fail("esearch", "http_503", times=8)
    for _ in range(5):
        failure(transport)
    assert len(server.log) == 3 * 2 + 2
    search(transport)
    server.fail("esearch", "http_503")
    search(transport)


def test_a_connection_that_breaks_off_between_two_requests_costs_one_try(server: EutilsServer, connect) -> None:
    transport = connect()
    server.fail("esearch", "close_early", after=1)
    search(transport)
    search(transport)
    first, broken, second = (r.connection for r in server.log)
    assert first == broken != second


def test_no_connection_is_an_error(connect) -> None:
    exc = failure(connect(base_url="http://127.0.0.1:9/", max_tries=2))
    assert (word_of(exc), isinstance(exc, RetryableSourceError)) == ("connection", True)


@pytest.mark.parametrize("kind", [*QUICK, *REFUSED, *HOSTILE, "bad_key", "no_connection", "echo", "timeout"])
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
            200, f"<eSearchResult><ERROR>temporarily no {' or '.join(SPELLINGS)}</ERROR></eSearchResult>".encode()
        )
        server.fail("esearch", kind, times=9)
    elif kind == "timeout":
        changes["timeout_seconds"] = 0.05
        server.latency_seconds = 0.2
    elif kind != "bad_key":
        server.fail("esearch", kind, times=9)
    exc = failure(connect(key, **changes), term)
    seen = [text for link in chain(exc) for text in (str(link), repr(link), repr(vars(link)))]
    seen += [record.getMessage() + repr(record.args) for record in caplog.records] + [r.path for r in server.log]
    assert len(list(chain(exc))) == 1
    assert not any(record.name.startswith("httpcore") for record in caplog.records)
    assert not [text for text in seen if re.search(r"s3cr3t|wr0ng|key(/|%2f)|0123456789", text, re.IGNORECASE)]


def test_the_key_is_in_nothing_that_the_service_repeats(server: EutilsServer, connect) -> None:
    for spelling in SPELLINGS:
        assert connect(KEY).redacted(f"no {spelling}, really") == "no [redacted], really"
    assert connect().redacted("anything") == "anything"


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


def test_threads_of_two_processes_keep_to_the_limit_of_the_service(tmp_path: Path) -> None:
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
threads = [threading.Thread(target=ask) for _ in range(6)]
[t.start() for t in threads], [t.join() for t in threads]
"""
    faults = Faults(0.15, ("http_500", "empty_body", "close_early"))
    with EutilsServer([], faults, corpus=CORPUS, latency_seconds=0.02) as server:
        command = [sys.executable, "-c", script, server.base_url, str(tmp_path)]
        for process in [subprocess.Popen(command) for _ in range(2)]:
            assert process.wait() == 0
        assert len(server.log) >= 12
        assert 429 not in {r.status for r in server.log}
        assert most_in_a_second([r.seconds for r in server.log]) <= 10


@pytest.mark.parametrize(("api_key", "limit"), [(None, 3), ("good-key", 10)])
def test_by_default_a_second_sees_no_more_requests_than_ncbi_allows(
    tmp_path: Path, clock: SimulatedClock, api_key: str | None, limit: int
) -> None:
    """The service counts nothing here and tells no limit that ours could be lowered to; retries count."""
    faults = Faults(0.2, ("http_500", "empty_body", "close_early"), seed=4)
    with EutilsServer([], faults, limit=None, key_limit=None, corpus=CORPUS) as server:
        settings = EntrezSettings(base_url=server.base_url, lock_dir=tmp_path, backoff_seconds=0)
        transport = EntrezTransport(settings, email=EMAIL, api_key=SecretStr(api_key) if api_key else None)
        for _ in range(4 * limit):
            search(transport)
        times = [r.seconds for r in server.log]
        assert {r.fault for r in server.log} >= {"http_500", "empty_body", "close_early"}
        assert most_in_a_second(times) == limit
        assert times[-1] - times[0] < 1.1 * len(times) / limit


def test_a_lower_limit_that_the_service_tells_is_kept(tmp_path: Path, clock: SimulatedClock) -> None:
    with EutilsServer([], corpus=CORPUS, limit=2) as server:
        settings = EntrezSettings(base_url=server.base_url, lock_dir=tmp_path, requests_per_second=50)
        transport = EntrezTransport(settings, email=EMAIL)
        for _ in range(5):
            search(transport)
        assert {r.status for r in server.log} == {200}
        assert most_in_a_second([r.seconds for r in server.log]) == 2


def test_a_handler_can_stand_for_the_network(tmp_path: Path) -> None:
    """Everything but the network is there: rate, retries and reading."""
    answers = [httpx.RemoteProtocolError("gone"), b"", b"<eSearchResult><Count>0</Count></eSearchResult>"]

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(200, stream=httpx.ByteStream(answer))

    settings = EntrezSettings(lock_dir=tmp_path, backoff_seconds=0)
    transport = EntrezTransport(settings, email=EMAIL, http=httpx.MockTransport(handle))
    assert search(transport) == SearchAnswer(0)
    assert answers == []


def test_a_folder_that_cannot_keep_the_rate_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="TMPDIR"):
        EntrezTransport(EntrezSettings(lock_dir=tmp_path / "file" / "below"), email=EMAIL)
    EntrezTransport(EntrezSettings(lock_dir=tmp_path / "new" / "below"), email=EMAIL)


@pytest.mark.parametrize(
    "url",
    [
        "http://eutils.ncbi.nlm.nih.gov/",
        "ftp://x/",
        "https://u:hidden@x/",
        "https://:hidden@x/",
        "http://hidden@127.0.0.1/",
        "https://x/?api_key=hidden",
        "https://x/?X-Amz-Signature=hidden",
        "https://x/#hidden",
        "http://127.0.0.1:1\\@hidden/",
        "https://[hidden/",
        "https://x/\u202ehidden",
    ],
)
def test_addresses_that_would_give_the_key_away_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EntrezSettings(base_url=url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "is_warned_of"), [("the", True), ("diabetes", True), ("good-key", False), (KEY, False)]
)
def test_a_key_that_cannot_be_told_from_words_is_said(
    connect, key: str, is_warned_of: bool, caplog: pytest.LogCaptureFixture
) -> None:
    connect(key)
    assert ("it is not looked for" in caplog.text) == is_warned_of
    assert key not in caplog.text.split() or key == "the"


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
    with pytest.raises(ConfigError, match="`email me`: 'me' is not an e-mail address"):
        resolve_email("me")
    for wrong in ("a@example.org\nX: y", "a@example.org b@example.org", "a\x00@example.org"):
        with pytest.raises(ConfigError, match="one address in one line"):
            resolve_email(wrong)
        with pytest.raises(ConfigError, match="`email`: give one address"):
            SourceConfig.checked({"kind": "pubmed", "email": wrong})
    found = resolve_api_key(None)
    assert found is not None
    assert found.get_secret_value() == "from-env"
    assert resolve_api_key(SecretStr("given")) == SecretStr("given")
