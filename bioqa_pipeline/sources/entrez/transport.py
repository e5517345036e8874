"""Requests as Bio.Entrez builds them into decoded answers: the part of Bio.Entrez that sends is replaced.

Everything is POSTed, so the API key is in no address; redirections are refused; a request has time-outs, its body is
read whole and within a limit before it counts as an answer, and whatever may pass is tried again, as late as the
service asks. An error says its kind and the HTTP status, never the key. Threads may share one transport.

Bio.Entrez keeps its state in globals of its module and sends from inside its public functions. Here those functions run
in a copy of the module, in which sending gives back the request: other users of Bio.Entrez in the process notice
nothing, and no lock is needed. Its parsers are not used, so none of their downloads and folders comes about.
"""

from __future__ import annotations

import http.client
import importlib.util
import logging
import random
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Literal, TypeVar
from urllib.parse import quote_plus, urlsplit

from pydantic import SecretStr

from bioqa_pipeline.errors import ConfigError, RetryableSourceError, SourceError, SourceErrorKind
from bioqa_pipeline.sources.entrez.rate_limit import RateLimiter, private_folder
from bioqa_pipeline.sources.entrez.responses import HEAD_BYTES, as_integer, check_body, check_status
from bioqa_pipeline.sources.entrez.settings import ANONYMOUS_LIMIT, KEY_LIMIT, TOOL, EntrezSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")
Utility = Literal["esearch", "efetch"]

CHUNK_BYTES = 1 << 16
# So many requests in a row given up: the service is down, and further ones get a single try until one succeeds.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Failure:
    """One try that failed. Not an exception: what is raised in the end must not drag the causes with it."""

    kind: SourceErrorKind
    reason: str
    is_passing: bool
    retry_after_seconds: float | None = None


