"""One writer at a time, by an object that says who the writer is and that it renews while it lives.

The lock is taken by a conditional create, or by a conditional update of one that was given back or whose lease has
ended; it is renewed, from a thread, and given back by conditional updates. Each update names the ETag of the one
before, and every content is new, so that no update can replace what its sender has not seen.

Times: the holder counts its lease from before it sent the last renewal, on a clock of its own that nobody sets. Others
compare the lock's Last-Modified with that of an object that they write themselves: two times of the same store; their
own clocks do not count. A lease that has ended may be taken over only after half a lease more (`MARGIN`); a commit is
sent only while the lease lasts and may take at most that half. So no commit of a holder that was taken over is under
way any more, unless a network delivers it after the client has given it up.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.filelock import LOCK, wait_for
from bioqa_pipeline.storage.s3_client import Found, ObjectClient, persistent

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
# Of the lease: how long its end must have passed before another takes over, and how long a commit may take.
MARGIN = 0.5
RENEWALS_A_LEASE = 4
POLLS_A_LEASE = 60


@dataclass(frozen=True, slots=True)
class _Record:
    """What the lock object says."""

    run_id: str
    pid: int
    host: str
    since: str
    token: str
    renewal: int
    lease_seconds: float
    held: bool

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class LeaseLock:
    """Holds the lock inside `with`; not to be entered twice. A forked child does not hold it.

    Args:
        run_id: told to others that wait.
        wait: False raises DatasetLockedError where another holds the lock; True waits, and says so once a minute.
    """

    def __init__(self, client: ObjectClient, run_id: str, *, wait: bool, lease_seconds: float = LEASE_SECONDS) -> None:
        self._client = client
        self._run_id = run_id
        self._wait = wait
        self._lease = lease_seconds
        self._location = str(client.uri)
        self._token = uuid.uuid4().hex
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._renewal = 0
        self._pid = -1
        self._e_tag = ""
        self._ends = 0.0
        self._lost: str | None = None
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name=f"lease {run_id}", daemon=True)
        # The store's clock less ours, at least.
        self._ahead: timedelta | None = None

    def __enter__(self) -> Self:
        ends_within = f"{self._lease * (1 + MARGIN):.0f} seconds"
        wait_for(
            lambda: persistent(self._try, self._client.retry_seconds),
            self._location,
            wait=self._wait,
            poll_seconds=self._lease / POLLS_A_LEASE,
            advice=f"wait for its end, or stop it: a stopped run's lock ends within {ends_within}",
        )
        self._pid = os.getpid()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pid != os.getpid():
            return
        self._pid = -1
        self._stop.set()
        self._thread.join()
        if self._lost is not None:
            return
        for is_last in (False, False, True):
            try:
                self._client.update(LOCK, self._record(held=False), self._e_tag)
                return
            except DatasetError as error:
                if is_last:
                    logger.warning("%s. The lock was not given back; it ends by itself", error)
                else:
                    time.sleep(self._lease / POLLS_A_LEASE)

    def check(self) -> None:
        """Raises DatasetError in a forked child, after the end of `with`, and where the lease may have been lost.

        A lease that ended unrenewed, in a process that was stopped for a while, goes on where nobody took it since.
        """
        if self._pid != os.getpid():
            raise DatasetError(
                f"{self._location}: only the process that opened the writer can commit, while it is open"
            )
        with self._mutex:
            if self._lost is None and boot_seconds() >= self._ends:
                self._renew()
            if self._lost is not None:
                raise DatasetError(f"{self._client.place(LOCK)}: {self._lost}")

    def _try(self) -> str | None:
        """Takes the lock where it is free: None, or who holds it."""
        found = self._client.find(LOCK)
        begun = boot_seconds()
        if found is None:
            e_tag = self._client.create(LOCK, self._record(), mark=self._token)
        else:
            record = _read(found)
            if record is not None and record.held and record.token != self._token and not self._is_over(record, found):
                return f"run {record.run_id} (pid {record.pid} on {record.host}) since {record.since}"
            if record is None and not self._is_over(self._default(), found):
                return "it has not said which"
            e_tag = self._client.update(LOCK, self._record(), found.e_tag)
            if e_tag is not None and record is not None and record.held:
                logger.warning("%s: took over the lock of run %s, which ended", self._location, record.run_id)
        if e_tag is None:
            return "it was quicker"
        self._e_tag, self._ends = e_tag, begun + self._lease
        return None

    def _is_over(self, record: _Record, found: Found) -> bool:
        """Whether a lease ended long enough ago, by the store's clock, which cuts times to the second."""
        return self._store_time() - found.modified > timedelta(seconds=record.lease_seconds * (1 + MARGIN) + 1)

    def _store_time(self) -> datetime:
        """The store's clock, or a little less. Asked once: an object is written and looked at."""
        if self._ahead is None:
            name = f".clock/{self._token}"
            self._client.write(name, b"")
            try:
                found = self._client.find(name, head=True)
                now = timedelta(seconds=boot_seconds())
            finally:
                self._client.delete([name])
            if found is None:
                raise DatasetError(f"{self._client.place(name)}: what was just written is not there")
            self._ahead = (found.modified - datetime.min.replace(tzinfo=UTC)) - now
        return datetime.min.replace(tzinfo=UTC) + timedelta(seconds=boot_seconds()) + self._ahead

    def _default(self) -> _Record:
        return _Record("", 0, "", "", "", 0, self._lease, True)

    def _record(self, *, held: bool = True) -> bytes:
        self._renewal += 1
        return _Record(
            run_id=self._run_id,
            pid=os.getpid(),
            host=socket.gethostname(),
            since=self._since,
            token=self._token,
            renewal=self._renewal,
            lease_seconds=self._lease,
            held=held,
        ).encode()

    def _renew_until_stopped(self) -> None:
        seconds = self._lease / RENEWALS_A_LEASE
        while not self._stop.wait(seconds):
            seconds = self._lease / RENEWALS_A_LEASE
            try:
                with self._mutex:
                    self._renew()
            except DatasetError as exc:
                logger.warning("the lock of run %s could not be renewed, trying again: %s", self._run_id, exc)
                seconds = self._lease / POLLS_A_LEASE
            if self._lost is not None:
                logger.error("%s: %s", self._location, self._lost)
                return

    def _renew(self) -> None:
        """Renews, or finds out that the lock is another's: `_lost`. Raises where the store does not answer."""
        for _ in range(2):
            begun = boot_seconds()
            if (e_tag := self._client.update(LOCK, self._record(), self._e_tag)) is not None:
                self._e_tag, self._ends = e_tag, begun + self._lease
                return
            found = self._client.find(LOCK)
            if found is None:
                self._lost = f"the lock was deleted while run {self._run_id} wrote; run again"
                return
            record = _read(found)
            if record is None or record.token != self._token:
                by = "another writer" if record is None else f"run {record.run_id}"
                self._lost = f"run {self._run_id} was not heard of for too long, and {by} took over; run again"
                return
            # An update of ours got there though its answer did not come back.
            self._e_tag = found.e_tag
        raise DatasetError(f"{self._client.place(LOCK)}: renewals cross each other")


def _read(found: Found) -> _Record | None:
    try:
        return _Record(**json.loads(found.data))
    except (ValueError, TypeError):
        return None


def boot_seconds() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps, where the system has one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
