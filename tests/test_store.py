from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioqa_pipeline.records import Abstract, Correction, OtherAbstract, Section
from bioqa_pipeline.store import ROW_GROUP_RECORDS, AbstractStore, AddCount

FULL = Abstract(
    pmid=7,
    version=2,
    title="Title",
    text="AIM: To see.",
    sections=(Section("AIM", "OBJECTIVE", 5, 12), Section("", None, 0, 3)),
    journal="Journal",
    pub_date="2001-02",
    pub_date_raw="2001 Feb",
    doi="10.5555/x",
    languages=("eng", "fre"),
    vernacular_title="Titre",
    authors=("A B", "Group"),
    mesh_terms=("Humans",),
    publication_types=("Journal Article",),
    corrections=(Correction("RetractionIn", None, "J 2002"), Correction("ErratumIn", 9, "J 2003")),
    other_abstracts=(OtherAbstract("plain", "fre", "Voir."),),
    copyright="© 2001",
    is_retracted=True,
    is_book=False,
    status="MEDLINE",
    date_revised="2020-01-01",
)


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path / "store")
    assert (list(store.get([7])), len(store), store.index([7]).height) == ([], 0, 0)
    assert store.add([FULL, Abstract(pmid=1)], origin="test") == AddCount(added=2, unchanged=0, deleted=0)
    assert list(store.get([1, 5, 7, 1])) == [Abstract(pmid=1), FULL, Abstract(pmid=1)]
    row = store.index([7, 7, 5]).row(0, named=True)
    assert (row["content_hash"], row["has_abstract"], row["is_retracted"]) == (FULL.content_hash, True, True)
    assert store.pmids() == [1, 7]


def test_the_same_content_is_written_once(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    store.add([FULL], origin="a")
    first = store.index([7])["fetched_at"][0]
    assert store.add([FULL], origin="b") == AddCount(added=0, unchanged=1, deleted=0)
    assert len(list((tmp_path / "parts").iterdir())) == 1
    assert store.index([7])["fetched_at"][0] > first


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
    (tmp_path / "locator.sqlite").unlink()
    assert [a.text for a in AbstractStore(tmp_path).get([1])] == [current]


def test_many_records_over_row_groups_and_queries(tmp_path: Path) -> None:
    store = AbstractStore(tmp_path)
    count = 2 * ROW_GROUP_RECORDS + 17
    store.add((Abstract(pmid=i, text=f"text {i}") for i in range(1, count + 1)), origin="x")
    asked = [*range(count, 0, -3), 10**7]
    assert [a.text for a in store.get(asked)] == [f"text {i}" for i in asked[:-1]]
    assert store.index(range(1, count + 50)).height == len(store) == count


operations = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.integers(1, 5), st.integers(1, 2), st.sampled_from(["", "2020", "2021"]), st.text("ab", max_size=2)
            ),
            max_size=6,
        ),
        st.lists(st.integers(1, 5), max_size=2),
    ),
    max_size=6,
)


@given(operations)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_store_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, commits: list) -> None:  # type: ignore[type-arg]
    path = tmp_path_factory.mktemp("store")
    twin: dict[int, Abstract] = {}
    for records, deleted in commits:
        added = [Abstract(pmid=p, version=v, date_revised=d, text=t) for p, v, d, t in records]
        AbstractStore(path).add(added, origin="x", deleted=deleted)
        for a in added:
            old = twin.get(a.pmid)
            if old is None or (a.version, a.date_revised) >= (old.version, old.date_revised):
                twin[a.pmid] = a
        for pmid in deleted:
            twin.pop(pmid, None)
    for store in (AbstractStore(path), _rebuilt(path)):
        assert {a.pmid: a for a in store.get(range(1, 6))} == twin
        assert sorted(store.index([1, 2, 3, 4, 5])["pmid"]) == sorted(twin)


def _rebuilt(path: Path) -> AbstractStore:
    for file in path.glob("locator.sqlite*"):
        file.unlink()
    return AbstractStore(path)


def add_for_ever(path: Path, seed: int) -> None:
    store = AbstractStore(path)
    for i in range(10_000):
        store.add([replace(FULL, pmid=seed * 1_000_000 + i * 3 + k) for k in range(3)], origin=str(seed))


def test_killed_writers_leave_whole_commits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for kill in range(2):
        writers = [context.Process(target=add_for_ever, args=(tmp_path, 10 * kill + i)) for i in (1, 2)]
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + 30
        before = len(AbstractStore(tmp_path))
        while len(AbstractStore(tmp_path)) < before + 9 and time.monotonic() < deadline:
            time.sleep(0.01)
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        store = AbstractStore(tmp_path)
        store.repair()
        pmids = store.pmids()
        assert len(pmids) % 3 == 0 and len(pmids) > before
        assert [a.pmid for a in store.get(pmids)] == pmids
        assert not list((tmp_path / "parts").glob("*.tmp"))
        rebuilt = _rebuilt(tmp_path)
        rebuilt.repair()
        assert rebuilt.pmids() == pmids
