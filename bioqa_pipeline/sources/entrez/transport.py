"""Requests as Bio.Entrez builds them into decoded answers: sent, and sent again while that may help.

Whatever may pass is tried again, as late as the service asks. An error says its kind and the HTTP status, never the
key. Threads may share one transport.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeVar
from urllib.parse import quote_plus, urlsplit

import httpx
from Bio import Entrez
from pydantic import SecretStr

from bioqa_pipeline.errors import RetryableSourceError, SourceError, SourceErrorKind
from bioqa_pipeline.redaction import Redaction, is_distinctive
from bioqa_pipeline.sources.entrez.exchange import Exchange
from bioqa_pipeline.sources.entrez.rate_limit import MAX_PAUSE_SECONDS, RateLimiter, private_folder
from bioqa_pipeline.sources.entrez.responses import MAX_SEARCH_BYTES, as_integer, check_body, check_status
from bioqa_pipeline.sources.entrez.settings import ANONYMOUS_LIMIT, KEY_LIMIT, TOOL, EntrezSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")
Utility = Literal["esearch", "efetch"]

# So many requests in a row given up: the service is down, and further ones get a single try until one succeeds.
PATIENCE = 3


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
        http: see `Exchange`.

    Raises:
        ConfigError: the address of the service, or of a proxy, cannot be used.
        SourceError: the file that keeps the rate cannot be used.
    """

    def __init__(
        self,
        settings: EntrezSettings,
        *,
        email: str,
        api_key: SecretStr | None = None,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.limiter = _limiter(settings, has_key=api_key is not None)
        self._email, self._api_key = email, api_key
        if api_key and not is_distinctive(api_key.get_secret_value()):
            logger.warning(
                "the API key is so short or so much like a word or a number that it is not looked for in what NCBI "
                "repeats; a key of NCBI's has 36 characters"
            )
        self._given_up = 0
        self._silent_until = 0.0
        self._lock = threading.Lock()
        self.limiter.pause(0.0)  # says now, and not with the first question, that its file cannot be used
        self._redaction = Redaction([api_key.get_secret_value()] if api_key else [])
        self._exchange = Exchange(settings, self.limiter, http=http, redaction=self._redaction)

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
        url = f"{self.settings.base_url}{utility}.fcgi"
        form = _form(url, {**params, "db": "pubmed", "tool": TOOL, "email": self._email})
        limit = MAX_SEARCH_BYTES if utility == "esearch" else None
        started = time.monotonic()
        if started < self._silent_until:
            raise RetryableSourceError(
                f"{utility}: not sent, NCBI asked for a pause of another {self._silent_until - started:.0f} s",
                kind=SourceErrorKind.TOO_MANY,
            )
        tries = 1 if self._given_up >= PATIENCE else self.settings.max_tries
        for n_try in range(1, tries + 1):
            result = self._try(url, form, decode, roots, limit)
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
        """A text without the key."""
        return self._redaction.text(text)

    def _try(
        self, url: str, form: bytes, decode: Callable[[bytes], T], roots: tuple[str, ...], limit: int | None
    ) -> T | _Failure:
        headers: Mapping[str, str] = {}
        if self._api_key:
            form += f"&api_key={quote_plus(self._api_key.get_secret_value())}".encode()
        try:
            response = self._exchange.post(url, form, limit=limit)
            headers = response.headers
            check_status(response.status, response.body)
            check_body(response.body, roots)
            return decode(response.body)
        except SourceError as exc:
            is_passing = isinstance(exc, RetryableSourceError)
            return _Failure(exc.kind, self.redacted(str(exc)), is_passing, _retry_after(headers))

    def _wait_after(self, failure: _Failure, n_try: int) -> float | None:
        """Seconds until the next try; None where there must be none. A limit that was hit stops all others, too."""
        settings = self.settings
        if not failure.is_passing:
            return None
        asked = failure.retry_after_seconds or 0.0
        if asked > settings.max_retry_after_seconds:
            asked = min(asked, MAX_PAUSE_SECONDS)
            logger.warning("NCBI asks for a long pause: nothing is sent to it for %.0f s", asked)
            self._silent_until = time.monotonic() + asked
            return None
        backoff = min(settings.max_backoff_seconds, settings.backoff_seconds * 2.0 ** (n_try - 1))
        wait = max(asked, backoff * random.uniform(0.5, 1.0))
        if failure.kind is SourceErrorKind.TOO_MANY:
            self.limiter.pause(wait)
        return wait


def _limiter(settings: EntrezSettings, *, has_key: bool) -> RateLimiter:
    """One for each service and way of being counted; not for each key, which then need not stand in a name."""
    folder = settings.lock_dir or private_folder()
    with suppress(OSError):  # the limiter says what is wrong with it
        folder.mkdir(parents=True, exist_ok=True)
    parts = urlsplit(settings.base_url)
    name = f"{parts.hostname}-{parts.port or 443}-{'key' if has_key else 'address'}.rate"
    return RateLimiter(folder / name, settings.requests_per_second or (KEY_LIMIT if has_key else ANONYMOUS_LIMIT))


def _form(url: str, params: Mapping[str, str]) -> bytes:
    """The form-encoded body of a request, from Bio.Entrez.

    Its public functions send what they build, over connections and at a rate of their own; so their builder is called,
    which has no public name. It keeps nothing, and of the state of the module it would take only what is not given.
    """
    # With None it sends no key: somebody else's in this process may have been left in the module.
    request = Entrez._build_request(url, {**params, "api_key": None}, post=True)  # type: ignore[no-untyped-call]
    data: bytes = request.data
    return data


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
