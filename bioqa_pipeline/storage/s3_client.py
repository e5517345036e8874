"""Requests to an S3 object store, one method each, with errors in words. Knows nothing about data sets.

Made with obstore (Rust's object_store): of the Python clients it alone states conditional creates and updates as modes
of `put` whose refusals are errors of their own, it needs no event loop and no botocore, and it is the client that
polars reads with, so that both understand the same environment.

Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; a web identity or a
container's or instance's role without them), and so do AWS_REGION and AWS_ENDPOINT_URL. A store's answers can repeat an
access key: messages hold its status and error code, never the answer.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.messages import shown
from bioqa_pipeline.storage.uri import ObjectUri

if TYPE_CHECKING:
    from obstore import PutMode

T = TypeVar("T")
Data = bytes | memoryview

# Whole answers of this size come at 100 kB/s, too; larger bodies have time in proportion.
BULK_SECONDS = 300.0
CONNECT_SECONDS = 10.0
RETRY_SECONDS = 120.0
SMALL_BYTES = 8 << 20
PART_BYTES = 64 << 20
MARK = "bioqa-mark"
_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_REGION_CODES = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_METADATA_HOSTS = ("169.254.169.254", "169.254.170.2", "fd00:ec2::254")


class UnansweredError(DatasetError):
    """The store gave no answer, or that it failed: whether it did what was asked is not known."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was at one moment; `modified` by the store's clock, cut to the second."""

    data: bytes
    e_tag: str
    modified: datetime
    mark: str | None


