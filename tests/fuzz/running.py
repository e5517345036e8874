"""A target's examples, one round after another: each may end well or with an error of this package, and must end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from bioqa_pipeline.errors import BioqaError
from fuzz.targets import TARGETS
from support.work import ends

# Of the processor; an example is 200 kB at most, which takes milliseconds where it is right.
EXAMPLE_SECONDS = 10.0


@dataclass(slots=True)
class Outcome:
    """What a target came to: examples, those that gave a clear error, and the fault with its example, if any."""

    examples: int = 0
    refused: int = 0
    fault: BaseException | None = None
    example: Any = None


def fuzz(name: str, folder: Path, *, examples: int, number: int, outcome: Outcome | None = None) -> Outcome:
    """One round. Equal numbers give equal examples; a fault is reported with the smallest example of it."""
    target, outcome = TARGETS[name], outcome or Outcome()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(target.inputs)
    def check(data: Any) -> None:
        outcome.examples += 1
        outcome.example = data
        with ends(EXAMPLE_SECONDS):
            try:
                target.call(data, folder)
            except BioqaError as exc:
                outcome.refused += 1
                message = str(exc)
            else:
                return
        assert message.strip() and message.isprintable() and len(message) < 20_000, message[:1000]

    try:
        check()
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        outcome.fault = exc
    return outcome


def fuzz_for(name: str, folder: Path, *, seconds: float, first: int) -> Outcome:
    """Rounds until the time is over or a fault is found."""
    outcome, end, number = Outcome(), time.monotonic() + seconds, first
    while outcome.fault is None and time.monotonic() < end:
        fuzz(name, folder, examples=100, number=number, outcome=outcome)
        number += 1
    return outcome