class EntrezTransport:
    """Sends requests and tries them again.

    Args:
        email: sent with every request.
        api_key: sent with every request where there is one.

    Raises:
        SourceError: kind "rate_limit_file", the file that keeps the rate cannot be used.
    """

    def __init__(self, settings: EntrezSettings, *, email: str, api_key: SecretStr | None = None) -> None:
        self.settings = settings
        self.limiter = _limiter(settings, has_key=api_key is not None)
        self._email, self._api_key = email, api_key
        self._given_up = 0
        self._silent_until = 0.0
        self._lock = threading.Lock()
        self._opener = _opener(settings)
        self.limiter.pause(0.0)  # says now, and not with the first question, that its file cannot be used

    def call(
        self, utility: Utility, params: Mapping[str, str], decode: Callable[[bytes], T], *, roots: tuple[str, ...]
    ) -> T:
        """Sends one request until an answer can be decoded.

        Args:
            params: besides db, tool, email and key, which are added.
            decode: body into answer; may raise SourceError, and RetryableSourceError to have it sent again.
            roots: names of the root element that a good answer has.

        Raises:
            RetryableSourceError: it failed so often that it was given up.
            SourceError: it cannot succeed.
        """
        body = _built(utility, {**params, "db": "pubmed", "tool": TOOL, "email": self._email})
        started = time.monotonic()
        if started < self._silent_until:
            raise RetryableSourceError(
                f"{utility}: not sent, NCBI asked for a pause of another {self._silent_until - started:.0f} s",
                kind=SourceErrorKind.HTTP_429,
            )
        tries = 1 if self._given_up >= PATIENCE else self.settings.max_tries
        for n_try in range(1, tries + 1):
            result = self._try(utility, body, decode, roots)
            if not isinstance(result, _Failure):
                self._given_up = 0
                return result
            wait = self._wait_after(result, n_try)
            if wait is None or n_try == tries:
                break
            logger.info("%s: %s; try %d of %d in %.1f s", utility, result.reason, n_try + 1, tries, wait)
            time.sleep(wait)
        assert isinstance(result, _Failure)
        if not result.is_passing:
            raise SourceError(f"{utility}: {result.reason}", kind=result.kind)
        with self._lock:
            self._given_up += 1
        spent = time.monotonic() - started
        raise RetryableSourceError(
            f"{utility}: {result.reason}; given up after try {n_try} in {spent:.0f} s", kind=result.kind
        )

    def redacted(self, text: str) -> str:
        """A text of the service's without the key, which it repeats in some messages."""
        key = self._api_key.get_secret_value() if self._api_key else ""
        return text.replace(key, "***").replace(quote_plus(key), "***") if key else text

    def _try(self, utility: str, body: bytes, decode: Callable[[bytes], T], roots: tuple[str, ...]) -> T | _Failure:
        response = self._exchange(utility, body)
        if isinstance(response, _Failure):
            return response
        try:
            check_status(response.status, response.body)
            check_body(response.body, roots)
            return decode(response.body)
        except SourceError as exc:
            is_passing = isinstance(exc, RetryableSourceError)
            return _Failure(exc.kind, self.redacted(str(exc)), is_passing, _retry_after(response.headers))

    def _exchange(self, utility: str, body: bytes) -> _Response | _Failure:
        """One request and its whole answer, within the rate."""
        headers: Mapping[str, str] = {}
        token = self.limiter.acquire()
        try:
            response = self._opener.open(self._request(utility, body), timeout=self.settings.timeout_seconds)
            assert response is not None
            with response:
                headers = response.headers
                body = self._read(response) if response.status == 200 else _head(response)
                return _Response(response.status, headers, body)
        except SourceError as exc:
            return _Failure(exc.kind, str(exc), isinstance(exc, RetryableSourceError))
        except (OSError, http.client.HTTPException, zlib.error) as exc:
            return _connection_failure(exc)
        finally:
            self.limiter.release(
                token,
                told_limit=as_integer(headers.get("X-RateLimit-Limit")),
                told_remaining=as_integer(headers.get("X-RateLimit-Remaining")),
            )

    def _request(self, utility: str, body: bytes) -> urllib.request.Request:
        if self._api_key:
            body += b"&api_key=" + quote_plus(self._api_key.get_secret_value()).encode()
        headers = {"User-Agent": TOOL, "Accept-Encoding": "identity"}
        return urllib.request.Request(f"{self.settings.base_url}{utility}.fcgi", body, headers, method="POST")

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The body as far as it was announced, unpacked."""
        deadline = time.monotonic() + self.settings.try_seconds
        limit = self.settings.max_body_bytes
        chunks, size = [], 0
        while chunk := response.read1(CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise SourceError(f"an answer of more than {limit} bytes", kind=SourceErrorKind.BODY_TOO_LARGE)
            if time.monotonic() > deadline:
                raise RetryableSourceError("an answer that does not come to its end", kind=SourceErrorKind.TIMEOUT)
        announced = as_integer(response.headers.get("Content-Length"))
        if announced is not None and announced != size:
            raise RetryableSourceError(
                f"an answer cut off at {size} of {announced} bytes", kind=SourceErrorKind.TRUNCATED
            )
        body = b"".join(chunks)
        return _unpacked(body, limit) if response.headers.get("Content-Encoding") == "gzip" else body

    def _wait_after(self, failure: _Failure, n_try: int) -> float | None:
        """Seconds until the next try; None where there must be none. A limit that was hit stops all others, too."""
        settings = self.settings
        if not failure.is_passing:
            return None
        asked = failure.retry_after_seconds or 0.0
        if asked > settings.max_retry_after_seconds:
            logger.warning("NCBI asks for a pause of %.0f s: nothing is sent to it until then", asked)
            self._silent_until = time.monotonic() + asked
            return None
        backoff = min(settings.max_backoff_seconds, settings.backoff_seconds * 2.0 ** (n_try - 1))
        wait = max(asked, backoff * random.uniform(0.5, 1.0))
        if failure.kind in (SourceErrorKind.HTTP_429, SourceErrorKind.RATE_LIMITED):
            self.limiter.pause(wait)
        return wait


def _opener(settings: EntrezSettings) -> urllib.request.OpenerDirector:
    """Opens addresses without following redirections; whatever the status, the response comes back."""
    is_plain = settings.base_url.startswith("http:")
    opener = urllib.request.OpenerDirector()
    # A plain address is one of this machine, and its requests must not leave it through a proxy.
    opener.add_handler(urllib.request.ProxyHandler({} if is_plain else None))
    opener.add_handler(urllib.request.HTTPHandler())
    # One context for all connections: each would read the certificates anew.
    opener.add_handler(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    return opener


def _limiter(settings: EntrezSettings, *, has_key: bool) -> RateLimiter:
    """One for each service and way of being counted; not for each key, which then need not stand in a name."""
    folder = settings.lock_dir or private_folder()
    with suppress(OSError):  # the limiter says what is wrong with it
        folder.mkdir(parents=True, exist_ok=True)
    parts = urlsplit(settings.base_url)
    name = f"{parts.hostname}-{parts.port or 443}-{'key' if has_key else 'address'}.rate"
    return RateLimiter(folder / name, settings.requests_per_second or (KEY_LIMIT if has_key else ANONYMOUS_LIMIT))


@cache
def _private_entrez() -> Any:
    """A copy of Bio.Entrez of our own whose functions give back the request in place of sending it."""
    spec = importlib.util.find_spec("Bio.Entrez")
    if spec is None or spec.loader is None:
        raise ConfigError("Biopython is not installed: pip install biopython")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._open = lambda request: request
    return module


def _built(utility: Utility, params: Mapping[str, str]) -> bytes:
    """The form-encoded body of a request, from Bio.Entrez."""
    request = getattr(_private_entrez(), utility)(**params)
    if not isinstance(request, urllib.request.Request):
        raise ConfigError("this version of Biopython builds its requests in another way: install 1.88")
    data = request.data
    return data if isinstance(data, bytes) else urlsplit(request.full_url).query.encode()


def _head(response: http.client.HTTPResponse) -> bytes:
    """The start of an error's body, as far as it comes: the status counts, whatever is wrong with the rest."""
    with suppress(OSError, http.client.HTTPException):
        return response.read1(HEAD_BYTES)
    return b""


def _connection_failure(exc: Exception) -> _Failure:
    cause = getattr(exc, "reason", exc)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _Failure(
            SourceErrorKind.CERTIFICATE, f"the certificate of the service is not valid: {cause.verify_message}", False
        )
    if isinstance(cause, TimeoutError):
        return _Failure(SourceErrorKind.TIMEOUT, "no answer in time", True)
    if isinstance(exc, http.client.IncompleteRead | zlib.error):
        return _Failure(SourceErrorKind.TRUNCATED, "an answer that was cut off", True)
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
    return _Failure(SourceErrorKind.CONNECTION, f"the connection failed: {words}", True)


def _unpacked(body: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    plain = unpacker.decompress(body, limit + 1)
    if len(plain) > limit:
        raise SourceError(f"an answer of more than {limit} bytes", kind=SourceErrorKind.BODY_TOO_LARGE)
    if not unpacker.eof:
        raise RetryableSourceError("a packed answer that was cut off", kind=SourceErrorKind.TRUNCATED)
    return plain


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service asks to wait for, given as such or as a date."""
    value = headers.get("Retry-After")
    seconds = as_integer(value)
    if seconds is not None:
        return float(seconds)
    until = _moment(value)
    if until is None:
        return None
    # By the service's own clock where it tells it: ours may be wrong.
    now = _moment(headers.get("Date")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _moment(text: str | None) -> datetime | None:
    """A date of HTTP; None of anything else."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
