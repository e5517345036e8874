"""How a run says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from bioqa_pipeline.html.page import duration

# Called with the steps that were done since the last call.
Progress = Callable[[float], None]


# From when on what is left can be said.
SURE_SECONDS, SURE_STEPS = 10.0, 20


class Reporter:
    """Where a run says how far it is; this one says nothing."""

    def say(self, text: str) -> None:
        """One line."""

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Progress]:
        """A stage of `total` steps."""
        return nullcontext(lambda steps: None)


def progress_text(name: str, done: float, total: int, unit: str, seconds: float) -> str:
    """ "scoring: 512 of 2,000 pairs, 13.1/s, 2 min 05 s left"."""
    rate = done / max(seconds, 1e-9)
    # The first steps stand for the start of a model, not for its pace.
    means_something = seconds >= SURE_SECONDS and done >= min(SURE_STEPS, total / 2)
    left = f", {duration((total - done) / rate)} left" if rate and done < total and means_something else ""
    return f"{name}: {done:,.0f} of {total:,} {unit}, {rate:,.1f}/s{left}"
