from __future__ import annotations

import gc
import gzip
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bioqa_pipeline.errors import ConfigError, RetryableSourceError, SourceError
from bioqa_pipeline.sources.entrez import exchange as module
from bioqa_pipeline.sources.entrez.exchange import Exchange
from bioqa_pipeline.sources.entrez.rate_limit import RateLimiter
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from support.clock import simulated_time
from support.eutils_records import make_records
from support.eutils_search import Corpus
from support.eutils_server import EutilsServer
from support.source_failures import word_of

URL = "https://eutils.example.org/esearch.fcgi"
FORM = b"db=pubmed&term=aspirin"
CORPUS = Corpus(make_records(10))


class Body(httpx.SyncByteStream):
    """The chunks of a body, and how far it was read; an exception among them is raised in its place."""

    def __init__(self, *chunks: bytes | Exception | Callable[[], bytes]) -> None:
        self.chunks, self.n_read, self.is_closed = chunks, 0, False

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.n_read += 1
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk if isinstance(chunk, bytes) else chunk()

    def close(self) -> None:
        self.is_closed = True


Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def limiter(tmp_path: Path) -> RateLimiter:
    return RateLimiter(tmp_path / "rate", 100)


@pytest.fixture
def connect(limiter: RateLimiter) -> Callable[..., Exchange]:
    """An exchange over a handler in place of a network."""

    def make(handler: Handler, **changes: object) -> Exchange:
        return Exchange(EntrezSettings.model_validate(changes), limiter, http=httpx.MockTransport(handler))

    return make


def failure(exchange: Exchange, url: str = URL) -> SourceError:
    with pytest.raises(SourceError) as caught:
        exchange.post(url, FORM)
    return caught.value


def test_what_is_sent(connect) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers={"Set-Cookie": "ncbi_sid=1"}, stream=Body(b"<eSearch", b"Result/>"))

    exchange = connect(handle, timeout_seconds=7)
    for _ in range(2):
        assert exchange.post(URL, FORM).body == b"<eSearchResult/>"
    for request in seen:
        assert (request.method, str(request.url), request.content) == ("POST", URL, FORM)
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert (request.headers["accept-encoding"], request.headers["user-agent"]) == ("identity", "bioqa")
        assert "cookie" not in request.headers
        assert request.extensions["timeout"] == dict.fromkeys(("connect", "read", "write", "pool"), 7)


def test_the_whole_request_has_a_deadline(connect) -> None:
    """Each silence is short enough, but they come to more, those before the first byte included."""
    with simulated_time(module) as clock:

        def chunk() -> bytes:
            clock.sleep(30)
            return b"<"

        body = Body(*[chunk] * 100)

        def handle(request: httpx.Request) -> httpx.Response:
            clock.sleep(100)
            return httpx.Response(200, stream=body)

        exc = failure(connect(handle, try_seconds=180))
        assert (word_of(exc), isinstance(exc, RetryableSourceError)) == ("timeout", True)
        assert (clock.passed, body.is_closed) == (190, True)


@pytest.mark.parametrize(
    ("error", "kind", "kind_inside"),
    [
        (httpx.ConnectTimeout("x"), "timeout", "timeout"),
        (httpx.ReadTimeout("x"), "timeout", "timeout"),
        (httpx.WriteTimeout("x"), "timeout", "timeout"),
        (httpx.PoolTimeout("x"), "timeout", "timeout"),
        (httpx.ConnectError("x"), "connection", "connection"),
        (httpx.ReadError("x"), "connection", "connection"),
        (httpx.ProxyError("x"), "connection", "connection"),
        (httpx.RemoteProtocolError("x"), "connection", "truncated"),
    ],
)
def test_every_failure_of_the_network_may_pass(connect, error: Exception, kind: str, kind_inside: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise error

    body = Body(b"<eSearch", error)
    before, inside = failure(connect(refuse)), failure(connect(lambda _: httpx.Response(200, stream=body)))
    assert (word_of(before), word_of(inside), body.is_closed) == (kind, kind_inside, True)
    assert all(isinstance(exc, RetryableSourceError) for exc in (before, inside))


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_body_may_be_as_long_as_the_limit_and_not_a_byte_longer(connect, is_packed: bool) -> None:
    def exchange(n_bytes: int) -> Exchange:
        plain = b"x" * n_bytes
        headers = {"Content-Encoding": "gzip"} if is_packed else {}
        return connect(
            lambda _: httpx.Response(200, headers=headers, stream=Body(gzip.compress(plain) if is_packed else plain)),
            max_body_bytes=1000,
        )

    assert exchange(1000).post(URL, FORM).body == b"x" * 1000
    exc = failure(exchange(1001))
    assert (word_of(exc), isinstance(exc, RetryableSourceError)) == ("body_too_large", False)


def test_nothing_is_read_beyond_the_limit(connect) -> None:
    body = Body(*[b"x" * 100] * 1000)
    exc = failure(connect(lambda _: httpx.Response(200, stream=body), max_body_bytes=950))
    assert word_of(exc) == "body_too_large"
    assert (body.n_read, body.is_closed) == (10, True)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"no" + data])
def test_a_packed_body_that_is_broken_counts_as_cut_off(connect, damage: Callable[[bytes], bytes]) -> None:
    body = damage(gzip.compress(b"<eSearchResult/>" * 50))
    exc = failure(connect(lambda _: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Body(body))))
    assert (word_of(exc), isinstance(exc, RetryableSourceError)) == ("truncated", True)


