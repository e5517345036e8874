"""A real S3 server on a loopback port, moto's, that counts requests and can be told to fail.

moto checks a condition and stores the object in two steps; here its requests go one after the other, so that
conditional requests are atomic, as S3's are. Pages of listings are short, so that every longer listing takes several.
"""

from __future__ import annotations

import io
import logging
import os
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

BUCKET = "test-bucket"
ACCESS_KEY = "AKIDTESTTESTTESTTEST"
SECRET_KEY = "test-secret-not-to-be-seen"
PAGE_SIZE = 7


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    Attributes:
        status: of the answer, with an error document of this code; None lets the request through.
        after: the request is carried out first, and its answer is lost.
        seconds: how long the answer takes.
        headers: request headers that are dropped before the server sees them.
    """

    status: int | None = None
    code: str = "InternalError"
    after: bool = False
    seconds: float = 0.0
    drop_headers: tuple[str, ...] = ()


class S3Server:
    """The server, running; `faults` are asked for each request, the first that answers decides."""

    def __init__(self) -> None:
        os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = str(PAGE_SIZE)
        self._one_at_a_time = threading.Lock()
        with warnings.catch_warnings():
            # What moto imports, now and with the first request, warns about itself.
            warnings.simplefilter("ignore")
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
            from werkzeug.serving import make_server

            self._app: Wsgi = DomainDispatcherApplication(create_backend_app)
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
            self.url = f"http://127.0.0.1:{self._server.port}"
            self._call("PUT", f"/{BUCKET}")
        self.requests: Counter[str] = Counter()
        self.seen: list[tuple[str, str]] = []
        self._fault: Callable[[str, str], Fault | None] = lambda method, path: None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """What a client needs to know."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def new_uri(self) -> str:
        """A prefix that nobody used."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}/set"

    @contextmanager
    def failing(self, fault: Callable[[str, str], Fault | None]) -> Iterator[None]:
        """Faults by method and path (with the query, if there is one)."""
        self._fault = fault
        try:
            yield
        finally:
            self._fault = lambda method, path: None

    def keys(self, uri: str) -> list[str]:
        """All keys below a prefix, without it, as the server itself has them."""
        from moto.s3.models import s3_backends

        _, _, bucket, prefix = uri.split("/", 3)
        with self._one_at_a_time:
            stored = [key for account in s3_backends.values() for key in account["aws"].buckets[bucket].keys]
        return sorted(key.removeprefix(f"{prefix}/") for key in stored if key.startswith(f"{prefix}/"))

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if environ["QUERY_STRING"]:
            path += f"?{environ['QUERY_STRING']}"
        self.requests[method] += 1
        self.seen.append((method, path))
        fault = self._fault(method, path) or Fault()
        for header in fault.drop_headers:
            environ.pop(f"HTTP_{header.upper().replace('-', '_')}", None)
        if fault.status is None or fault.after:
            chunks = self._answer(environ, (lambda *_: None) if fault.status else start)
        time.sleep(fault.seconds)
        if fault.status is None:
            return chunks
        start(f"{fault.status} Failed", [("Content-Type", "application/xml")])
        text = f"<Error><Code>{fault.code}</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
        return [] if method == "HEAD" else [text.encode()]

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        # The body is read before the turn comes: a slow sender holds nobody up.
        with self._one_at_a_time:
            return list(self._app(environ, start))

    def _call(self, method: str, path: str) -> None:
        host = self.url.removeprefix("http://")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "HTTP_HOST": host,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": host.rpartition(":")[2],
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "CONTENT_LENGTH": "0",
            "wsgi.errors": None,
        }
        self._answer(environ, lambda status, headers, *_: None)
