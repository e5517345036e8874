"""Real processes that a real signal ends, at any call or at any moment."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bioqa_pipeline.dataset.reader import Dataset
from faults.history import History
from faults.on_disk import SCRATCH
from faults.work import MOST_PAIRS, UnexpectedError, Work, new_ledger
from support.fault_processes import Counter

# Forks of a clean process that has the large libraries loaded.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pandas", "polars", "pyarrow.parquet", "faults.work", "support.fault_processes"])
N_STEPS = 30
LONGEST_SECONDS = 0.08
# What a fork server says of a process that was killed before it was told of it.
NOT_KNOWN = 255


class _Promises(set[str]):
    """A set that also writes down what comes into it, for who comes after."""

    path: Path

    def __ior__(self, values: set[str]) -> Self:  # type: ignore[override,misc]
        with self.path.open("a") as file:
            file.writelines(f"{value}\n" for value in values)
        return super().__ior__(values)


def run_until_killed(root: Path, promises: Path, begun: Path, run_id: str, seed: int, n_pairs: int, step: int) -> None:
    """A process: one run, which a signal ends at a step, if there are so many."""
    ledger = new_ledger()
    ledger.must, ledger.may, ledger.finished = _Promises(), _Promises(), set()
    ledger.must.path, ledger.may.path = promises, begun
    sys.addaudithook(Counter(str(root), step, signal.SIGKILL))
    Work(Dataset(root), ledger, random.Random(seed), run_id).run(n_pairs)


class ProcessHistory(History):
    """The life of a data set that processes write which are killed."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        super().__init__(rng, new_ledger(), Dataset(folder / "set"))
        self.folder, self.n_pairs = folder, 0

    def kill(self) -> None:
        self.n_pairs = min(self.n_pairs + self.rng.randint(1, 4), MOST_PAIRS)
        by_time = self.rng.random() < 0.4
        step = 10**6 if by_time else self.rng.randint(1, N_STEPS)
        run_id, paths = self.next_run_id(), (self.folder / "promised", self.folder / "begun")
        arguments = (self.folder / "set", *paths, run_id, self.rng.randrange(2**32), self.n_pairs, step)
        process = CONTEXT.Process(target=run_until_killed, args=arguments)
        process.start()
        if by_time:
            time.sleep(self.rng.uniform(0, LONGEST_SECONDS))
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode == 0:
            self.ledger.finished.add(run_id)
        elif process.exitcode in (-signal.SIGKILL, NOT_KNOWN):
            self.inject(f"killed {'at a moment' if by_time else f'at step {step}'}")
        else:
            raise UnexpectedError(f"run {run_id} ended with exit code {process.exitcode}")
        self.ledger.must |= set(paths[0].read_text().split() if paths[0].exists() else ())
        self.ledger.may |= set(paths[1].read_text().split() if paths[1].exists() else ())

    def recover(self) -> None:
        Work(self.dataset, self.ledger, self.rng, self.next_run_id()).run(self.n_pairs)
        self.check()
        self.check_clean(lambda folder: {p.name for p in (self.folder / "set" / folder).iterdir()})


@contextmanager
def process_history(rng: random.Random) -> Iterator[ProcessHistory]:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        yield ProcessHistory(rng, Path(folder))


def killed(history: ProcessHistory) -> None:
    """SIGKILL before any change of a file, or at a moment of chance."""
    for _ in range(history.rng.randint(1, 3)):
        history.kill()
        history.check()
    history.recover()