@pytest.mark.parametrize("location", ["https://elsewhere.example.org/", "http://[bad", "mailto:x", ""])
def test_a_redirection_is_an_answer_wherever_it_leads(connect, location: str) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(307, headers={"Location": location}, stream=Body(b"gone"))

    answer = connect(handle).post(URL, FORM)
    assert (answer.status, answer.body, len(seen)) == (307, b"gone", 1)


def test_of_an_error_the_status_counts_and_its_start_is_kept(connect) -> None:
    body = Body(b"x" * 10_000, httpx.ReadTimeout("never reached"))
    answer = connect(lambda _: httpx.Response(503, stream=body)).post(URL, FORM)
    assert (answer.status, answer.body, body.n_read, body.is_closed) == (503, b"x" * 8192, 1, True)
    answer = connect(lambda _: httpx.Response(429, stream=Body(httpx.ReadError("x")))).post(URL, FORM)
    assert (answer.status, answer.body) == (429, b"")


def test_the_limiter_hears_what_was_told_though_the_body_failed(connect, limiter: RateLimiter) -> None:
    headers = {"X-RateLimit-Limit": "3", "X-RateLimit-Remaining": "2"}
    failure(connect(lambda _: httpx.Response(200, headers=headers, stream=Body(httpx.ReadError("x")))))
    slots, limit, _ = json.loads(limiter.path.read_text())
    assert limit == 3
    assert all(released is not None for *_, released in slots)


def test_connections_end_with_their_exchange(limiter: RateLimiter) -> None:
    closed = []

    class Recorded(httpx.MockTransport):
        def close(self) -> None:
            closed.append(True)

    exchange = Exchange(EntrezSettings(), limiter, http=Recorded(lambda _: httpx.Response(200, stream=Body(b"x"))))
    exchange.post(URL, FORM)
    assert not closed
    del exchange
    gc.collect()
    assert closed


def test_one_connection_serves_many_requests_and_is_closed_in_the_end(limiter: RateLimiter) -> None:
    with EutilsServer([], limit=None, corpus=CORPUS) as server:
        exchange = Exchange(EntrezSettings(base_url=server.base_url), limiter)
        for _ in range(3):
            assert exchange.post(f"{server.base_url}esearch.fcgi", FORM).status == 200
        assert len({r.connection for r in server.log}) == 1
        assert server.n_connections == 1
        del exchange
        gc.collect()
        deadline = time.monotonic() + 10
        while server.n_connections and time.monotonic() < deadline:
            time.sleep(0.005)
        assert server.n_connections == 0


def test_a_connection_that_was_closed_meanwhile_is_not_used_again(limiter: RateLimiter) -> None:
    with EutilsServer([], limit=None, corpus=CORPUS) as server:
        exchange = Exchange(EntrezSettings(base_url=server.base_url), limiter)
        for _ in range(3):
            assert exchange.post(f"{server.base_url}esearch.fcgi", FORM).status == 200
            server.hang_up()
        assert len({r.connection for r in server.log}) == 3


def test_a_certificate_that_nobody_vouches_for_is_refused(
    limiter: RateLimiter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    with EutilsServer([], limit=None, corpus=CORPUS) as server:
        server.encrypt(certificate)
        exc = failure(Exchange(EntrezSettings(base_url=server.base_url), limiter), f"{server.base_url}esearch.fcgi")
        assert (word_of(exc), isinstance(exc, RetryableSourceError)) == ("certificate", False)
        assert "self-signed certificate" in str(exc)
        assert server.log == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        exchange = Exchange(EntrezSettings(base_url=server.base_url), limiter)
        assert exchange.post(f"{server.base_url}esearch.fcgi", FORM).status == 200


def make_certificate(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(text + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """The address of a proxy that lets nobody through, and what it was asked for."""
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("scheme", ["", "http://", "http://user:pa55word@"])
def test_the_proxy_of_the_environment_is_used_for_https(
    limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch, proxy: tuple[str, list[bytes]], scheme: str
) -> None:
    address, asked = proxy
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", f"{scheme}{address}")
    exc = failure(Exchange(EntrezSettings(base_url="https://eutils.example.org/"), limiter))
    assert word_of(exc) == "connection"
    assert "pa55word" not in str(exc)
    assert re.match(rb"CONNECT eutils.example.org:443 HTTP/1.1\r\n", asked[0])
    assert (b"Proxy-Authorization: Basic" in asked[0]) == ("@" in scheme)
    assert FORM not in b"".join(asked)


def test_no_proxy_stands_between_this_machine_and_itself(
    limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch, proxy: tuple[str, list[bytes]]
) -> None:
    address, asked = proxy
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{address}")
    with EutilsServer([], limit=None, corpus=CORPUS) as server:
        exchange = Exchange(EntrezSettings(base_url=server.base_url), limiter)
        assert exchange.post(f"{server.base_url}esearch.fcgi", FORM).status == 200
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert failure(Exchange(EntrezSettings(base_url="https://127.0.0.1:9/"), limiter), "https://127.0.0.1:9/x")
    assert asked == []


@pytest.mark.parametrize("address", ["socks5://user:pa55word@localhost:1", "ftp://pa55word:1", "http://pa55word:x"])
def test_a_proxy_that_cannot_be_used_is_said_without_its_address(
    limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", address)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        Exchange(EntrezSettings(), limiter)
    assert "pa55word" not in str(caught.value)


def test_an_address_that_is_none_is_said(limiter: RateLimiter) -> None:
    with pytest.raises(ConfigError, match="https://eutils:port/"):
        Exchange(EntrezSettings(base_url="https://eutils:port/"), limiter)
