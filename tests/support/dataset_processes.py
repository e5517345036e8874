"""Processes that write and read a data set without end, to be killed by tests.

The pairs are those of a numbered universe: pair i is known by its number, all else of a row follows from it.
"""

from __future__ import annotations

import itertools
import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import AnswerRow, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.storage.base import Storage
from support.dataset_rows import METADATA, answer_row, chunk_rows, current_file, manifest, merged_answer

GENERATION = 24
WINDOWS = 2


def pair(number: int) -> AnswerRow:
    return answer_row(number, title=f"Title of {number}", n_windows=WINDOWS)


def shards(rows: Sequence[AnswerRow], rng: random.Random) -> Iterator[list[AnswerRow]]:
    """The rows in random order, in shards of random size that sometimes repeat rows of the one before."""
    left = rng.sample(rows, len(rows))
    before: list[AnswerRow] = []
    while left:
        size = rng.randint(1, 8)
        repeated = before[:2] if rng.random() < 0.3 else []
        before, left = left[:size], left[size:]
        yield repeated + before


def run_once(root: Path | Storage, rows: Sequence[AnswerRow], rng: random.Random, *, nap_seconds: float) -> None:
    """A whole run, planned before or inside the lock, with doubled staging and commits."""
    dataset = Dataset(root)
    stale = dataset.done([row.pair_id for row in rows]) if rng.random() < 0.5 else None
    run_id = uuid.uuid4().hex
    with dataset.writer(run_id) as writer:
        done = writer.done([row.pair_id for row in rows]) if stale is None else stale
        open_rows = [row for row, is_done in zip(rows, done, strict=True) if not is_done]
        for part in shards(open_rows, rng):
            commit(root, writer, part, rng, nap_seconds)
        writer.write_summary([merged_answer(1)], METADATA)
        time.sleep(rng.uniform(0, nap_seconds))
        writer.finish(manifest(run_id), [current_file(run_id)])


def commit(
    root: Path | Storage, writer: DatasetWriter, rows: Sequence[AnswerRow], rng: random.Random, nap_seconds: float
) -> None:
    shard_id = make_shard_id([row.pair_id for row in rows])
    for _ in range(rng.choice((1, 1, 2))):
        write_staged(root, writer.run_id, shard_id, rows, chunk_rows(rows), METADATA)
        time.sleep(rng.uniform(0, nap_seconds))
    for _ in range(rng.choice((1, 1, 2))):
        writer.commit_shard(shard_id)
    time.sleep(rng.uniform(0, nap_seconds))


def write_forever(root: Path, seed: int, started: Connection) -> None:
    """Run after run over growing universes; tells that it has begun.

    A run elsewhere comes first: what a new process loads at first use may take longer than it is left to live.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        run_once(Path(folder) / "set", [pair(0)], rng, nap_seconds=0)
    started.send(True)
    for generation in itertools.count(1):
        run_once(root, [pair(i) for i in range(generation * GENERATION)], rng, nap_seconds=0.003)


def read_forever(root: Path, results: Connection) -> None:
    """Reads all tables until asked to stop; then sends the number of rounds, or before that the first thing wrong."""
    rounds = 0
    seen = 0
    try:
        while not results.poll():
            if root.exists():
                seen = max(seen, check_whole(root))
            rounds += 1
            time.sleep(0.01)
        seen = max(seen, check_whole(root))
    except Exception as exc:
        results.send(f"{type(exc).__name__}: {exc}")
        raise
    results.send((rounds, seen))


def check_whole(root: Path) -> int:
    """Reads all that a consumer can see, by the data set and by glob; returns the number of answers.

    Raises:
        AssertionError: a pair stands there twice, a file or its chunks are not whole, the current answers are those of
            no run that has ended.
    """
    dataset = Dataset(root)
    current, metadata = dataset.current_table()
    assert (len(current), metadata.get("run_id")) in {(0, None), *((1, run.run_id) for run in dataset.runs())}
    answers = dataset.answers().collect()
    assert answers["pair_id"].n_unique() == len(answers)
    windows = dict(dataset.chunks().group_by("pair_id").len().collect().iter_rows())
    assert windows.keys() >= set(answers["pair_id"])
    assert set(windows.values()) <= {WINDOWS}
    finished = {run.run_id for run in dataset.runs()}
    assert set(dataset.summary().collect()["run_id"]) >= finished
    for path in (root / "answers").glob("*.parquet"):
        found = pq.read_table(path)["pair_id"].to_pylist()
        assert make_shard_id(found) == path.stem
        assert len(pq.read_table(root / "chunks" / path.name)) == WINDOWS * len(found)
    return len(answers)


def numbers(root: Path) -> list[int]:
    """The numbers of all committed pairs, after a check of each row against its number."""
    found = Dataset(root).answers().select("pmid", "pair_id", "title").collect().sort("pmid")
    expected = pl.DataFrame(
        [(row.pmid, row.pair_id, row.title) for row in map(pair, found["pmid"])], schema=found.schema, orient="row"
    )
    assert found.equals(expected)
    return list(found["pmid"])
