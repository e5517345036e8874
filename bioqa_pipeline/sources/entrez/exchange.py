"""The body of a request to E-utilities into the body of its answer, over httpx and within the rate.

Everything is POSTed, so what is secret in it is in no address. Connections are kept open between requests and closed
when nobody uses the exchange any more. A whole answer has a deadline and a limit of bytes, packed and unpacked.

Of httpx the transport is used and not its client, which does more than is wanted with an API key: it prepares
redirections, keeps cookies, takes settings from the environment, logs addresses and hands the request on in its
exceptions.
"""

from __future__ import annotations

import re
import ssl
import time
import weakref
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass

import httpx

from bioqa_pipeline.connections import bounded, connections_to
from bioqa_pipeline.errors import RetryableSourceError, SourceError, SourceErrorKind
from bioqa_pipeline.redaction import Redaction, UnmendableError
from bioqa_pipeline.sources.entrez.rate_limit import RateLimiter
from bioqa_pipeline.sources.entrez.responses import HEAD_BYTES, as_integer
from bioqa_pipeline.sources.entrez.settings import TOOL, EntrezSettings

CLOSE_SECONDS = 5.0
# NCBI sends some fifteen.
MAX_HEADERS = 200
MAX_HEADER_BYTES = 64 << 10
_REFUSED = re.compile(rb"HTTP/1\.[01] ([345][0-9]{2})[ \r\n]")
_HEADERS = {
    "User-Agent": TOOL,
    "Accept-Encoding": "identity",
    "Content-Type": "application/x-www-form-urlencoded",
}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that came whole; of one that is no 200, only the start of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Sends one request at a time for each thread; threads may share one.

    Args:
        limiter: asked before each request, and told when its answer is there.
        http: what sends; None opens connections to the address of the settings.
        redaction: what no header and no body of an answer may repeat.

    Raises:
        ConfigError: the address of the service, or of a proxy, cannot be used.
    """

    def __init__(
        self,
        settings: EntrezSettings,
        limiter: RateLimiter,
        *,
        http: httpx.BaseTransport | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        self._settings, self._limiter = settings, limiter
        self._http = http or connections_to(settings.base_url)
        self._redaction = redaction or Redaction(())
        self._timeouts = httpx.Timeout(settings.timeout_seconds).as_dict()
        weakref.finalize(self, _close, self._http)

    def post(self, url: str, body: bytes, *, limit: int | None = None) -> Response:
        """Sends once.

        Args:
            limit: bytes of the answer's body, where that is less than the settings'.

        Raises:
            RetryableSourceError: no whole answer came.
            SourceError: it is too long, or the service is not who it says.
        """
        request = httpx.Request("POST", url, headers=_HEADERS, content=body, extensions={"timeout": self._timeouts})
        limit = min(limit or self._settings.max_body_bytes, self._settings.max_body_bytes)
        headers: Mapping[str, str] = {}
        token = self._limiter.acquire()
        deadline = time.monotonic() + self._settings.try_seconds
        try:
            with bounded(self._settings.try_seconds) as bounds:
                try:
                    with closing(self._http.handle_request(request)) as response:
                        headers = self._headers(response)
                        # Twice, for what stands between the chunks of a body.
                        bounds.bytes_left = 2 * limit + MAX_HEADER_BYTES
                        answer = _read(response, deadline, limit) if response.status_code == 200 else _head(response)
                        return Response(response.status_code, headers, self._clean(answer))
                except httpx.RemoteProtocolError as exc:
                    # An error counts by its status, whatever is wrong with its headers.
                    if (refused := _REFUSED.match(bounds.start)) and not headers:
                        return Response(int(refused[1]), {}, b"")
                    raise _explained(exc) from exc
                except httpx.TransportError as exc:
                    raise _explained(exc) from exc
        finally:
            self._limiter.release(
                token,
                told_limit=as_integer(headers.get("X-RateLimit-Limit")),
                told_remaining=as_integer(headers.get("X-RateLimit-Remaining")),
            )

    def _headers(self, response: httpx.Response) -> Mapping[str, str]:
        raw = response.headers.raw
        if len(raw) <= MAX_HEADERS and sum(len(name) + len(value) for name, value in raw) <= MAX_HEADER_BYTES:
            return httpx.Headers([(name, self._redaction.body(value)) for name, value in raw])
        if response.status_code != 200:
            return {}
        raise RetryableSourceError(
            f"an answer with more than {MAX_HEADERS} headers, or over {MAX_HEADER_BYTES} bytes of them"
        )

    def _clean(self, body: bytes) -> bytes:
        try:
            return self._redaction.body(body)
        except UnmendableError as exc:
            raise SourceError(
                "a long answer that repeats the API key, which is refused", kind=SourceErrorKind.TOO_LARGE
            ) from exc


def _read(response: httpx.Response, deadline: float, limit: int) -> bytes:
    """The whole body, unpacked. That it is as long as was announced is seen to by httpx."""
    chunks, size = [], 0
    try:
        for chunk in response.iter_raw():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            if time.monotonic() > deadline:
                raise RetryableSourceError("an answer that does not come to its end")
    except httpx.RemoteProtocolError as exc:
        raise RetryableSourceError("an answer that was cut off") from exc
    body = b"".join(chunks)
    is_packed = response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
    return _unpacked(body, limit) if is_packed else body


def _close(http: httpx.BaseTransport) -> None:
    with bounded(CLOSE_SECONDS):
        http.close()


def _head(response: httpx.Response) -> bytes:
    """The start of an error's body, as far as it comes: the status counts, whatever is wrong with the rest."""
    with suppress(httpx.TransportError):
        return next(response.iter_raw(), b"")[:HEAD_BYTES]
    return b""


def _unpacked(body: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as exc:
        raise RetryableSourceError("a packed answer that is broken") from exc
    if len(plain) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise RetryableSourceError("a packed answer that was cut off")
    return plain


def _too_large(limit: int) -> SourceError:
    return SourceError(f"an answer of more than {limit} bytes", kind=SourceErrorKind.TOO_LARGE)


def _explained(exc: httpx.TransportError) -> SourceError:
    causes = list(_causes(exc))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return SourceError(f"the certificate of the service is not valid: {cause.verify_message}")
    if isinstance(exc, httpx.TimeoutException):
        return RetryableSourceError("no answer in time")
    words = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    reason = words[0] if words else type(exc).__name__
    return RetryableSourceError(f"the connection failed: {reason}")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """An exception and what brought it about; httpcore drops its cause and leaves its context."""
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
