"""Connections with bounds on all that a request waits for: name, connecting, head, 1xx answers, trailers, body.

In time and bytes. httpx bounds each silence only, so that an answer that drips never ends, and one that pours forth
what is no body never does either; the look-up of a name it does not bound at all.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from bioqa_pipeline.addresses import is_global
from bioqa_pipeline.errors import ConfigError

# Status line and headers, the 1xx answers before them included.
MAX_HEAD_BYTES = 256 << 10
_START_BYTES = 64
_WRITE_BYTES = 8192
# As many as NCBI takes requests in a second.
_KEPT_OPEN = 10
# What logs an answer's headers, or the address of a proxy with its password, at DEBUG.
_LOGGERS = ("connection", "http11", "http2", "proxy", "socks")


@dataclass(slots=True)
class Bounds:
    """Of one request.

    Attributes:
        ends: when it has to be over, by the steady clock.
        bytes_left: how much may still come.
        start: the first bytes that came, for what can be told from an answer that cannot be read.
        public_host: a host that is connected to at addresses of the whole internet only, whatever its name leads to.
    """

    ends: float
    bytes_left: int = MAX_HEAD_BYTES
    start: bytes = b""
    public_host: str | None = None

    def seconds_left(self, timeout: float | None, late: type[Exception]) -> float:
        """The shorter of the two waits."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise late("the deadline of the request has passed")
        return left if timeout is None else min(timeout, left)

    def count(self, data: bytes) -> bytes:
        """Data that came."""
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            raise httpcore.RemoteProtocolError("more than any answer has")
        if len(self.start) < _START_BYTES:
            self.start += data[:_START_BYTES]
        return data

    def may_connect(self, host: str, address: str) -> bool:
        """Whether the host may be connected to at this address."""
        return host != self.public_host or is_global(ipaddress.ip_address(address))


class _OfThread(threading.local):
    """No context variable: what a library leaves behind in a context, garbage that is collected too, can change which
    context a thread has in the middle of a request."""

    bounds: Bounds | None = None


_own = _OfThread()


@contextmanager
def bounded(seconds: float, *, public_host: str | None = None) -> Iterator[Bounds]:
    """Requests of this thread through `connections_to` keep to these bounds, and nothing of them is logged."""
    before, _own.bounds = _own.bounds, Bounds(time.monotonic() + seconds, public_host=public_host)
    try:
        yield _own.bounds
    finally:
        _own.bounds = before


def connections_to(base_url: str) -> httpx.HTTPTransport:
    """Connections to a service, through the proxy that the environment names for https, if any.

    Raises:
        ConfigError: its address, or that of a proxy, cannot be used.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as exc:
        raise ConfigError(f"{base_url}: {exc}") from exc
    proxy = None
    # A plain address is one of this machine, and its requests must not leave it through a proxy.
    if url.scheme == "https" and not urllib.request.proxy_bypass(url.netloc.decode()):
        proxy = urllib.request.getproxies().get("https")
    try:
        return _BoundedTransport(
            # One context for all connections: each would read the certificates anew.
            verify=ssl.create_default_context(),
            trust_env=False,
            proxy=f"http://{proxy}" if proxy and "://" not in proxy else proxy,
            limits=httpx.Limits(max_keepalive_connections=_KEPT_OPEN),
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        # Its address is not shown: it may hold a password.
        raise ConfigError("HTTPS_PROXY: no proxy that can be used, such as http://host:port") from None


class _BoundedTransport(httpx.HTTPTransport):
    """Its connections keep to the bounds of the request that uses them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in _LOGGERS:
            # Whatever levels others set. A filter that is there already is not added again.
            logging.getLogger(f"httpcore.{name}").addFilter(_is_of_others)
        # httpcore's pools take a backend, which httpx's transport does not hand on.
        self._pool._network_backend = _Backend()


def _is_of_others(record: logging.LogRecord) -> bool:
    return _own.bounds is None


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """One of the host's addresses after the other: the standard library gives each of them the whole time."""
        error: Exception = httpcore.ConnectError("the host has no address")
        for *_, address in _look_up(host, port, _left(timeout, httpcore.ConnectTimeout)):
            if (bounds := _own.bounds) and not bounds.may_connect(host, str(address[0])):
                error = httpcore.ConnectError("the host's name leads to an address of this machine or its network")
                continue
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                return _Stream(super().connect_tcp(str(address[0]), port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                error = exc
        raise error


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        bounds = _own.bounds
        return data if bounds is None else bounds.count(data)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            left = _left(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _WRITE_BYTES], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


_lookups: dict[tuple[str, int], Future[list[Any]]] = {}
_lookups_lock = threading.Lock()


def _look_up(host: str, port: int, timeout: float | None) -> list[Any]:
    """The addresses of a host, looked up in a thread: the system's resolver takes no deadline, and cannot be stopped.

    Who asks for a name that is being looked up waits for that answer, so that a resolver that hangs holds one thread.
    """
    key = host, port
    with _lookups_lock:
        if (lookup := _lookups.get(key)) is None:
            lookup = _lookups[key] = Future()
            threading.Thread(target=_resolve, args=(key, lookup), name=f"look up {host}", daemon=True).start()
    try:
        return lookup.result(timeout)
    except TimeoutError as exc:
        raise httpcore.ConnectTimeout("the host's name was not looked up in time") from exc
    except (OSError, UnicodeError) as exc:
        raise httpcore.ConnectError(str(exc)) from exc


def _resolve(key: tuple[str, int], lookup: Future[list[Any]]) -> None:
    found, error = [], None
    try:
        found = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
    except Exception as exc:
        error = exc
    with _lookups_lock:
        del _lookups[key]
    if error:
        lookup.set_exception(error)
    else:
        lookup.set_result(found)


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    bounds = _own.bounds
    return timeout if bounds is None else bounds.seconds_left(timeout, late)
