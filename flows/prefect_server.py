"""What becomes of a run whose Prefect server goes away: Prefect keeps account of runs, the data set does not need it.

Prefect's own way then is to try for a minute to report the end, to raise what httpx raised, and at exit to try for ten
seconds to deliver each single event, which is hours for a run of many shards.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import NoReturn
from urllib.parse import urlsplit

import httpx
from prefect.client.base import ServerType, determine_server_type
from prefect.exceptions import TerminationSignal
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)

from bioqa_pipeline.errors import BioqaError, ConfigError
from flows.server_settings import new_login
from flows.signals import Terminated

logger = logging.getLogger(__name__)

REACH_SECONDS = 3.0

_lost = threading.Event()


class ServerLostError(BioqaError):
    """The run broke off, or could not start, because the Prefect server cannot be reached."""


def server_address() -> str:
    """For messages."""
    return f"the Prefect server at {PREFECT_API_URL.value()}" if PREFECT_API_URL.value() else "Prefect's own server"


def is_server_lost(exc: BaseException) -> bool:
    """Whether this is what Prefect raises where its server cannot be reached; notes that it was, for `leave`."""
    lost = isinstance(exc, httpx.TransportError) or "Failed to reach API" in str(exc)
    if lost:
        _lost.set()
    return lost


@contextmanager
def own_server() -> Iterator[None]:
    """Prefect's temporary server, where there is to be one, out of reach of Ctrl-C, for this run and nobody else.

    A terminal sends Ctrl-C to all its processes, and a run that is interrupted still has to tell its server so.
    """
    if determine_server_type() is not ServerType.EPHEMERAL:
        yield
        return
    # Its database holds Secret blocks, and beside them what decrypts them.
    with suppress(OSError):
        PREFECT_HOME.value().mkdir(mode=0o700, parents=True)
    # Known to this process and to the server's, and never written down.
    login = new_login()
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: login, PREFECT_API_AUTH_STRING: login}):
        started: Future[None] = Future()
        # In a thread, whose mask the server inherits, so that Ctrl-C still ends the wait for it here.
        start = partial(copy_context().run, _start_unreached, started)
        threading.Thread(target=start, daemon=True).start()
        started.result()
        yield


def _start_unreached(started: Future[None]) -> None:
    from prefect.server.api.server import SubprocessASGIServer

    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        SubprocessASGIServer().start()
        started.set_result(None)
    except Exception as exc:
        started.set_exception(exc)


def check_server() -> None:
    """Asks the server that Prefect is set to use whether it is there and takes our login.

    Raises:
        ConfigError: it does not, in one line.
    """
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client._client.get("/admin/version", timeout=REACH_SECONDS).raise_for_status()
    except httpx.HTTPStatusError as exc:
        raise ConfigError(_refusal(exc) or f"{server_address()} answers {exc.response.status_code}") from exc
    except (httpx.HTTPError, httpx.InvalidURL, OSError, RuntimeError, ValueError) as exc:
        reason = str(exc) or type(exc).__name__
        raise ConfigError(
            f"{server_address()} cannot be reached ({reason}); start it, or unset PREFECT_API_URL"
        ) from exc


def login_refusal(exc: BaseException) -> str | None:
    """What to do about it, where the server refused our login."""
    return _refusal(exc) if isinstance(exc, httpx.HTTPStatusError) else None


def _refusal(exc: httpx.HTTPStatusError) -> str | None:
    if exc.response.status_code not in {401, 403}:
        return None
    return (
        f"{server_address()} refuses the login: set PREFECT_API_AUTH_STRING to the server's own, which "
        "python -m flows.server --settings finds for a server of yours"
    )


def interruption(exc: BaseException | None) -> BaseException | None:
    """What interrupted the run, where it was in handling that that this was raised."""
    while exc is not None and isinstance(exc, Exception):
        exc = exc.__context__
    return Terminated() if isinstance(exc, TerminationSignal) else exc


def warn_if_unreachable() -> None:
    """Says that the end of the run will take a while, where the server has gone."""
    url = urlsplit(PREFECT_API_URL.value() or "")
    if url.hostname is None:
        return
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname, port), timeout=REACH_SECONDS).close()
    except OSError:
        logger.warning("%s does not answer: trying for a minute to report the end of the run", server_address())


def leave(code: int) -> NoReturn:
    """Ends the process; where the server was lost, without its undelivered events."""
    if _lost.is_set():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
