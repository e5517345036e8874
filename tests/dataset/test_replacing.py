"""The file of current answers while a run puts another in its place, killed at every step, on a disk and in a store."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import CURRENT_FILE, RUNS
from bioqa_pipeline.dataset.verify import verify
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.local import LocalStorage
from dataset.test_machine import Crash, CrashingStorage
from support.dataset_rows import METADATA, current_file, manifest, merged_answer


def finish(dataset: Dataset, run_id: str) -> None:
    with dataset.writer(run_id) as writer:
        writer.write_summary([merged_answer(1)], METADATA)
        writer.finish(manifest(run_id, n_pairs=0, n_windows=0, n_scored=0), [current_file(run_id)])


def run_of(dataset: Dataset) -> str | None:
    return dataset.current_table()[1].get("run_id")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_reader_sees_one_state_at_any_step(tmp_path: Path, moment: str) -> None:
    finish(Dataset(tmp_path / "set"), "first")
    storage = CrashingStorage(tmp_path / "set")
    for step in range(40):
        storage.arm((step, moment))
        try:
            finish(Dataset(storage), f"run-{step}")
            break
        except Crash:
            storage.revive()
        dataset = Dataset(tmp_path / "set")
        # A plain reader finds one file with one state; the data set knows it for its own.
        assert pl.read_parquet(tmp_path / "set" / "current" / "*.parquet").height == 1
        ended = {run.run_id for run in dataset.runs()}
        assert run_of(dataset) in ended
        assert [f.file for f in verify(dataset.storage).findings] == []
    assert step > 10
    assert run_of(Dataset(tmp_path / "set")) == f"run-{step}"
    with Dataset(tmp_path / "set").writer("last"):
        assert verify(LocalStorage(tmp_path / "set")).notes == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_run_that_is_interrupted_while_it_finishes_is_a_failed_one(
    tmp_path: Path, moment: str, is_first: bool
) -> None:
    for step in range(60):
        root = tmp_path / f"set-{step}"
        if not is_first:
            finish(Dataset(root), "first")
        storage = CrashingStorage(root)
        with Dataset(storage).writer("run") as writer:
            storage.arm((step, moment))
            try:
                writer.write_summary([merged_answer(1)], METADATA)
                writer.write_page("a page")
                writer.finish(manifest("run", n_pairs=0, n_windows=0, n_scored=0), [current_file("run")])
                storage.arm(None)
                break
            except Crash:
                storage.revive()
            if f"{RUNS}/run.json" not in storage.files(RUNS):
                writer.finish(manifest("run", status="failed", n_pairs=0, n_windows=0, n_scored=0))
        dataset = Dataset(root)
        assert {run.run_id for run in dataset.runs()} == {"run"} | ({"first"} - {"first" * is_first})
        assert dataset.summary().collect().height <= 2 - is_first
        assert run_of(dataset) in {None if is_first else "first", "run"}
        assert verify(dataset.storage).findings == []
        finish(Dataset(root), "next")
        assert run_of(dataset) == "next" and verify(dataset.storage).findings == []
    assert step > 15


def test_the_log_forgets_what_was_replaced(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "set")
    for n in range(18):
        finish(dataset, f"run-{n}")
    entries = list((tmp_path / "set" / "_log").iterdir())
    assert len(entries) <= 17
    first = current_file("run-0").data
    (tmp_path / "set" / CURRENT_FILE).write_bytes(first)
    with pytest.raises(DatasetError, match="damaged or changed by hand"):
        dataset.current()


def test_a_file_of_others_is_not_replaced(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "set")
    with dataset.writer("run") as writer:
        path = tmp_path / "set" / CURRENT_FILE
        path.parent.mkdir()
        path.write_bytes(b"mine")
        with pytest.raises(DatasetError, match="not of this data set"):
            writer.finish(manifest("run"), [current_file("run")])
    assert path.read_bytes() == b"mine"
    assert dataset.current().collect().is_empty()


def test_a_damaged_one_is_set_aside_and_made_again(tmp_path: Path) -> None:
    from bioqa_pipeline.dataset.quarantine import quarantine

    dataset = Dataset(tmp_path / "set")
    finish(dataset, "first")
    path = tmp_path / "set" / CURRENT_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    report, moved = quarantine(dataset.storage)
    assert [f.file for f in report.findings] == [CURRENT_FILE]
    assert len(moved) == 1 and not path.exists()
    finish(dataset, "second")
    assert run_of(dataset) == "second"
