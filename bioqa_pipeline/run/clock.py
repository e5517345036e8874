"""When a run begins, and since when it asks, by the data set's own time."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import DatasetError

logger = logging.getLogger(__name__)

# Times further ahead than this are no clock's that was put back: nothing is moved there after them.
MOST_AHEAD = timedelta(days=30)
# PubMed dates an entry by the day and indexes late: two days' overlap loses nothing and costs what is scored already.
SINCE_OVERLAP = timedelta(days=2)


def start_time(dataset: Dataset) -> datetime:
    """Now, or right after all that the data set holds, where the clock has been put back since.

    What lies more than MOST_AHEAD ahead is passed over, and said.
    """
    now = datetime.now(UTC)
    try:
        last = dataset.last_time()
        if last is not None and last > now + MOST_AHEAD:
            logger.warning(
                "%s: a run or an answer here bears the time %s, more than %d days ahead of this machine's clock; this "
                "run goes by the clock, and what bears that time passes for newer than it",
                *(dataset.storage.location, last, MOST_AHEAD.days),
            )
            last = dataset.last_time(until=now + MOST_AHEAD)
    except DatasetError as exc:
        logger.warning("when the last run ended is not known: %s", exc)
        return now
    if last is None or last < now:
        return now
    logger.warning("the clock was put back: this run's times go on from %s, the last in the data set", last)
    return last + timedelta(microseconds=1)


def since_last_run(dataset: Dataset) -> datetime | None:
    """SINCE_OVERLAP before the last completed run began; one that began in the future had a wrong clock and says
    nothing."""
    now = datetime.now(UTC)
    completed = [m.started_at for m in dataset.runs() if m.status == "completed" and m.started_at < now]
    return max(completed) - SINCE_OVERLAP if completed else None
