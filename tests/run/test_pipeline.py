from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.records.texts import Hit, Missing, Question, Retrieval
from bioqa_pipeline.run.plan import automatic_shard_pairs
from bioqa_pipeline.run.retrieve import SEARCHES_AT_ONCE, retrieve

QUESTIONS = [Question(id=f"q{i}", text=f"Question {i}?") for i in range(3 * SEARCHES_AT_ONCE)]


class Searching:
    """A source of which only the search is of interest."""

    name = "double"

    def __init__(self, folder: Path, find: Callable[[Question], Retrieval]) -> None:
        self.store = AbstractStore(folder)
        self.asked: list[str] = []
        self._find = find

    def search(self, question: Question, limit: int) -> Retrieval:
        self.asked.append(question.id)
        return self._find(question)

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        return []

    def describe(self) -> dict[str, str]:
        return {}


def test_searches_run_side_by_side_and_come_back_in_order(tmp_path: Path) -> None:
    together = threading.Barrier(SEARCHES_AT_ONCE, timeout=30)

    def find(question: Question) -> Retrieval:
        together.wait()
        return Retrieval(question.id, (Hit(int(question.id[1:]), 1),))

    steps: list[float] = []
    found = retrieve(QUESTIONS, Searching(tmp_path, find), 1, progress=steps.append)
    assert [(r.question_id, r.hits[0].pmid) for r in found] == [(q.id, i) for i, q in enumerate(QUESTIONS)]
    assert steps == [1] * len(QUESTIONS)


def test_a_search_that_breaks_off_leaves_the_others_unasked(tmp_path: Path) -> None:
    def find(question: Question) -> Retrieval:
        raise OSError("the disk is gone")

    source = Searching(tmp_path, find)
    many = [Question(id=f"q{i}", text="What?") for i in range(5000)]
    with pytest.raises(OSError, match="disk is gone"):
        retrieve(many, source, 1)
    assert len(source.asked) < len(many)


@given(n_new=st.integers(1, 10**9), on_gpu=st.booleans(), n_workers=st.integers(1, 64))
def test_shards_are_neither_many_nor_few(n_new: int, on_gpu: bool, n_workers: int) -> None:
    pairs = automatic_shard_pairs(n_new, on_gpu=on_gpu, n_workers=n_workers)
    assert 32 <= pairs <= 8192
    assert n_workers == 1 or pairs == 32 or n_new // pairs >= 8 * n_workers
    assert pairs >= (4096 if on_gpu else 256) or n_workers > 1
    assert pairs == 8192 or n_new // pairs < max(8000, 16 * n_workers, n_new / 256)


def test_shards_of_a_small_run_and_of_a_long_one() -> None:
    assert automatic_shard_pairs(100, on_gpu=False, n_workers=1) == 256
    assert automatic_shard_pairs(100, on_gpu=False, n_workers=2) == 32
    assert automatic_shard_pairs(100_000_000, on_gpu=True, n_workers=8) == 8192
    assert automatic_shard_pairs(4_000_000, on_gpu=False, n_workers=1) == 1000
