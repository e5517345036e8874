"""A consumer that reads a data set all the time while runs write it and die, and trusts nothing."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id

WHOLE_EVERY_SECONDS = 0.25


def watch(root: Path) -> None:
    """Reads every file as soon as it is there, and the tables now and then, until `root.stop` appears.

    Raises:
        AssertionError: something is not whole.
    """
    stop = root.with_name(f"{root.name}.stop")
    known: dict[Path, tuple[int, int]] = {}
    last = 0.0
    while True:
        stopping = stop.exists()
        check_files(root, known)
        if stopping or time.monotonic() - last > WHOLE_EVERY_SECONDS:
            check_tables(root)
            last = time.monotonic()
        if stopping:
            return
        time.sleep(0.003)


def check_files(root: Path, known: dict[Path, tuple[int, int]]) -> None:
    """A file in answers/ is whole from the moment that it is there, has its chunks, and never changes."""
    for path in (root / "answers").glob("*"):
        stat = path.stat()
        if path not in known:
            answers = pq.read_table(path, columns=["pair_id", "n_windows"], partitioning=None)
            windows = pl.read_parquet(root / "chunks" / path.name, columns=["pair_id"], hive_partitioning=False)
            assert make_shard_id(answers["pair_id"].to_pylist()) == path.stem
            expected = dict(zip(answers["pair_id"].to_pylist(), answers["n_windows"].to_pylist(), strict=True))
            assert dict(windows.group_by("pair_id").len().iter_rows()) == expected
        assert known.setdefault(path, (stat.st_ino, stat.st_size)) == (stat.st_ino, stat.st_size)
    assert all(path.exists() for path in known)


def check_tables(root: Path) -> int:
    """The tables of the data set fit each other; returns the number of answers."""
    dataset = Dataset(root)
    if not (root / "answers").is_dir():
        return 0
    answers = dataset.answers().select("pair_id", "n_windows").collect()
    assert answers["pair_id"].is_unique().all()
    windows = dict(dataset.chunks().group_by("pair_id").len().collect().iter_rows())
    assert all(windows.get(pair_id) == n for pair_id, n in answers.iter_rows())
    finished = {run.run_id for run in dataset.runs() if run.status != "failed"}
    assert set(dataset.summary().select("run_id").collect()["run_id"]) >= finished
    return len(answers)