class ObjectClient:
    """Objects below one prefix.

    Args:
        commit_seconds: how long one conditional request may take; it is not repeated here.
        retry_seconds: how long other requests are repeated while the store fails.
    """

    def __init__(self, uri: ObjectUri, *, commit_seconds: float, retry_seconds: float = RETRY_SECONDS) -> None:
        self.uri = uri
        self.retry_seconds = retry_seconds
        self._options = _connection()
        # For polars, which takes the rest from the environment itself; without None it would ask botocore first, where
        # that is installed.
        self.scan_options: dict[str, Any] = {"storage_options": dict(self._options), "credential_provider": None}
        bulk = max(BULK_SECONDS, commit_seconds)
        self._bulk = self._store(timeout=bulk, retry=retry_seconds)
        self._commit = self._store(timeout=commit_seconds, retry=0)
        self._bulk_commit = self._store(timeout=bulk, retry=0)

    def read(self, name: str) -> bytes:
        """A whole object."""
        with self._explained(name):
            return bytes(obstore.get(self._bulk, name).bytes())

    def size(self, name: str) -> int:
        """Bytes of an object."""
        with self._explained(name):
            return obstore.head(self._bulk, name)["size"]

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end` of an object; the range is not empty."""
        with self._explained(name):
            return bytes(obstore.get_range(self._bulk, name, start=start, end=end))

    def write(self, name: str, data: Data) -> None:
        """One whole put; of very large data in parts that appear together."""
        with self._explained(name):
            # Unsigned bytes are the one format of a memoryview that obstore takes.
            whole = memoryview(data).cast("B")
            obstore.put(self._bulk, name, whole, use_multipart=len(data) > PART_BYTES, chunk_size=PART_BYTES // 4)

    def create(self, name: str, data: Data, *, mark: str) -> str | None:
        """Creates an object with a mark in its metadata unless one is there: its ETag, or None. Atomic."""
        store = self._commit if len(data) <= SMALL_BYTES else self._bulk_commit
        return self._put_if(store, name, data, "create", {MARK: mark})

    def update(self, name: str, data: Data, e_tag: str) -> str | None:
        """Replaces the object that has this ETag: the new one, or None where it has another or is gone. Atomic."""
        store = self._commit if len(data) <= SMALL_BYTES else self._bulk_commit
        return self._put_if(store, name, data, cast("PutMode", {"e_tag": e_tag}))

    def find(self, name: str, *, head: bool = False) -> Found | None:
        """An object, if it is there; `head` leaves its data out."""
        with self._explained(name):
            try:
                answer = obstore.get(self._commit, name, options={"head": True} if head else {})
                data = b"" if head else bytes(answer.bytes())
            except FileNotFoundError as exc:
                if "NoSuchBucket" in str(exc):
                    raise
                return None
        mark = answer.attributes.get(MARK)
        return Found(data, answer.meta["e_tag"] or "", answer.meta["last_modified"], mark)

    def names(self, folder: str) -> list[str]:
        """Objects and folders directly in a folder, by their own names, sorted."""
        with self._explained(folder):
            found = obstore.list_with_delimiter(self._bulk, folder or None)
        paths = [*found["common_prefixes"], *(item["path"] for item in found["objects"])]
        return sorted({path.rstrip("/").rpartition("/")[2] for path in paths if path.strip("/") != folder})

    def is_empty(self) -> bool:
        """Whether there is no object at all."""
        with self._explained(""):
            return not any(True for some in obstore.list(self._bulk, chunk_size=1) for _ in some)

    def below(self, folder: str) -> list[str]:
        """All objects in a folder and its folders."""
        return [name for name, _, _ in self.listed(folder)]

    def listed(self, folder: str) -> list[tuple[str, int, str]]:
        """The same with sizes and ETags."""
        with self._explained(folder):
            found = [item for some in obstore.list(self._bulk, folder or None) for item in some]
        return [(item["path"], item["size"], item["e_tag"] or "") for item in found]

    def delete(self, names: Sequence[str]) -> None:
        """Deletes objects, a thousand a request; one that is not there is no error."""
        if names:
            with self._explained(names[0]):
                obstore.delete(self._bulk, list(names))

    def place(self, name: str) -> str:
        """The URI of a name."""
        return f"{self.uri}/{name}" if name else str(self.uri)

    def _put_if(
        self, store: S3Store, name: str, data: Data, mode: PutMode, attributes: dict[str, str] | None = None
    ) -> str | None:
        with self._explained(name):
            try:
                made = obstore.put(store, name, data, mode=mode, attributes=attributes, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
        return made["e_tag"] or ""

    def _store(self, *, timeout: float, retry: float) -> S3Store:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint = self._options.get("aws_endpoint_url")
        return S3Store(
            self.uri.bucket,
            prefix=self.uri.prefix,
            config={"region": region, **({"endpoint": endpoint} if endpoint else {})},
            client_options={
                "allow_http": "aws_allow_http" in self._options,
                "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, timeout)),
                "timeout": timedelta(seconds=timeout),
            },
            retry_config={
                "max_retries": 1000 if retry else 0,
                "retry_timeout": timedelta(seconds=retry),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=10),
                    "base": 2,
                },
            },
        )

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        except (BaseError, FileNotFoundError) as exc:
            # Not chained: the store's answer, which the cause holds, can repeat an access key.
            raise self._error(name, exc, time.monotonic() - begun) from None

    def _error(self, name: str, exc: Exception, seconds: float) -> DatasetError:
        text = str(exc)
        status, code = _STATUS.search(text), _CODE.search(text)
        # A code that is a secret is no code.
        said = shown(" ".join(match[1] for match in (status, code) if match))
        number = int(status[1]) if status else None
        place = self.place(name)
        if code and code[1] == "NoSuchBucket":
            return DatasetError(f"{place}: there is no bucket {self.uri.bucket}; make it first")
        if isinstance(exc, FileNotFoundError):
            return DatasetError(f"{place} is gone; was the data set changed by hand?")
        if any(host in text for host in _METADATA_HOSTS):
            return DatasetError(f"{place}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        if code and code[1] in _REGION_CODES:
            return DatasetError(f"{place}: the bucket is in another region ({said}); set AWS_REGION")
        if number in {401, 403}:
            return DatasetError(
                f"{place}: the store refused this ({said}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and "
                "that they may list, read, write and delete here"
            )
        if number is None or number >= 500 or number in {408, 429}:
            at = f" at {self._host()}" if self._host() else ""
            return UnansweredError(
                f"{place}: the store{at} {f'failed ({said})' if said else 'does not answer'}, {seconds:.0f} s long. "
                "What is committed is whole and stays; run again: only what is missing is scored"
            )
        return DatasetError(f"{place}: the store refused this ({said})")

    def _host(self) -> str:
        return urlsplit(self._options.get("aws_endpoint_url", "")).netloc


def _connection() -> dict[str, str]:
    """Endpoint and plain HTTP, by the names that polars knows them by; empty for Amazon's own."""
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None:
        return {}
    url = urlsplit(endpoint)
    if any(mark in endpoint for mark in "@?#") or url.scheme not in {"http", "https"} or not url.hostname:
        raise DatasetError(
            "AWS_ENDPOINT_URL: give https://HOST or https://HOST:PORT, without a user, a password or a query"
        )
    if url.scheme == "https":
        return {"aws_endpoint_url": endpoint}
    if not _is_loopback(url.hostname) and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in {"1", "true"}:
        raise DatasetError(
            f"AWS_ENDPOINT_URL: {url.netloc} would be spoken to in the clear; use https, or set AWS_ALLOW_HTTP=true"
        )
    return {"aws_endpoint_url": endpoint, "aws_allow_http": "true"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def persistent(attempt: Callable[[], T | None], seconds: float, *, until_known: bool = False) -> T | None:
    """The first answer that the store gives; with `until_known` the first that is not None, if one comes in time.

    For requests that change nothing when they are repeated.
    """
    give_up = time.monotonic() + seconds
    wait = _BACKOFF_SECONDS
    while True:
        try:
            answer = attempt()
            if answer is not None or not until_known or time.monotonic() >= give_up:
                return answer
        except UnansweredError:
            if time.monotonic() >= give_up:
                raise
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_BACKOFF_SECONDS)
