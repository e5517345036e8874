"""A message into a POST to a webhook: bounded in time and bytes, tried again while that may help."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx

from bioqa_pipeline import __version__
from bioqa_pipeline.connections import bounded, connections_to
from bioqa_pipeline.messages import words_of
from bioqa_pipeline.receivers import Receiver
from bioqa_pipeline.redaction import REDACTED

logger = logging.getLogger(__name__)

# Of one try, from the look-up of the name to the answer; what would help later is tried again after these pauses.
TRY_SECONDS = 15.0
PAUSES_SECONDS = (2.0, 8.0)
_HEADERS = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"bioqa/{__version__}"}
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class NotToldError(Exception):
    """A receiver could not be told; says why, without its address."""


def post(
    receiver: Receiver,
    message: Mapping[str, Any],
    *,
    only_public: bool = False,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Sends it, and takes any 2xx for an answer; redirections are not followed, and no body is read.

    Args:
        only_public: not to an address of this machine or its network, whatever name leads there.

    Raises:
        NotToldError: nobody took it.
    """
    body = json.dumps(message, ensure_ascii=False).encode()
    parts = urlsplit(receiver.address)
    # Not by httpx's client, which logs each address whole.
    with closing(connections_to(f"{parts.scheme}://{parts.netloc}")) as http:
        for pause in (*PAUSES_SECONDS, None):
            fault, is_passing = _try(http, receiver.address, body, parts.hostname if only_public else None)
            if not fault:
                return
            if pause is None or not is_passing:
                break
            logger.info("%s: %s; tried again in %g s", receiver, fault, pause)
            (sleep or time.sleep)(pause)
    raise NotToldError(fault)


def _try(http: httpx.BaseTransport, address: str, body: bytes, public_host: str | None) -> tuple[str, bool]:
    """What went wrong, if anything, and whether it may pass."""
    timeouts = httpx.Timeout(TRY_SECONDS).as_dict()
    request = httpx.Request("POST", address, headers=_HEADERS, content=body, extensions={"timeout": timeouts})
    try:
        with bounded(TRY_SECONDS, public_host=public_host), closing(http.handle_request(request)) as response:
            status = response.status_code
    except httpx.TimeoutException:
        return f"no answer within {TRY_SECONDS:g} s", True
    except httpx.TransportError as exc:
        return without(words_of(exc), address), True
    if 200 <= status < 300:
        return "", False
    return f"it answered HTTP {status}", status in _PASSING


def without(text: str, address: str) -> str:
    """A text that may repeat the secret parts of an address, without them."""
    parts = urlsplit(address)
    secrets = [address, f"{parts.path}?{parts.query}", parts.path, parts.query, *parts.path.split("/")]
    for secret in secrets:
        if len(secret) > 7:
            text = text.replace(secret, REDACTED)
    return text
