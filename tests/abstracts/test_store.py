from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bioqa_pipeline.abstracts.locator import Locator
from bioqa_pipeline.abstracts.parts import ROW_GROUP_RECORDS, SCHEMA_VERSION, write_part
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.abstracts.writer import AddCount
from bioqa_pipeline.errors import StoreError
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.storage.local import LocalStorage
from support.store_processes import FULL, add_for_ever, held_pmids


def parts(path: Path) -> list[Path]:
    return sorted((path / "parts").glob("*"))


def lose_locator(path: Path) -> None:
    for file in path.glob("locator-*"):
        file.unlink()


def held(path: Path) -> dict[int, Abstract]:
    store = AbstractStore(path)
    return {a.pmid: a for a in store.get(held_pmids(store))}


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path / "store")
    assert (list(store.get([7])), held_pmids(store), store.index([7]).height) == ([], [], 0)
    assert not store.path.exists()
    assert store.add([FULL, Abstract(pmid=1)], origin="test") == AddCount(added=2)
    assert list(store.get([1, 5, 7, 1])) == [Abstract(pmid=1), FULL, Abstract(pmid=1)]
    row = store.index([7, 7, 5]).row(0, named=True)
    assert (row["content_hash"], row["has_abstract"], row["is_retracted"]) == (FULL.content_hash, True, True)
    assert store.index([1]).schema["fetched_at"] == pl.Datetime("us", "UTC")
    assert store.index([1])["has_abstract"].to_list() == [False]
    assert held_pmids(store) == [1, 7]
    table = pq.read_table(parts(store.path)[0])
    assert table.schema.metadata[b"bioqa.schema_version"] == SCHEMA_VERSION.encode()
    assert table["origin"].to_pylist() == ["test", "test"]


def test_the_same_record_is_written_once(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="a", deleted=[3])
    first = store.index([7])["fetched_at"][0]
    assert store.add([FULL], origin="b", deleted=[3]) == AddCount(unchanged=2)
    assert len(parts(tmp_path)) == 1 and not list((tmp_path / "_staging").iterdir())
    assert store.index([7])["fetched_at"][0] > first


def test_what_the_content_hash_leaves_out_is_kept_too(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="a")
    changed = replace(FULL, mesh_terms=("Humans", "Mice"))
    assert store.add([changed], origin="b") == AddCount(added=1)
    assert list(store.get([7])) == [changed]


@pytest.mark.parametrize(
    ("first", "second", "current"),
    [
        ((1, "2020-01-01", "old"), (1, "2021-01-01", "new"), "new"),
        ((1, "2021-01-01", "new"), (1, "2020-01-01", "old"), "new"),
        ((2, "", "new"), (1, "2022-01-01", "old"), "new"),
        ((1, "", "old"), (1, "", "new"), "new"),
    ],
)
def test_the_newest_version_is_current(
    tmp_path: Path, first: tuple[int, str, str], second: tuple[int, str, str], current: str
) -> None:
    store = AbstractStore(tmp_path)
    for version, revised, text in (first, second):
        store.add([Abstract(pmid=1, version=version, date_revised=revised, text=text)], origin="x")
    assert [a.text for a in store.get([1])] == [current]
    lose_locator(tmp_path)
    assert [a.text for a in store.get([1])] == [current]


def test_a_deletion_holds_until_the_record_comes_again(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="x", deleted=[7])
    assert (list(store.get([7])), store.index([7]).height, store.deleted([7, 8])) == ([], 0, {7})
    older = replace(FULL, version=1)
    assert store.add([older], origin="x") == AddCount(added=1)
    assert (list(store.get([7])), store.deleted([7])) == ([older], set())


