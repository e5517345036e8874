"""The kinds of faults, each a history that a seed decides all of."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from faults import flips, on_disk, on_job, on_processes, on_store
from faults.ledger import Finding


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: in the table; where it happens, and what.
        weight: how often there is a history of it.
        place: makes the history.
        events: what happens in it.
    """

    name: str
    weight: int
    place: Callable[[random.Random], AbstractContextManager[Any]]
    events: Callable[[Any], None]


def _server_history(rng: random.Random) -> AbstractContextManager[Any]:
    from faults import on_server  # the server loads for seconds

    return on_server.server_history(rng)


def _server_answer_lost(history: Any) -> None:
    from faults import on_server

    on_server.answer_lost(history)


KINDS = (
    Kind("disk: process ends", 12, on_disk.disk_history, on_disk.killed),
    Kind(on_disk.LOSS_OF_POWER, 12, on_disk.disk_history, on_disk.power_lost),
    Kind("disk: fsync fails", 8, on_disk.disk_history, on_disk.sync_failed),
    Kind("disk: full", 8, on_disk.disk_history, on_disk.disk_full),
    Kind("disk: another call fails", 8, on_disk.disk_history, on_disk.call_failed),
    Kind("disk: worker ends", 6, on_disk.disk_history, on_disk.worker_died),
    Kind("disk: two writers", 6, on_disk.disk_history, on_disk.two_writers),
    Kind("disk: doubled commits", 4, on_disk.disk_history, on_disk.doubled),
    Kind("disk: bit flips", 4, on_disk.disk_history, flips.bit_flipped),
    Kind("disk: process is killed", 2, on_processes.process_history, on_processes.killed),
    Kind("S3: answer of a commit is lost", 8, on_store.store_history, on_store.answer_lost),
    Kind("S3: request fails", 6, on_store.store_history, on_store.request_failed),
    Kind("S3: process ends", 8, on_store.store_history, on_store.killed),
    Kind("S3: two writers", 5, on_store.store_history, on_store.two_writers),
    Kind("S3 server: answer is lost", 1, _server_history, _server_answer_lost),
    Kind("run: process ends", 3, on_job.job_history, on_disk.killed),
    Kind("run: loss of power", 3, on_job.job_history, on_disk.power_lost),
    Kind("run: fsync fails", 2, on_job.job_history, on_disk.sync_failed),
    Kind("run: disk full", 2, on_job.job_history, on_disk.disk_full),
    Kind("run: clock jumps", 2, on_job.job_history, on_job.clock_jumped),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one seed."""

    seed: int
    kind: str
    injected: dict[str, int]
    findings: tuple[Finding, ...]
    events: tuple[str, ...]


def live(seed: int, kind: Kind | None = None) -> Outcome:
    """One history, of the kind that the seed names or of another."""
    # What a fault makes a run say is no news here.
    logging.disable(logging.CRITICAL)
    rng = random.Random(seed)
    drawn = rng.choices(KINDS, [kind.weight for kind in KINDS])[0]
    kind = kind or drawn
    history = None
    try:
        with kind.place(rng) as history:
            history.kind = kind.name
            kind.events(history)
    except KeyboardInterrupt:
        raise
    except BaseException:
        failure = Finding("unexplained", traceback.format_exc())
        if history is None:
            return Outcome(seed, kind.name, {}, (failure,), ("the first run",))
        history.findings.append(failure)
    finally:
        logging.disable(logging.NOTSET)
    return Outcome(seed, kind.name, dict(history.injected), tuple(history.findings), tuple(history.events))


def live_all(seeds: Sequence[int]) -> list[Outcome]:
    """Some histories, each of the kind that its seed names."""
    return [live(seed) for seed in seeds]
