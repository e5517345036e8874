"""Runs that add numbered pairs to a data set, as the main job does, and write down what they were promised."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import polars as pl

from bioqa_pipeline.dataset.compaction import compact
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.replacing import Replacement
from bioqa_pipeline.dataset.schemas import ANSWERS, INDEX, STAGING, AnswerRow, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.tables import to_table
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import BioqaError
from faults.ledger import PROVENANCE, Ledger
from support.dataset_processes import WINDOWS, pair, shards
from support.dataset_rows import METADATA, chunk_rows, current_file, manifest, merged_answer

MOST_PAIRS = 40
SHARD_PAIRS = 2


@cache
def expected_rows() -> pl.DataFrame:
    """All rows of the numbered pairs."""
    table = pl.from_arrow(to_table([pair(number) for number in range(MOST_PAIRS)], ANSWERS))
    assert isinstance(table, pl.DataFrame)
    return table.drop(PROVENANCE)


def new_ledger() -> Ledger:
    rows = expected_rows()
    return Ledger(rows, dict.fromkeys(rows["pair_id"], WINDOWS), current={None})


class UnexpectedError(Exception):
    """An error where nothing was wrong, or of a kind that no user should see."""


class Work:
    """One run over some pairs.

    Args:
        struck: whether a fault has happened, so that an error is to be expected.
        stage: puts the rows of a shard into staging; None does as a worker does.
    """

    def __init__(
        self,
        dataset: Dataset,
        ledger: Ledger,
        rng: random.Random,
        run_id: str,
        *,
        struck: Callable[[], object] = lambda: False,
        stage: Callable[[DatasetWriter, str, Sequence[AnswerRow]], None] | None = None,
    ) -> None:
        self.dataset, self.ledger, self.rng, self.run_id = dataset, ledger, rng, run_id
        self._struck = struck
        self._stage = stage or self.stage

    def run(self, n_pairs: int) -> None:
        """The whole run, over the first pairs; sometimes the files of those before are merged first."""
        with self.explained():
            if self.rng.random() < 0.3 and self.dataset.storage.list("answers"):
                compact(self.dataset.storage)
        with self.explained(), self.dataset.writer(self.run_id, wait=True) as writer:
            self.inside(writer, n_pairs)

    def inside(self, writer: DatasetWriter, n_pairs: int) -> None:
        """All of it but opening the writer."""
        self.add(writer, n_pairs)
        self.close(writer, n_pairs)

    def row(self, number: int) -> AnswerRow:
        return replace(pair(number), run_id=self.run_id)

    def add(self, writer: DatasetWriter, n_pairs: int) -> None:
        """Plans, and commits what is missing."""
        rows = [self.row(number) for number in range(n_pairs)]
        done = writer.done([row.pair_id for row in rows])
        plan = io.BytesIO()
        pl.DataFrame({"done": done}).write_parquet(plan)
        self.dataset.storage.write(f"{STAGING}/{self.run_id}/plan.parquet", plan.getvalue())
        answered = {row.pair_id for row, is_done in zip(rows, done, strict=True) if is_done}
        missing = [row for row in rows if row.pair_id not in answered]
        # As the main job cuts them, so that the next run asks for a shard that a fault struck again; or otherwise.
        cut = (missing[i : i + SHARD_PAIRS] for i in range(0, len(missing), SHARD_PAIRS))
        for part in cut if self.rng.random() < 0.6 else shards(missing, self.rng):
            self.commit(writer, part)

    def close(self, writer: DatasetWriter, n_pairs: int) -> None:
        """Summary, page and manifest."""
        writer.write_summary([merged_answer(1)], METADATA)
        if self.rng.random() < 0.5:
            writer.write_page("<p>")
        self.ledger.current = {*(self.ledger.current or ()), self.run_id}
        page = Replacement(INDEX, f"<p>{self.run_id}".encode())
        writer.finish(manifest(self.run_id, n_pairs=n_pairs), [current_file(self.run_id), page])
        self.ledger.current = {self.run_id}
        self.ledger.finished.add(self.run_id)
        self.ledger.must |= {pair(number).pair_id for number in range(n_pairs)}

    def commit(self, writer: DatasetWriter, rows: Sequence[AnswerRow]) -> None:
        """Stages and commits; after an error once more, as a retried task does."""
        for is_last in (False, True):
            try:
                self._commit(writer, rows)
                return
            except BioqaError:
                if is_last or not self._struck() or self.rng.random() < 0.3:
                    raise

    def _commit(self, writer: DatasetWriter, rows: Sequence[AnswerRow]) -> None:
        shard_id = make_shard_id([row.pair_id for row in rows])
        pair_ids = {row.pair_id for row in rows}
        for _ in range(self.rng.choice((1, 1, 2))):
            self._stage(writer, shard_id, rows)
        self.ledger.may |= pair_ids
        added = writer.commit_shard(shard_id)
        if not added and not self._struck() and pair_ids - self.ledger.must:
            raise UnexpectedError(f"shard {shard_id}: said to be committed before, and was not")
        self.ledger.must |= pair_ids

    def stage(self, writer: DatasetWriter, shard_id: str, rows: Sequence[AnswerRow]) -> None:
        write_staged(self.dataset.storage, writer.run_id, shard_id, rows, chunk_rows(rows), METADATA)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Errors in words are what a fault may come to, where there was one."""
        try:
            yield
        except BioqaError as exc:
            if not self._struck():
                raise UnexpectedError(f"without a fault: {exc}") from exc
            if "\n" in str(exc):
                raise UnexpectedError(f"an error of several lines: {exc}") from exc
