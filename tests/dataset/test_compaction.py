"""Many small files become few: the same rows at every step, wherever it is killed, on a disk and in a store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.dataset import compaction
from bioqa_pipeline.dataset.compaction import KINDS, compact, plan_compaction
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS, SUMMARY, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.verify import verify
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Storage
from dataset.test_machine import Crash, CrashingStorage
from flows.commands.compact import main
from support.dataset_processes import WINDOWS, pair
from support.dataset_rows import METADATA, chunk_rows, manifest, merged_answer
from support.s3_server import S3Server

RUNS = 4


def fill(root: Path | str | Storage, runs: int = RUNS) -> None:
    """Runs of two pairs each, the last with other settings."""
    dataset = Dataset(root)
    for number in range(runs):
        rows = [pair(2 * number), pair(2 * number + 1)]
        shard_id = make_shard_id([row.pair_id for row in rows])
        settings = METADATA if number < runs - 1 else METADATA | {"config": '{"other": 1}'}
        with dataset.writer(f"run-{number}") as writer:
            write_staged(root, f"run-{number}", shard_id, rows, chunk_rows(rows), settings)
            writer.commit_shard(shard_id)
            writer.write_summary([merged_answer(1)], METADATA)
            writer.finish(manifest(f"run-{number}", n_windows=2 * WINDOWS))


def tables(root: Path | str | Storage) -> list[pl.DataFrame]:
    dataset = Dataset(root)
    return [
        dataset.answers().sort("pair_id").collect(),
        dataset.chunks().sort("pair_id", "window_index").collect(),
        dataset.summary().sort("run_id").collect(),
    ]


def same(found: list[pl.DataFrame], expected: list[pl.DataFrame]) -> bool:
    return all(one.equals(other) for one, other in zip(found, expected, strict=True))


def check(root: Path | str, expected: list[pl.DataFrame]) -> None:
    assert same(tables(root), expected)
    report = verify(Dataset(root).storage)
    assert [(finding.file, finding.what) for finding in report.findings] == []


def test_few_files_hold_the_same_rows_sorted_and_a_second_time_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    fill(root)
    expected = tables(root)
    assert main(["--data-set", str(root), "--dry-run"]) == 0
    merged = "merge 3 files of 6 answers, and their pieces of text\n", "merge 4 files of 4 merged answers of 4 runs\n"
    assert capsys.readouterr().out == "".join(f"would {line}" for line in merged)
    assert len(list((root / "answers").iterdir())) == RUNS
    assert main(["--data-set", str(root)]) == 0
    assert capsys.readouterr().out == "".join(line.replace("merge ", "merged ", 1) for line in merged)
    for table in (ANSWERS, CHUNKS, SUMMARY):
        files = sorted((root / table.name).iterdir(), key=lambda path: -path.stat().st_size)
        assert len(files) == (1 if table is SUMMARY else 2)
        rows = pl.read_parquet(files[0])
        assert rows.equals(rows.sort(table.sorted_by))
        sorting = pq.ParquetFile(files[0]).metadata.row_group(0).sorting_columns
        assert len(sorting) == len(table.sorted_by)
        assert pq.read_schema(files[0]).metadata[b"bioqa.config"].decode() == METADATA["config"]
    check(root, expected)
    assert verify(Dataset(root).storage).notes == []
    # What one run said is found there, too.
    said = expected[2].filter(run_id="run-1")
    assert len(said) == 1 and Dataset(root).run_summary("run-1").equals(said)
    names = {path.name for path in root.rglob("*") if path.is_file()}
    assert main(["--data-set", str(root)]) == 0
    assert capsys.readouterr().out.startswith("nothing to merge: no two files under 32 MiB are of runs with the same")
    assert {path.name for path in root.rglob("*") if path.is_file()} == names
    # The next runs know the pairs, and fold the log without losing what manifests speak of.
    for number in range(20):
        with Dataset(root).writer(f"later-{number}") as writer:
            assert writer.done([pair(i).pair_id for i in range(2 * RUNS)]).all()
            writer.write_summary([merged_answer(1)], METADATA)
            writer.finish(manifest(f"later-{number}", n_pairs=0, n_windows=0, n_scored=0))
    assert verify(Dataset(root).storage).findings == []


def test_files_that_are_large_enough_stay(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root)
    sizes = sum(p.stat().st_size for folder in ("answers", "chunks") for p in (root / folder).iterdir())
    one = sizes // RUNS
    storage = Dataset(root).storage

    def planned(most_bytes: int) -> list[int]:
        groups = plan_compaction(storage, most_bytes=most_bytes)
        return [len(group.files) for group in groups if group.tables[-1] is ANSWERS]

    assert planned(one) == []
    assert planned(int(2.5 * one)) == [2]
    compact(storage, most_bytes=int(2.5 * one))
    assert planned(int(2.5 * one)) == []


@pytest.mark.parametrize("moment", ["before", "half", "after", "error before", "error after"])
def test_killed_at_any_step_nothing_is_lost_or_doubled(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "set"
    fill(root)
    expected = tables(root)
    storage = CrashingStorage(root)
    # What is merged stays so: summaries first, so that each of their steps is met.
    for kinds in (((SUMMARY,),), KINDS):
        monkeypatch.setattr(compaction, "KINDS", kinds)
        for step in range(60):
            storage.arm((step, moment))
            try:
                compact(storage)
            except (Crash, DatasetError):
                storage.revive()
                assert same(tables(root), expected), step
                continue
            if not storage.failed:
                break
            storage.revive()
        assert 7 < step < 59
    assert compact(Dataset(root).storage) == []
    check(root, expected)
    counts = [len(list((root / table).iterdir())) for table in ("answers", "chunks", "summary")]
    assert counts == [2, 2, 1]
    assert list((root / "_staging").iterdir()) == []


def test_two_at_once_merge_once(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root)
    expected = tables(root)
    with ThreadPoolExecutor(2) as pool:
        merged = list(pool.map(lambda _: compact(Dataset(root).storage), range(2)))
    assert sorted(map(len, merged)) == [0, 2]
    check(root, expected)


def test_in_an_object_store(s3: S3Server) -> None:
    uri = s3.new_uri()
    fill(uri, runs=3)
    expected = tables(uri)
    assert [len(group.files) for group in compact(Dataset(uri).storage)] == [2, 3]
    check(uri, expected)
    assert [sum(key.startswith(name) for key in s3.keys(uri)) for name in ("answers/", "summary/")] == [2, 1]


def test_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-set", str(tmp_path / "nothing")]) == 2
    assert "there is no data set here" in capsys.readouterr().err


def test_a_damaged_file_is_named_and_nothing_is_merged(tmp_path: Path) -> None:
    fill(tmp_path / "set")
    path = min((tmp_path / "set" / "summary").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-40] + b"\xff" * 32 + path.read_bytes()[-8:])
    before = {p: p.read_bytes() for p in (tmp_path / "set").rglob("*") if p.is_file() and p.name != ".lock"}
    with pytest.raises(DatasetError, match=rf"{path.name}: damaged or changed by hand; what is whole says"):
        compact(Dataset(tmp_path / "set").storage)
    assert {p: p.read_bytes() for p in (tmp_path / "set").rglob("*") if p.is_file() and p.name != ".lock"} == before
