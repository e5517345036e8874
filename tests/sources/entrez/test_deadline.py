"""A server that sends for ever, a little at a time: each silence is short, and still every request ends."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bioqa_pipeline.errors import RetryableSourceError
from bioqa_pipeline.sources.entrez.exchange import Exchange
from bioqa_pipeline.sources.entrez.rate_limit import RateLimiter
from bioqa_pipeline.sources.entrez.settings import EntrezSettings

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
    assert caught.value.kind in {"timeout", "connection"}


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
