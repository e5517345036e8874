"""Plans, commits and crashes in any order, against a dict of what must be there and what may be there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Stored
from bioqa_pipeline.storage.filelock import Held
from bioqa_pipeline.storage.local import LocalStorage
from support.dataset_processes import WINDOWS, pair
from support.dataset_rows import METADATA, chunk_rows, current_file, manifest, merged_answer

T = TypeVar("T")
Failure = tuple[int, str] | None
SHARDS = st.sets(st.integers(0, 15), min_size=1, max_size=4)
# At which change of a step it fails, and how. Half of the steps go well.
FAILURES: st.SearchStrategy[Failure] = st.none() | st.tuples(
    st.integers(0, 2), st.sampled_from(["before", "half", "after", "error before", "error after"])
)


class Crash(BaseException):
    """The process is dead: nothing that it does afterwards has an effect."""


class CrashingStorage:
    """A local storage whose process dies before, in or after the n-th change from now, and is dead until revived.

    With "error" before the moment the change fails there and the process lives on.
    """

    def __init__(self, root: Path) -> None:
        self._local = LocalStorage(root)
        self._changes_left: int | None = None
        self._moment = "before"
        self.dead = False
        self.failed = False

    def arm(self, failure: Failure) -> None:
        self.failed = False
        self._changes_left, self._moment = failure or (None, "before")

    def revive(self) -> None:
        self.dead = False
        self._changes_left = None

    @property
    def location(self) -> str:
        return self._local.location

    def exists(self) -> bool:
        self._live()
        return self._local.exists()

    def list(self, folder: str) -> list[str]:
        self._live()
        return self._local.list(folder)

    def files(self, folder: str) -> dict[str, Stored]:
        self._live()
        return self._local.files(folder)

    def uri(self, name: str) -> str:
        return self._local.uri(name)

    @property
    def scan_options(self) -> Mapping[str, Any]:
        return self._local.scan_options

    def read(self, name: str) -> bytes:
        self._live()
        return self._local.read(name)

    def open(self, name: str) -> IO[bytes]:
        self._live()
        return self._local.open(name)

    def create(self) -> None:
        self._change(self._local.create, lambda: None)

    def write(self, name: str, data: bytes) -> None:
        def half() -> None:
            path = Path(self._local.uri(name) + ".part")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[: len(data) // 2])

        self._change(lambda: self._local.write(name, data), half)

    def publish(self, staged: str, name: str) -> bool:
        return self._change(lambda: self._local.publish(staged, name), lambda: None)

    def replace(self, staged: str, name: str) -> None:
        self._change(lambda: self._local.replace(staged, name), lambda: None)

    def move(self, name: str, target: str) -> bool:
        return self._change(lambda: self._local.move(name, target), lambda: None)

    def delete(self, name: str, *, below: bool = False) -> None:
        def half() -> None:
            path = Path(self._local.uri(name))
            for file in sorted(path.rglob("*"))[::2] if path.is_dir() else ():
                if file.is_file():
                    file.unlink()

        self._change(lambda: self._local.delete(name, below=below), half)

    def settle(self, folders: Collection[str]) -> None:
        self._live()
        self._local.settle(folders)

    def delete_files(self, names: Collection[str]) -> None:
        def half() -> None:
            self._local.delete_files(sorted(names)[::2])

        self._change(lambda: self._local.delete_files(names), half)

    def lock(self, run_id: str, *, wait: bool) -> AbstractContextManager[Held]:
        # The kernel's part: a dead process holds no lock, so its release is not stopped by the crash.
        self._live()
        return self._local.lock(run_id, wait=wait)

    def _live(self) -> None:
        if self.dead:
            raise Crash

    def _change(self, whole: Callable[[], T], half: Callable[[], None]) -> T:
        self._live()
        if self._changes_left is not None:
            self._changes_left -= 1
            if self._changes_left < 0:
                self._changes_left = None
                self.failed = True
                self.dead = not self._moment.startswith("error")
                {"before": lambda: None, "half": half, "after": whole}[self._moment.removeprefix("error ")]()
                raise Crash if self.dead else DatasetError("no room to write")
        return whole()


class PlanCommitCrash(RuleBasedStateMachine):
    """`must`: pairs whose commit has returned. `may`: pairs in a commit that a crash cut short."""

    def __init__(self) -> None:
        super().__init__()
        # Memory where there is some: the guarantee under test is the order of steps, not the disk.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.storage = CrashingStorage(self.folder / "set")
        self.dataset = Dataset(self.storage)
        self.must: set[int] = set()
        self.may: set[int] = set()
        self.staged: dict[str, set[int]] = {}
        self.planned: set[int] = set()
        self.runs = 0
        self.finished: set[str] = set()
        self.perhaps_finished: set[str] = set()
        self.perhaps_current: set[str | None] = {None}
        self.stack = ExitStack()
        self.writer: DatasetWriter | None = None

    def teardown(self) -> None:
        self.storage.revive()
        self.stack.close()
        shutil.rmtree(self.folder)

    def attempt(self, step: Callable[[], T], failure: Failure) -> T | None:
        """Does the step; None where it failed. After a crash, lets go of what the kernel lets go of, and reboots."""
        self.storage.arm(failure)
        try:
            return step()
        except DatasetError:
            assert self.storage.failed
            return None
        except Crash:
            assert self.storage.failed
            self.close()
            return None
        finally:
            self.storage.revive()

    def close(self) -> None:
        with suppress(Crash, DatasetError):
            self.stack.close()
        self.stack, self.writer, self.staged = ExitStack(), None, {}

    def clean(self) -> None:
        root = self.folder / "set"
        assert not list((root / "_staging").glob("**/*.parquet*"))
        assert self.storage.list("chunks") == self.storage.list("answers")
        assert {n.removesuffix(".parquet") for n in self.storage.list("summary")} <= {
            n.removesuffix(".json") for n in self.storage.list("runs")
        }

    @rule(failure=FAILURES)
    def restart(self, failure: Failure) -> None:
        """Whoever wrote is killed here; the next one takes over and sweeps."""
        if self.writer is not None:
            self.storage.dead = True
            self.close()
            self.storage.revive()
        self.runs += 1
        context = self.dataset.writer(f"run-{self.runs}", wait=False)
        writer = self.attempt(lambda: self.stack.enter_context(context), failure)
        if writer is not None:
            self.writer = writer
            self.clean()

    @rule(pairs=SHARDS)
    def plan(self, pairs: set[int]) -> None:
        """Under the lock or, for want of a writer, without it; then this is what `add` goes by."""
        asked = [pair(i).pair_id for i in sorted(pairs)]
        done = self.writer.done(asked) if self.writer is not None else self.dataset.done(asked)
        self.planned = {i for i, is_done in zip(sorted(pairs), done, strict=True) if not is_done}
        assert self.must & pairs <= pairs - self.planned <= self.must | self.may

    @precondition(lambda self: self.writer is not None)
    @rule(pairs=SHARDS, as_planned=st.booleans(), failure=FAILURES)
    def add(self, pairs: set[int], as_planned: bool, failure: Failure) -> None:
        chosen = self.planned if as_planned and self.planned else pairs
        self.commit(self.stage(chosen, None), failure)

    @precondition(lambda self: self.writer is not None)
    @rule(pairs=SHARDS, failure=FAILURES)
    def only_stage(self, pairs: set[int], failure: Failure) -> None:
        self.stage(pairs, failure)

    @precondition(lambda self: self.staged)
    @rule(data=st.data(), failure=FAILURES)
    def commit_again(self, data: st.DataObject, failure: Failure) -> None:
        self.commit(data.draw(st.sampled_from(sorted(self.staged))), failure)

    @precondition(lambda self: self.writer is not None)
    @rule(failure=FAILURES)
    def finish(self, failure: Failure) -> None:
        writer = self.open_writer()
        self.perhaps_finished.add(writer.run_id)
        self.perhaps_current.add(writer.run_id)

        def step() -> bool:
            writer.write_summary([merged_answer(1)], METADATA)
            writer.finish(manifest(writer.run_id), [current_file(writer.run_id)])
            return True

        if self.attempt(step, failure):
            self.finished.add(writer.run_id)
            self.perhaps_current = {writer.run_id}
        self.close()

    def stage(self, pairs: set[int], failure: Failure) -> str:
        run_id = self.open_writer().run_id
        rows = [pair(i) for i in sorted(pairs)]
        shard_id = make_shard_id([row.pair_id for row in rows])

        def step() -> bool:
            write_staged(self.storage, run_id, shard_id, rows, chunk_rows(rows), METADATA)
            return True

        if self.attempt(step, failure):
            self.staged[shard_id] = pairs
        return shard_id

    def commit(self, shard_id: str, failure: Failure) -> None:
        writer, pairs = self.open_writer(), self.staged[shard_id]
        added = self.attempt(lambda: writer.commit_shard(shard_id), failure)
        if added is None:
            self.may |= pairs
            return
        # A pair that an earlier commit left in doubt may have been there, or not.
        assert pairs - self.must if added else pairs <= self.must | self.may
        self.must |= pairs

    def open_writer(self) -> DatasetWriter:
        assert self.writer is not None
        return self.writer

    @invariant()
    def readers_see_what_was_committed(self) -> None:
        if not self.storage.exists():
            return
        answers = self.dataset.answers().select("pmid", "title", "pair_id").collect()
        found = list(answers["pmid"])
        assert len(found) == len(set(found))
        assert self.must <= set(found) <= self.must | self.may
        assert answers.rows() == [(i, pair(i).title, pair(i).pair_id) for i in found]
        assert sorted(self.dataset.chunks().collect()["pmid"]) == sorted(found * WINDOWS)
        assert self.dataset.current_table()[1].get("run_id") in self.perhaps_current
        runs = {run.run_id for run in self.dataset.runs()}
        assert self.finished <= runs <= self.perhaps_finished
        assert set(self.dataset.summary().collect()["run_id"]) == runs


TestPlanCommitCrash = PlanCommitCrash.TestCase
TestPlanCommitCrash.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
