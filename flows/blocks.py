"""A message to a notification block of Prefect: Slack, Teams, e-mail, or whatever else its types can tell."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from contextvars import copy_context

from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.notifications import AppriseNotificationBlock
from pydantic import Field, SecretStr

from bioqa_pipeline.notify.news import News
from bioqa_pipeline.notify.webhook import NotToldError
from bioqa_pipeline.receivers import Receiver

# Blocks have bounds of their own, or none.
BLOCK_SECONDS = 60.0
# What blocks send with; they log addresses whole.
_LOGGERS = ("httpx", "apprise", *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy")))
_THREAD = "bioqa tells a block"


class Mail(AppriseNotificationBlock):
    """E-mail through a server of your own: mailtos://USER:PASSWORD@SMTP-HOST?from=A@HOST&to=B@HOST."""

    _block_type_name = "bioqa Mail"
    _block_type_slug = "bioqa-mail"
    url: SecretStr = Field(description="mailtos://USER:PASSWORD@SMTP-HOST?from=A@HOST&to=B@HOST, as Apprise has it")


def tell_block(receiver: Receiver, news: News) -> None:
    """Has the block send subject and text.

    Raises:
        NotToldError: there is no such block, it is none that tells anybody, or it failed.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_of_others)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            _send(receiver, news)
        except BaseException as exc:
            failed.append(exc)

    # What hangs must not hold the run.
    thread = threading.Thread(target=copy_context().run, args=(send,), name=_THREAD, daemon=True)
    thread.start()
    thread.join(BLOCK_SECONDS)
    if thread.is_alive():
        raise NotToldError(f"no end within {BLOCK_SECONDS:g} s")
    if failed and isinstance(failed[0], NotToldError):
        raise failed[0]
    if failed:
        # What it says of itself may hold its address, and is not repeated.
        what = "the service did not take it" if isinstance(failed[0], NotificationError) else type(failed[0]).__name__
        raise NotToldError(what)


def _send(receiver: Receiver, news: News) -> None:
    try:
        block = Block.load(receiver.address)
    except ValueError as exc:
        raise NotToldError(f"there is no such block that can be used on the server of Prefect: {receiver}") from exc
    if not isinstance(block, NotificationBlock):
        raise NotToldError(f"{type(block).__name__} is no notification block")
    with block.raise_on_failure():
        sent: object = block.notify(news.text(), subject=news.subject())
        if inspect.iscoroutine(sent):
            asyncio.run(sent)


def _is_of_others(record: logging.LogRecord) -> bool:
    return record.threadName != _THREAD
