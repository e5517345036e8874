"""Faults of an object store: answers that are lost, requests that fail, ends of processes, leases that end."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import BioqaError, DatasetError, DatasetLockedError
from bioqa_pipeline.storage.s3_lease import LEASE_SECONDS
from bioqa_pipeline.storage.uri import ObjectUri
from faults.bucket import CONDITIONAL, LOST, REQUESTS, Bucket, MirroredStorage, simulated_bucket
from faults.history import History
from faults.on_disk import SCRATCH
from faults.strikes import Killed, Strike
from faults.work import MOST_PAIRS, UnexpectedError, Work, new_ledger

N_REQUESTS, N_CONDITIONAL = 70, 12
URI = ObjectUri("s3://bucket/some/set")


class StoreHistory(History):
    """The life of one data set in a bucket."""

    def __init__(self, rng: random.Random, bucket: Bucket) -> None:
        self.bucket = bucket
        super().__init__(rng, new_ledger(), Dataset(MirroredStorage(bucket, URI)))
        self.n_pairs = rng.randint(0, 3)
        if self.n_pairs:
            self.work().run(self.n_pairs)

    def work(self) -> Work:
        # Each run is a process of its own: with a client of its own.
        dataset = Dataset(MirroredStorage(self.bucket, URI))
        return Work(dataset, self.ledger, self.rng, self.next_run_id(), struck=lambda: self.bucket.struck)

    def grow(self) -> None:
        self.n_pairs = min(self.n_pairs + self.rng.randint(1, 4), MOST_PAIRS)

    def strike(self, strike: Strike) -> None:
        """A run that is struck. A strike beyond its last request comes earlier in the next."""
        while True:
            self.grow()
            self.bucket.arm(strike)
            with suppress(Killed, BioqaError):
                self.work().run(self.n_pairs)
            struck = self.bucket.struck
            self.bucket.dead = False
            self.bucket.arm(None)
            if struck:
                break
            strike = replace(strike, at=strike.at // 2)
        self.inject(struck)
        # What others see does not depend on how long they wait.
        self.bucket.clock.now += self.rng.choice((0, 1, LEASE_SECONDS * 2))
        self.check()

    def recover(self) -> None:
        self.work().run(self.n_pairs)
        self.check()
        names = {name.removeprefix(f"{URI.prefix}/") for name in self.bucket.objects}
        self.check_clean(lambda folder: {n.split("/")[1] for n in names if n.startswith(f"{folder}/")})


@contextmanager
def store_history(rng: random.Random) -> Iterator[StoreHistory]:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder, simulated_bucket(Path(folder), rng) as bucket:
        yield StoreHistory(rng, bucket)


def answer_lost(history: StoreHistory) -> None:
    """A conditional create or update is done and its answer does not come back, once or for a while."""
    rng = history.rng
    for _ in range(rng.randint(2, 4)):
        status = rng.choice((LOST, 500, 503))
        history.strike(Strike(rng.randrange(N_CONDITIONAL), "after", status, CONDITIONAL, lasting=rng.random() < 0.2))
    history.recover()


def request_failed(history: StoreHistory) -> None:
    """Any request fails, done or not; a few times, or for good."""
    rng = history.rng
    for _ in range(rng.randint(2, 4)):
        moment = rng.choice(("before", "half", "after"))
        status = rng.choice((LOST, 429, 500, 502, 503, 504))
        history.strike(Strike(rng.randrange(N_REQUESTS), moment, status, REQUESTS, lasting=rng.random() < 0.4))
    history.recover()


def killed(history: StoreHistory) -> None:
    """The process ends before, in or after any request; its lock lasts until its lease has ended."""
    for _ in range(history.rng.randint(2, 4)):
        moment = history.rng.choice(("before", "half", "after"))
        history.strike(Strike(history.rng.randrange(N_REQUESTS), moment, None, REQUESTS))
    history.recover()


def two_writers(history: StoreHistory) -> None:
    """A writer stands still for a while, shorter or longer than its lease and the margin, and another comes."""
    rng = history.rng
    for _ in range(rng.randint(1, 2)):
        more = min(history.n_pairs + rng.randint(1, 4), MOST_PAIRS)
        first, second = history.work(), history.work()
        seconds = rng.choice((1, 50, 65, 85, 95, 1000))
        before = history.bucket.clock.now
        with first.dataset.writer(first.run_id) as writer:
            begun = history.bucket.clock.now
            first.add(writer, rng.randint(1, more))
            history.bucket.clock.now += seconds
            history.inject(f"a writer stands still for {seconds} s, another comes")
            arrived = history.bucket.clock.now
            try:
                with second.dataset.writer(second.run_id, wait=False) as other:
                    taken = history.bucket.clock.now
                    second.inside(other, more)
            except DatasetLockedError:
                if arrived - begun > LEASE_SECONDS * 1.5 + 2:
                    raise UnexpectedError("a lease does not end") from None
                first.inside(writer, more)
            else:
                if taken - before < LEASE_SECONDS * 1.5:
                    raise UnexpectedError("two writers have the lock")
                history.check()
                try:
                    first.close(writer, more)
                    raise UnexpectedError("a writer without its lock commits")
                except DatasetError:
                    pass
        history.n_pairs = more
        history.check()
    history.recover()
