"""A message to a notification block of Prefect: Slack, Teams, e-mail, or whatever else its types can tell."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from contextvars import copy_context

from prefect.blocks import notifications as notifications  # so that its types are known
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block

from bioqa_pipeline.messages import words_of
from bioqa_pipeline.notify.news import News
from bioqa_pipeline.notify.webhook import NotToldError
from bioqa_pipeline.receivers import Receiver

# Blocks have bounds of their own, or none.
BLOCK_SECONDS = 60.0
_THREAD = "bioqa tells a block"


def tell_block(receiver: Receiver, news: News) -> None:
    """Has the block send subject and text.

    Raises:
        NotToldError: there is no such block, it is none that tells anybody, or it failed.
    """
    try:
        block = Block.load(receiver.address)
    except ValueError as exc:
        raise NotToldError(f"there is no such block on the server: {words_of(exc)}") from exc
    if not isinstance(block, NotificationBlock):
        raise NotToldError(f"{type(block).__name__} is no notification block")
    # Its client logs each address whole.
    logging.getLogger("httpx").addFilter(_is_of_others)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            with block.raise_on_failure():
                sent: object = block.notify(news.text(), subject=news.subject())
                if inspect.iscoroutine(sent):
                    asyncio.run(sent)
        except BaseException as exc:
            failed.append(exc)

    # What hangs must not hold the run.
    thread = threading.Thread(target=copy_context().run, args=(send,), name=_THREAD, daemon=True)
    thread.start()
    thread.join(BLOCK_SECONDS)
    if thread.is_alive():
        raise NotToldError(f"no end within {BLOCK_SECONDS:g} s")
    if failed:
        # What it says of itself may hold its address, and is not repeated.
        what = "the service did not take it" if isinstance(failed[0], NotificationError) else type(failed[0]).__name__
        raise NotToldError(what) from None


def _is_of_others(record: logging.LogRecord) -> bool:
    return record.threadName != _THREAD
