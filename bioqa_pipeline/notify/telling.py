"""A finished run and its receivers into messages that were sent, and words for those that were not.

The run is committed before anybody is told, and nothing that a receiver does fails it. Whom it could not reach is not
told again; the feed in the data set holds what was missed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.messages import counted, words_of
from bioqa_pipeline.notify.news import News, read_news
from bioqa_pipeline.notify.webhook import NotToldError, post
from bioqa_pipeline.receivers import Receiver

logger = logging.getLogger(__name__)

TellBlock = Callable[[Receiver, News], None]


def tell(
    config: RunConfig,
    manifest: RunManifest,
    *,
    say: Callable[[str], None],
    block: TellBlock | None = None,
    addresses: Iterable[str] = (),
    declared: Collection[str] | None = None,
) -> int:
    """Tells all receivers what is new, if anything is; says how it went, and how many could not be told.

    Args:
        say: takes a line about it.
        block: tells a block of Prefect, or raises NotToldError.
        addresses: of webhooks that settings which were stored name without their secrets.
        declared: webhooks that may be on this machine or its network; None for all.
    """
    if not config.notify:
        return 0
    try:
        news = read_news(config, manifest)
    except Exception as exc:  # the run is whole, whatever this is
        logger.warning("nobody was told of run %s: its answers cannot be read: %s", manifest.run_id, words_of(exc))
        return len(config.notify)
    if not news:
        say("nothing new: nobody is told")
        return 0
    known = tuple(addresses)
    faults = [fault for receiver in config.notify if (fault := _tell_one(receiver.whole(known), news, block, declared))]
    for fault in faults:
        logger.warning("%s", fault)
    told = len(config.notify) - len(faults)
    missed = f"; {len(faults)} could not be told, runs/feed.xml has it" if faults else ""
    say(f"{told} of {counted(len(config.notify), 'receiver')} told of {news.subject()}{missed}")
    return len(faults)


def _tell_one(receiver: Receiver, news: News, block: TellBlock | None, declared: Collection[str] | None) -> str | None:
    try:
        if receiver.is_hidden:
            raise NotToldError("its whole address is not known here: name it in BIOQA_ADDRESSES")
        if receiver.kind == "webhook":
            post(receiver, news.fields(), only_public=declared is not None and receiver.address not in declared)
        elif block is None:
            raise NotToldError("blocks are Prefect's, and this run is without it")
        else:
            block(receiver, news)
    except NotToldError as exc:
        return f"{receiver} could not be told: {exc}"
    except Exception as exc:  # somebody else's code and service
        return f"{receiver} could not be told: {type(exc).__name__}: {words_of(exc)}"
    return None