def test_many_records_over_row_groups_and_lookups(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    count = 5 * ROW_GROUP_RECORDS + 17
    store.add((Abstract(pmid=i, text=f"text {i}") for i in range(1, count + 1)), origin="x")
    asked = [*range(count, 0, -3), 10**7]
    assert [a.text for a in store.get(asked)] == [f"text {i}" for i in asked[:-1]]
    assert store.index(range(1, count + 50)).height == count


def test_several_commits_of_parts_that_others_wrote(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    with store.writer() as writer:
        for text in ("a", "a", "b"):
            staged = writer.new_part()
            write_part(staged, [Abstract(pmid=1, text=text), Abstract(pmid=2)], origin=text, deleted=[2])
            writer.commit(staged)
            lose_locator(tmp_path)
    assert held(tmp_path) == {1: Abstract(pmid=1, text="b")}
    assert len(parts(tmp_path)) == 2
    changes = list(store.changes(0, ["text"]))
    current = [(c.part, [row["text"] for row in c.current], c.deleted) for c in changes]
    assert current == [(1, [], [2]), (2, ["b"], [])]
    assert [c.part for c in store.changes(1, [])] == [2]


class StoreMachine(RuleBasedStateMachine):
    """The store against a dictionary, over commits, lost locators and damaged ones."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store"
        self.twin: dict[int, Abstract] = {}
        self.gone: set[int] = set()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(
        records=st.lists(
            st.builds(
                Abstract,
                pmid=st.integers(1, 4),
                version=st.integers(1, 2),
                date_revised=st.sampled_from(["", "2020", "2021"]),
                text=st.sampled_from(["", "a", "b"]),
                mesh_terms=st.sampled_from([(), ("m",)]),
            ),
            max_size=6,
        ),
        deleted=st.lists(st.integers(1, 5), max_size=2),
        in_one_go=st.booleans(),
    )
    def add(self, records: list[Abstract], deleted: list[int], in_one_go: bool) -> None:
        n_parts, state = len(parts(self.path)), (dict(self.twin), set(self.gone))
        if in_one_go:
            AbstractStore(self.path).add(records, origin="x", deleted=deleted)
        else:
            with AbstractStore(self.path).writer() as writer:
                staged = writer.new_part()
                write_part(staged, records, origin="x", deleted=deleted)
                writer.commit(staged)
        for a in records:
            old = self.twin.get(a.pmid)
            if old is None or (a.version, a.date_revised) >= (old.version, old.date_revised):
                self.twin[a.pmid] = a
                self.gone.discard(a.pmid)
        for pmid in deleted:
            self.gone.add(pmid)
            self.twin.pop(pmid, None)
        assert len(parts(self.path)) == n_parts + ((self.twin, self.gone) != state)

    @rule()
    def lose_locator(self) -> None:
        lose_locator(self.path)

    @rule(where=st.floats(0, 1))
    def damage_locator(self, where: float) -> None:
        for file in self.path.glob("locator-*.sqlite"):
            size = file.stat().st_size
            with file.open("rb+") as opened:
                opened.seek(round(where * size))
                opened.write(b"\0" * size if where < 0.5 else b"")
                opened.truncate(max(round(where * size), 10) if where < 0.5 else size)

    @invariant()
    def same(self) -> None:
        store = AbstractStore(self.path)
        assert {a.pmid: a for a in store.get(range(1, 6))} == self.twin
        index = store.index([1, 2, 3, 4, 5])
        hashes = dict(zip(index["pmid"], index["content_hash"], strict=True))
        assert hashes == {pmid: a.content_hash for pmid, a in self.twin.items()}
        assert store.deleted(range(1, 6)) == self.gone
        assert held_pmids(store) == sorted(self.twin)
        rows = [row for c in store.changes(0, ["text"]) for row in c.current]
        assert {row["pmid"]: row["text"] for row in rows} == {pmid: a.text for pmid, a in self.twin.items()}
        assert len(rows) == len(self.twin)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=15, stateful_step_count=8, deadline=None)


class CrashError(BaseException):
    pass


def test_a_folder_of_somebodys_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "_staging").mkdir()
    (tmp_path / "_staging" / "thesis.docx").write_text("precious")
    with pytest.raises(StoreError, match=r"bears no _bioqa\.json.*set BIOQA_CACHE to a folder of its own"):
        AbstractStore(tmp_path).add([FULL], origin="x")
    (tmp_path / "_staging" / "thesis.docx").rename(tmp_path / "thesis.docx")
    with pytest.raises(StoreError, match="bears no"):
        AbstractStore(tmp_path).add([FULL], origin="x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_staging", "thesis.docx"]


@pytest.mark.parametrize("left", ["whole", "no parts", "an unreadable part"])
def test_a_store_of_an_earlier_version_gets_its_marker(tmp_path: Path, left: str) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="x")
    (tmp_path / "_bioqa.json").unlink()
    [part] = (tmp_path / "parts").iterdir()
    if left == "no parts":
        part.unlink()
    elif left == "an unreadable part":
        part.write_bytes(b"no Parquet")
        with pytest.raises(StoreError, match="bears no"):
            store.add([Abstract(pmid=1)], origin="x")
        return
    store.add([Abstract(pmid=1)], origin="x")
    assert json.loads((tmp_path / "_bioqa.json").read_text())["kind"] == "abstract store"
    assert held(tmp_path).keys() == ({1} if left == "no parts" else {1, 7})


def test_only_what_a_writer_staged_is_swept(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="x")
    for name in ("notes.txt", f"{0:032x}.parquet", "locator.sqlite-journal"):
        (tmp_path / "_staging" / name).write_text("")
    (tmp_path / "locator-mine.txt").write_text("")
    store.repair()
    assert [path.name for path in (tmp_path / "_staging").iterdir()] == ["notes.txt"]
    newest = max(tmp_path.glob("locator-*.sqlite"))
    newest.write_bytes(b"damaged" * 1000)
    assert held(tmp_path).keys() == {7}
    assert (tmp_path / "locator-mine.txt").exists()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_part_that_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    store = AbstractStore(tmp_path / "store")
    store.add([FULL], origin="x")
    [part] = (tmp_path / "store" / "parts").iterdir()
    part.rename(tmp_path / "moved")
    if kind == "link":
        part.symlink_to(tmp_path / "moved")
    else:
        os.mkfifo(part)
    with pytest.raises(StoreError, match=r"cannot be read: .*not a regular file"):
        list(store.get([7]))


def before(function: Callable[..., Any]) -> Callable[..., Any]:
    def crash(*args: Any, **keywords: Any) -> Any:
        raise CrashError

    return crash


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def crash(*args: Any, **keywords: Any) -> Any:
        function(*args, **keywords)
        raise CrashError

    return crash


@pytest.mark.parametrize("when", [before, after])
@pytest.mark.parametrize(
    ("place", "name", "committed"),
    [
        (LocalStorage, "delete", (False, False)),
        (Locator, "compare", (False, False)),
        (LocalStorage, "publish", (False, True)),
        (Locator, "write", (True, True)),
        (Path, "unlink", (True, True)),
    ],
)
def test_a_crash_between_any_two_steps(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: Callable[[Callable[..., Any]], Callable[..., Any]],
    place: type,
    name: str,
    committed: tuple[bool, bool],
) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL, Abstract(pmid=1)], origin="x")
    old = held(tmp_path)
    (tmp_path / "_staging" / f"{0:032x}.parquet").write_bytes(b"of a killed writer")
    with monkeypatch.context() as patch:
        patch.setattr(place, name, when(getattr(place, name)))
        with pytest.raises(CrashError):
            store.add([replace(FULL, text="new"), Abstract(pmid=2)], origin="x", deleted=[1])
    new = {7: replace(FULL, text="new"), 2: Abstract(pmid=2)}
    assert held(tmp_path) in (old, new)
    store.repair()
    assert held(tmp_path) == (new if committed[when is after] else old)
    store.add([Abstract(pmid=9)], origin="x")
    assert not list((tmp_path / "_staging").iterdir())
    assert 9 in held(tmp_path)


def test_a_crash_while_the_locator_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="x")
    store.add([Abstract(pmid=1)], origin="x")
    lose_locator(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Locator, "take_up", after(Locator.take_up))
        with pytest.raises(CrashError):
            held_pmids(store)
    assert held_pmids(store) == [1, 7]


def test_a_deleted_part_is_forgotten_by_the_next_writer(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="x")
    store.add([Abstract(pmid=1)], origin="x")
    parts(tmp_path)[1].unlink()
    with pytest.raises(StoreError, match=r"00000002\.parquet"):
        list(store.get([1]))
    assert store.add([Abstract(pmid=1)], origin="x") == AddCount(added=1)
    assert held(tmp_path) == {1: Abstract(pmid=1), 7: FULL}


def test_errors_name_the_file(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="x")
    part = parts(tmp_path)[0]
    table = pq.read_table(part)
    pq.write_table(table.replace_schema_metadata({"bioqa.schema_version": "0"}), part)
    with pytest.raises(StoreError, match=r"00000001\.parquet.*format 0"):
        list(store.get([7]))
    part.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"00000001\.parquet.*Delete the file"):
        list(store.get([7]))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        AbstractStore(tmp_path / "file").add([FULL], origin="x")


def test_a_record_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def records() -> Any:
        yield from (Abstract(pmid=i) for i in range(1, 3 * ROW_GROUP_RECORDS))
        raise ValueError("broken source")

    store = AbstractStore(tmp_path)
    with pytest.raises(ValueError, match="broken source"):
        store.add(records(), origin="x")
    assert (held_pmids(store), parts(tmp_path)) == ([], [])


def test_killed_writers_leave_whole_commits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_for_ever, args=(tmp_path, seed)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    store = AbstractStore(tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pmids = held_pmids(store)
        assert len(pmids) % 3 == 0
        if len({pmid // 1_000_000 for pmid in pmids}) == 2:
            break
    for writer in writers:
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    store.add([replace(FULL, pmid=pmid) for pmid in (1, 2, 3)], origin="x")
    pmids = held_pmids(store)
    assert len(pmids) % 3 == 0 and len(pmids) >= 9
    assert list(store.get(pmids)) == [replace(FULL, pmid=pmid) for pmid in pmids]
    assert not list((tmp_path / "_staging").iterdir())
    lose_locator(tmp_path)
    assert held_pmids(store) == pmids


def test_a_locator_damaged_inside_is_made_anew(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([replace(FULL, pmid=pmid) for pmid in range(1, 201)], origin="x")
    for access in (lambda: store.index([7]).height, lambda: store.add([replace(FULL, pmid=7)], origin="x").unchanged):
        (locator,) = tmp_path.glob("locator-*.sqlite")
        with closing(sqlite3.connect(locator)) as connection:
            (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'records'").fetchone()
            (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        with locator.open("rb+") as file:
            file.seek((root - 1) * page_size)
            file.write(b"\xff" * page_size)
        with suppress(StoreError):
            access()
        assert access() == 1
        assert len(held_pmids(store)) == 200
