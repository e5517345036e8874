"""Two hundred faults of all kinds that need no other process; `make faults` injects ten thousand."""

from __future__ import annotations

from itertools import count

import pytest

from faults.kinds import KINDS, live

QUOTAS = {
    "disk: process ends": 20,
    "disk: loss of power": 20,
    "disk: fsync fails": 10,
    "disk: full": 8,
    "disk: another call fails": 8,
    "disk: worker ends": 8,
    "disk: two writers": 6,
    "disk: doubled commits": 30,
    "disk: bit flips": 40,
    "S3: answer of a commit is lost": 14,
    "S3: request fails": 8,
    "S3: process ends": 10,
    "S3: two writers": 4,
    "run: process ends": 3,
    "run: loss of power": 2,
    "run: clock jumps": 9,
}


def test_so_many_in_all() -> None:
    assert sum(QUOTAS.values()) == 200
    others = {kind.name for kind in KINDS} - QUOTAS.keys()
    assert others == {"disk: process is killed", "S3 server: answer is lost", "run: fsync fails", "run: disk full"}


@pytest.mark.parametrize("name", QUOTAS)
def test_nothing_is_lost_doubled_or_unexplained(name: str) -> None:
    [kind] = [kind for kind in KINDS if kind.name == name]
    injected = 0
    for seed in count():
        outcome = live(seed, kind)
        assert not outcome.findings, f"{outcome.findings[0].text}\nafter: {outcome.events}"
        injected += outcome.injected.get(name, 0)
        if injected >= QUOTAS[name]:
            return
