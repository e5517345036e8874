"""Faults of a folder on a disk: ends of processes, losses of power, calls that fail."""

from __future__ import annotations

import errno
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import BioqaError, DatasetError, DatasetLockedError
from faults.disk import Disk
from faults.history import History
from faults.ledger import Ledger
from faults.strikes import ALL, WRITING, Killed, Strike
from faults.system import System
from faults.work import MOST_PAIRS, UnexpectedError, Work, new_ledger

LOSS_OF_POWER = "disk: loss of power"
# In every folder that a run looks through, with names that look as its own do.
FOREIGN = ("notes.txt", "answers/a.parquet", "chunks/c.parquet", "summary/s.parquet", "runs/r.json", "_staging/s.part")
MEMORY = Path("/dev/shm")
# In memory where there is some: what a disk would keep is known to the simulated one.
SCRATCH = MEMORY if MEMORY.is_dir() else None
# About the calls of a run that adds a few pairs: of all kinds, those that write, those that sync.
N_CALLS, N_WRITES, N_SYNCS = 55, 26, 14


class DiskHistory(History):
    """The life of one data set in a folder."""

    most = MOST_PAIRS

    def __init__(self, rng: random.Random, system: System, ledger: Ledger | None = None) -> None:
        super().__init__(rng, ledger or new_ledger(), Dataset(system.disk.base / "set"))
        self.system = system
        self.n_pairs = rng.randint(0, 3)
        if self.n_pairs:
            self.work().run(self.n_pairs)
            self.add_foreign_files()

    def work(self) -> Work:
        return Work(self.dataset, self.ledger, self.rng, self.next_run_id(), struck=lambda: self.system.struck)

    def strike(self, strike: Strike | None, *, counts: bool = True) -> bool:
        """A run that is struck; whether its process has ended. A strike beyond the run's last call comes earlier in
        the next."""
        while True:
            self.grow()
            self.system.arm(strike)
            killed = self.goes_on(lambda: self.work().run(self.n_pairs))
            struck = self.system.struck
            self.system.arm(None)
            if strike is None or struck:
                break
            strike = replace(strike, at=strike.at // 2)
        if strike is not None and counts:
            self.inject(struck)
        else:
            self.note(struck)
        return killed

    def grow(self) -> None:
        """What is asked next has more pairs."""
        self.n_pairs = min(self.n_pairs + self.rng.randint(1, 4), self.most)

    def goes_on(self, run: Callable[[], None]) -> bool:
        try:
            run()
        except Killed:
            return True
        except BioqaError:
            return False
        finally:
            self.system.reap(set())
        return False

    def lose_power(self) -> None:
        with self.system.aside():
            self.system.disk.lose_power(self.rng)
        self.inject("loss of power", LOSS_OF_POWER if self.kind.startswith("disk") else None)

    def lose_power_later(self) -> None:
        """What a run has built on what another left may not be lost either."""
        if self.rng.random() < 0.5:
            self.lose_power()
            self.check()
            self.recover()

    def recover(self) -> None:
        """Nothing strikes any more: the next run has all pairs, and leaves nothing that is not the data set's."""
        self.system.arm(None)
        self.work().run(self.n_pairs)
        self.check()
        self.check_clean(lambda folder: {p.name for p in (self.system.disk.base / "set" / folder).iterdir()})

    def add_foreign_files(self) -> None:
        root = self.system.disk.base / "set"
        with self.system.aside():
            for name in FOREIGN:
                path = root / name
                path.write_bytes(b"Somebody's own.")
                self.system.disk.adopt_file(path)
                self.ledger.foreign[path] = b"Somebody's own."


@contextmanager
def disk_history(rng: random.Random) -> Iterator[DiskHistory]:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder, System(Disk(Path(folder))) as system:
        yield DiskHistory(rng, system)


def killed(history: DiskHistory) -> None:
    """The process ends before, in or after any call."""
    rng = history.rng
    for _ in range(rng.randint(2, 4)):
        history.strike(Strike(rng.randrange(N_CALLS), rng.choice(("before", "half", "after"))))
        history.check()
    history.recover()
    history.lose_power_later()


def power_lost(history: DiskHistory) -> None:
    """The power goes at any call, or after a run: torn and lost writes, lost names, links and renames."""
    rng = history.rng
    for _ in range(rng.randint(2, 4)):
        if rng.random() < 0.2:
            history.strike(None)
            history.lose_power()
        elif history.strike(Strike(rng.randrange(N_CALLS), rng.choice(("before", "half", "after"))), counts=False):
            history.check()
            history.lose_power()
        history.check()
    history.recover()


def sync_failed(history: DiskHistory) -> None:
    """fsync of a file or folder fails, once or from then on; often the power goes later."""
    rng = history.rng
    for _ in range(rng.randint(1, 2)):
        moment = rng.choice(("before", "before", "after"))
        history.strike(
            Strike(rng.randrange(N_SYNCS), moment, errno.EIO, frozenset({"sync"}), lasting=rng.random() < 0.2)
        )
        history.check()
        if rng.random() < 0.5:
            history.lose_power()
            history.check()
    history.recover()
    history.lose_power_later()


def disk_full(history: DiskHistory) -> None:
    """No room, for one call or for good."""
    rng = history.rng
    for _ in range(rng.randint(1, 2)):
        error = rng.choice((errno.ENOSPC, errno.EDQUOT))
        history.strike(
            Strike(rng.randrange(N_WRITES), rng.choice(("before", "half")), error, WRITING, lasting=rng.random() < 0.7)
        )
        history.check()
    history.recover()


def call_failed(history: DiskHistory) -> None:
    """Any call fails, done or not: errors of devices, and lost answers of links and renames on shared disks."""
    rng = history.rng
    for _ in range(rng.randint(1, 2)):
        error = rng.choice((errno.EIO, errno.EACCES, errno.ESTALE, errno.EROFS))
        moment = rng.choice(("before", "after"))
        history.strike(Strike(rng.randrange(N_CALLS), moment, error, ALL, lasting=rng.random() < 0.2))
        history.check()
    history.recover()
    history.lose_power_later()


def worker_died(history: DiskHistory) -> None:
    """Workers end while they stage, before, between or after their two files; another stages the shard again."""
    rng, system = history.rng, history.system
    for _ in range(rng.randint(1, 2)):
        history.grow()
        work = history.work()
        alive = work.stage

        def stage(writer, shard_id, rows, alive=alive) -> None:  # type: ignore[no-untyped-def]
            if rng.random() < 0.5:
                keep = system.opened()
                system.arm(Strike(rng.randrange(12), rng.choice(("before", "half", "after"))))
                try:
                    alive(writer, shard_id, rows)
                except Killed:
                    system.reap(keep)
                    history.inject(f"worker: {system.struck}")
                system.arm(None)
            alive(writer, shard_id, rows)

        work._stage = stage
        work.run(history.n_pairs)
        if rng.random() < 0.3:
            # A worker that outlived its run.
            alive(_Named(work.run_id), *late_shard(history))  # type: ignore[arg-type]
            history.inject("a worker stages after the end of its run")
        history.check()
    history.recover()


class _Named:
    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


def late_shard(history: DiskHistory):  # type: ignore[no-untyped-def]
    from bioqa_pipeline.dataset.schemas import make_shard_id
    from support.dataset_processes import pair

    rows = [pair(number) for number in range(history.n_pairs)][-2:]
    return make_shard_id([row.pair_id for row in rows]), rows


def two_writers(history: DiskHistory) -> None:
    """A second writer comes while the first is open, with its lock held, or deleted by hand in between."""
    rng = history.rng
    lock = history.system.disk.base / "set" / ".lock"
    for _ in range(rng.randint(1, 2)):
        stolen = rng.random() < 0.6
        more = min(history.n_pairs + rng.randint(1, 4), MOST_PAIRS)
        first, second = history.work(), history.work()
        with history.dataset.writer(first.run_id) as writer:
            first.add(writer, rng.randint(1, more))
            if not stolen:
                history.inject("second writer at a held lock")
                try:
                    with history.dataset.writer(second.run_id, wait=False):
                        raise UnexpectedError("two writers have the lock")
                except DatasetLockedError:
                    pass
                first.inside(writer, more)
            else:
                history.inject("lock deleted, second writer took over")
                lock.unlink()
                second.run(more)
                history.check()
                try:
                    first.close(writer, more)
                    raise UnexpectedError("a writer without its lock commits")
                except DatasetError:
                    pass
        history.n_pairs = more
        history.check()
    history.recover()


def doubled(history: DiskHistory) -> None:
    """Shards are staged and committed again, cut otherwise, in the same run and in the next."""
    rng = history.rng
    for _ in range(rng.randint(1, 2)):
        history.grow()
        work = history.work()
        with history.dataset.writer(work.run_id) as writer:
            for _ in range(rng.randint(3, 8)):
                some = [work.row(n) for n in rng.sample(range(history.n_pairs), rng.randint(1, history.n_pairs))]
                if not {row.pair_id for row in some} - history.ledger.must:
                    history.inject("all pairs of a shard again")
                elif {row.pair_id for row in some} & history.ledger.must:
                    history.inject("some pairs of a shard again")
                work.commit(writer, some)
            work.inside(writer, history.n_pairs)
        history.check()
    history.recover()
