"""A server that sends for ever, a little at a time: each silence is short, and still every request ends."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bioqa_pipeline.errors import RetryableSourceError
from bioqa_pipeline.sources.entrez.exchange import Exchange
from bioqa_pipeline.sources.entrez.rate_limit import RateLimiter
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from support.source_failures import word_of

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server(start: bytes, drop: bytes) -> Iterator[str]:
    """Answers every connection with `start`, then `drop` again and again; gives its address."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not ended.is_set():
                with suppress(OSError), listener.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(start)
                    while not ended.wait(0.02):
                        connection.sendall(drop)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            ended.set()
            thread.join()


def exchange(folder: Path, url: str) -> Exchange:
    settings = EntrezSettings(base_url=url, timeout_seconds=5, try_seconds=0.4)
    return Exchange(settings, RateLimiter(folder / "rate", 100))


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        pytest.param(b"", b"H", id="status line"),
        pytest.param(b"", b"HTTP/1.1 102 Processing\r\n\r\n", id="1xx"),
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50, id="flood of 1xx"),
        pytest.param(OK, b"X: y\r\n", id="headers"),
        pytest.param(OK + b"X: ", b"a", id="one header"),
        pytest.param(OK + b"Content-Length: 100000\r\n\r\n", b"a", id="body"),
        pytest.param(CHUNKED + b"1;", b"a", id="chunk extension"),
        pytest.param(CHUNKED + b"1\r\na\r\n0\r\n", b"A: b\r\n", id="trailer"),
    ],
)
def test_whatever_drips_the_request_ends(tmp_path: Path, start: bytes, drop: bytes) -> None:
    with server(start, drop) as url:
        began = time.monotonic()
        with pytest.raises(RetryableSourceError) as caught:
            exchange(tmp_path, url).post(url, b"db=pubmed")
    # Silence alone would end it after 5 s, and there is none; a status line of letters is no HTTP at all.
    assert time.monotonic() - began < 4
    assert word_of(caught.value) in {"timeout", "connection"}


def test_the_body_of_an_error_may_drip_too(tmp_path: Path) -> None:
    start = b"HTTP/1.1 500 Sorry\r\nTransfer-Encoding: chunked\r\n\r\n1;"
    with server(start, b"a") as url:
        assert exchange(tmp_path, url).post(url, b"db=pubmed").status == 500


def test_an_odd_status_and_headers_that_repeat_the_key_stay_out_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    start = b"HTTP/1.1 999 api_key=s3cr3t\r\nLocation: /?api_key=s3cr3t\r\nContent-Length: 1\r\n\r\na"
    with server(start, b"") as url:
        assert exchange(tmp_path, url).post(url, b"db=pubmed&api_key=s3cr3t").status == 999
    assert "s3cr3t" not in caplog.text


def test_every_address_of_a_host_is_tried_within_one_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first does not listen; connecting to one after the other is bounded as a whole."""
    tried: list[str] = []

    def connect(address: tuple[str, int], timeout: float, **_: object) -> socket.socket:
        tried.append(address[0])
        if timeout < 0.1 or len(tried) < 20:
            time.sleep(min(timeout, 0.05))
            raise TimeoutError
        raise AssertionError("the deadline has passed")

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{i}", 80)) for i in range(1, 200)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(RetryableSourceError) as caught:
        exchange(tmp_path, "http://localhost:80/").post("http://localhost:80/", b"db=pubmed")
    assert word_of(caught.value) == "timeout"
    assert 2 <= len(tried) <= 10


def test_the_next_address_answers_where_one_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(OK + b"Content-Length: 1\r\n\r\na", b"") as url:
        port = int(url.rpartition(":")[2].strip("/"))
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.99", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert exchange(tmp_path, url).post(f"http://localhost:{port}/", b"db=pubmed").body == b"a"


def test_a_resolver_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request ends in its time, and one look-up is under way for all of them."""
    answers, asked = threading.Event(), []
    look_up = socket.getaddrinfo

    def hang(host: str, port: int, *options: int, **named: int) -> list[Any]:
        if host == "localhost":
            asked.append(host)
            assert answers.wait(60)
        return look_up("127.0.0.1", port, *options, **named)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with server(OK + b"Content-Length: 1\r\n\r\na", b"") as served:
        url = served.replace("127.0.0.1", "localhost")
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(RetryableSourceError) as caught:
                exchange(tmp_path, url).post(url, b"db=pubmed")
            assert word_of(caught.value) == "timeout"
        assert time.monotonic() - began < 4 and asked == ["localhost"]
        answers.set()
        assert exchange(tmp_path, url).post(url, b"db=pubmed").body == b"a"


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_is_not_found_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(RetryableSourceError) as caught:
        exchange(tmp_path, "http://localhost/").post("http://localhost/", b"db=pubmed")
    assert word_of(caught.value) == "connection" and "connection failed" in str(caught.value)


def test_others_may_still_log_what_httpcore_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of our requests is logged, whatever the levels of the loggers; no level is changed for others."""
    names = [f"httpcore.{name}" for name in ("connection", "http11", "proxy")]
    for name in names:
        caplog.set_level(logging.DEBUG, logger=name)
    answer = OK + b"Set-Cookie: s3cr3t\r\nContent-Length: 1\r\n\r\na"
    with server(answer, b"") as url, server(answer, b"") as other:
        exchange(tmp_path, url).post(url, b"db=pubmed")
        assert not [record for record in caplog.records if record.name in names]
        with httpx.Client() as client:
            client.get(other)
        assert {record.name for record in caplog.records} >= {"httpcore.connection", "httpcore.http11"}
