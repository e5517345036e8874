from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.sources.entrez import rate_limit
from bioqa_pipeline.sources.entrez.rate_limit import RateLimiter
from support.clock import simulated_time
from support.eutils_server import most_in_a_second


@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(1, 10),
    requests=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1), st.floats(0, 0.5)), min_size=1, max_size=40),
)
def test_no_second_sees_more_than_the_limit_whatever_the_network_does(
    tmp_path_factory: pytest.TempPathFactory, limit: int, requests: list[tuple[float, float, float]]
) -> None:
    """Each request takes `duration`, reaches the service somewhere in it, and the next starts after `gap`."""
    limiter = RateLimiter(tmp_path_factory.mktemp("rate") / "file", limit)
    arrivals = []
    with simulated_time(rate_limit) as clock:
        for duration, place, gap in requests:
            token = limiter.acquire()
            arrivals.append(clock.now + place * duration)
            clock.at(clock.now + duration, partial(limiter.release, token))
            clock.sleep(gap)
    assert most_in_a_second(arrivals) <= limit


def test_the_limit_is_used_up(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path / "file", 5)
    with simulated_time(rate_limit) as clock:
        for _ in range(50):
            limiter.release(limiter.acquire())
    assert 9 <= clock.passed <= 9.5


def test_threads_share_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a second of a tenth, so that nobody waits for whole ones."""
    monkeypatch.setattr(rate_limit, "WINDOW_SECONDS", 0.11)
    limiters = [RateLimiter(tmp_path / "file", 10) for _ in range(8)]
    arrivals: list[float] = []

    def send(limiter: RateLimiter, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(3):
            token = limiter.acquire()
            time.sleep(rng.uniform(0, 0.02))
            arrivals.append(time.monotonic())
            limiter.release(token)

    threads = [threading.Thread(target=send, args=(limiter, i)) for i, limiter in enumerate(limiters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(arrivals) == 24
    assert most_in_a_second(arrivals, 0.1) <= 10


def test_a_killed_holder_gives_its_slot_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = f"""
import os, pathlib, signal
from bioqa_pipeline.sources.entrez.rate_limit import RateLimiter, private_folder
RateLimiter(pathlib.Path({str(path)!r}), 1).acquire()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    limiter = RateLimiter(path, 1)
    limiter.release(limiter.acquire())


def test_times_of_another_boot_hold_nobody_up(tmp_path: Path) -> None:
    """The monotonic clock starts anew with the machine, so the file can be of a future that never comes."""
    path = tmp_path / "file"
    later = 1e6
    path.write_text(f'[[["a", {os.getpid()}, {later}, null], ["b", 1, {later}, {later}]], 2, {later + 1e6}]')
    limiter = RateLimiter(path, 3)
    with simulated_time(rate_limit) as clock:
        for _ in range(3):
            limiter.release(limiter.acquire())
    assert clock.passed < 3


@pytest.mark.parametrize("content", ["[[[", "null", '{"a": 1}', '[[["a"]], 1, 2]', "\0\0\0"])
def test_a_broken_file_counts_as_a_full_second(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    limiter = RateLimiter(path, 2)
    with simulated_time(rate_limit) as clock:
        limiter.acquire()
    assert 1 <= clock.passed < 1.1


def test_a_pause_holds_everybody(tmp_path: Path) -> None:
    path = tmp_path / "file"
    limiter, other = RateLimiter(path, 3), RateLimiter(path, 3)
    with simulated_time(rate_limit) as clock:
        limiter.pause(7)
        limiter.pause(2)
        other.acquire()
    assert clock.passed == pytest.approx(7)


def test_what_the_service_says_lowers_the_limit_and_counts_other_programs(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path / "file", 10)
    with simulated_time(rate_limit) as clock:
        limiter.release(limiter.acquire(), told_limit=3, told_remaining=2)
        clock.sleep(2)
        tokens = [limiter.acquire() for _ in range(3)]
        for token in tokens:
            limiter.release(token, told_limit=3, told_remaining=0)
        clock.sleep(2)
        # One of ours, and the service counts three: two are someone else's, so the next second has none left.
        limiter.release(limiter.acquire(), told_limit=3, told_remaining=0)
        started = clock.now
        limiter.acquire()
    assert clock.now - started >= 1


@pytest.mark.parametrize("told", [3_000_000, 10**18 - 1])
def test_a_told_limit_makes_neither_a_large_file_nor_a_burst(tmp_path: Path, told: int) -> None:
    limiter = RateLimiter(tmp_path / "file", 3)
    with simulated_time(rate_limit) as clock:
        limiter.release(limiter.acquire(), told_limit=told, told_remaining=0)
        assert limiter.path.stat().st_size < 1000
        clock.sleep(2)
        for _ in range(7):
            limiter.release(limiter.acquire(), told_limit=told, told_remaining=told)
    assert clock.passed >= 2 + 2


@pytest.mark.parametrize(
    "content",
    [
        '[[["a", 1000000000000000000000000000000, 1, null]], 2, 0]',
        '[[["a", -1, NaN, null]], -5, NaN]',
        "[[], 0, -Infinity]",
        "[[], 99999, Infinity]",
        "[" * 100_000,
        "[[" + '["", 1, 999.5, 999.5], ' * 20_000 + '["", 1, 999.5, 999.5]], 3, 0]',
    ],
    ids=["pid", "nan", "zero", "infinity", "deep", "many"],
)
def test_odd_numbers_in_the_file_hold_nobody_up_for_long(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    limiter = RateLimiter(path, 3)
    with simulated_time(rate_limit) as clock:
        for _ in range(3):
            limiter.release(limiter.acquire())
    assert clock.passed < 5
    assert path.stat().st_size < 2000


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="TMPDIR"):
        RateLimiter(tmp_path / "absent" / "file", 3).acquire()
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(SourceError, match="TMPDIR"):
        RateLimiter(tmp_path / "link", 3).acquire()


def test_the_folder_in_the_temporary_folder_is_this_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = rate_limit.private_folder()
    assert folder == tmp_path / f"bioqa-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    assert stat.S_IMODE(rate_limit.private_folder().stat().st_mode) == 0o700
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((0o40700, 0, 0, 1, os.getuid() + 1, *[0] * 5)))
    with pytest.raises(SourceError, match="belongs to another user; set the environment variable TMPDIR"):
        rate_limit.private_folder()


@pytest.mark.parametrize("is_dangling", [True, False])
def test_a_link_in_place_of_that_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_dangling: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if not is_dangling:
        (tmp_path / "target").mkdir(mode=0o755)
    (tmp_path / f"bioqa-{os.getuid()}").symlink_to(tmp_path / "target")
    with pytest.raises(SourceError, match=r"cannot be used: .*TMPDIR"):
        rate_limit.private_folder()
    assert is_dangling or stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o755


def test_a_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing through"):
        RateLimiter(tmp_path / "file", 0)
