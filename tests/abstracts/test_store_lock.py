"""One process at a time writes a store of abstracts; another waits, and who lost the lock writes nothing more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.errors import StoreError
from bioqa_pipeline.records.texts import Abstract
from support.store_processes import held_pmids
from support.waiting import wait_for


def record(pmid: int) -> Abstract:
    return Abstract(pmid, text=f"Text of {pmid}.")


def test_a_second_writer_waits_for_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = AbstractStore(tmp_path / "store")
    added = threading.Event()

    def add() -> None:
        AbstractStore(store.path).add([record(2)], origin="second")
        added.set()

    thread = threading.Thread(target=add)
    with store.writer() as writer:
        writer.add([record(1)], origin="first")
        thread.start()
        wait_for(lambda: "another run writes" in caplog.text, "word of the waiting writer")
        writer.add([record(3)], origin="first")
        assert not added.is_set()
        assert held_pmids(store) == [1, 3]
    thread.join(timeout=30)
    assert added.is_set()
    assert held_pmids(store) == [1, 2, 3]
    assert len(store.parts()) == 3


def test_who_lost_the_lock_commits_nothing(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path / "store")
    store.add([record(1)], origin="first")
    with store.writer() as writer:
        (store.path / ".lock").unlink()
        with pytest.raises(StoreError, match="the lock file was deleted"):
            writer.add([record(2)], origin="first")
    assert held_pmids(store) == [1] and len(store.parts()) == 1
    with pytest.raises(StoreError, match="while it is open"):
        writer.add([record(3)], origin="first")
