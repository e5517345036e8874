"""When a lease may be taken over, on clocks that a test sets: no second of waiting."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from bioqa_pipeline.errors import DatasetError, DatasetLockedError
from bioqa_pipeline.storage import s3_lease
from bioqa_pipeline.storage.filelock import LOCK
from bioqa_pipeline.storage.s3_client import Data, Found
from bioqa_pipeline.storage.s3_lease import MARGIN, LeaseLock

LEASE = 60.0
# By the store's clock, which has nothing to do with ours.
EPOCH = datetime(2031, 5, 5, tzinfo=UTC)


class Store:
    """An object store whose clock stands still until it is put forward; it keeps to conditions."""

    uri = "s3://bucket/set"
    retry_seconds = 5.0

    def __init__(self) -> None:
        self.objects: dict[str, Found] = {}
        self.seconds = 0.0
        self._tags = count(1)

    def _put(self, name: str, data: Data, mark: str | None = None) -> str:
        modified = (EPOCH + timedelta(seconds=self.seconds)).replace(microsecond=0)
        self.objects[name] = Found(bytes(data), f'"{next(self._tags)}"', modified, mark)
        return self.objects[name].e_tag

    def find(self, name: str, *, head: bool = False) -> Found | None:
        found = self.objects.get(name)
        return replace(found, data=b"") if found and head else found

    def write(self, name: str, data: Data) -> None:
        self._put(name, data)

    def create(self, name: str, data: Data, *, mark: str) -> str | None:
        return None if name in self.objects else self._put(name, data, mark)

    def update(self, name: str, data: Data, e_tag: str) -> str | None:
        there = self.objects.get(name)
        return self._put(name, data) if there and there.e_tag == e_tag else None

    def delete(self, names: list[str]) -> None:
        for name in names:
            self.objects.pop(name, None)

    def place(self, name: str) -> str:
        return f"{self.uri}/{name}"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(s3_lease, "boot_seconds", lambda: 1_000_000 + store.seconds)
    return store


def lock(store: Store, run_id: str) -> LeaseLock:
    return LeaseLock(store, run_id, wait=False, lease_seconds=LEASE)  # type: ignore[arg-type]


def leave_behind(store: Store) -> None:
    """A lock whose holder died at second 0."""
    with lock(store, "dead"):
        left = store.objects[LOCK]
    store.objects[LOCK] = left


@pytest.mark.parametrize(
    ("seconds", "is_free"),
    [
        (0, False),
        (LEASE - 1, False),
        (LEASE + 1, False),  # its end has come, the margin has not
        (LEASE * (1 + MARGIN), False),
        (LEASE * (1 + MARGIN) + 1, False),  # the store cuts times to the second
        (LEASE * (1 + MARGIN) + 2, True),
    ],
)
def test_a_lease_is_taken_over_only_after_its_margin(store: Store, seconds: float, is_free: bool) -> None:
    leave_behind(store)
    store.seconds = seconds
    if is_free:
        with lock(store, "next") as taken:
            taken.check()
            assert json.loads(store.objects[LOCK].data)["run_id"] == "next"
    else:
        with pytest.raises(DatasetLockedError, match=r"run dead .* within 90 seconds"):
            lock(store, "next").__enter__()
        assert json.loads(store.objects[LOCK].data)["run_id"] == "dead"


def test_a_lock_that_was_given_back_is_free_at_once(store: Store) -> None:
    with lock(store, "first"):
        pass
    with lock(store, "second") as taken:
        taken.check()


def test_who_was_taken_over_commits_nothing_more(store: Store) -> None:
    with lock(store, "first") as first:
        first.check()
        store.seconds = LEASE * (1 + MARGIN) + 2
        with lock(store, "second") as second:
            second.check()
            with pytest.raises(DatasetError, match="run first was not heard of for too long, and run second took over"):
                first.check()


def test_a_lease_that_ended_unrenewed_goes_on_where_nobody_took_it(store: Store) -> None:
    with lock(store, "first") as first:
        store.seconds = 10 * LEASE
        first.check()
        assert json.loads(store.objects[LOCK].data)["renewal"] >= 2
        with pytest.raises(DatasetLockedError, match="run first"):
            lock(store, "second").__enter__()
