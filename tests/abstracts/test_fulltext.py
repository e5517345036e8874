from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import tantivy

from bioqa_pipeline.abstracts import fulltext
from bioqa_pipeline.abstracts.documents import DateRange, query_words
from bioqa_pipeline.abstracts.fulltext import FullTextIndex
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.records.texts import Abstract


@pytest.fixture
def store(tmp_path: Path) -> AbstractStore:
    return AbstractStore(tmp_path / "store")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


def add(store: AbstractStore, texts: dict[int, str], deleted: list[int] | None = None) -> None:
    store.add([Abstract(pmid=pmid, text=text) for pmid, text in texts.items()], origin="x", deleted=deleted or [])


def updated(path: Path, store: AbstractStore) -> FullTextIndex:
    index = FullTextIndex(path)
    index.update(store)
    return index


def found(index: FullTextIndex, question: str, limit: int = 100) -> list[int]:
    return [hit.pmid for hit in index.search(question, limit)]


def test_only_current_records_with_an_abstract_are_in_it(path: Path, store: AbstractStore) -> None:
    assert len(updated(path, store)) == 0
    add(store, {1: "aspirin", 2: "warfarin", 3: ""})
    add(store, {4: "heparin"}, deleted=[2])
    assert len(updated(path, store)) == 2
    add(store, {1: "rewritten", 2: "warfarin again", 4: ""})
    index = updated(path, store)
    assert len(index) == 2
    assert (found(index, "aspirin"), found(index, "rewritten"), found(index, "warfarin")) == ([], [1], [2])
    assert found(index, "heparin") == []


def test_an_open_index_shows_what_it_showed_until_it_is_updated(path: Path, store: AbstractStore) -> None:
    add(store, {1: "aspirin"})
    reader = updated(path, store)
    assert found(reader, "aspirin") == [1]
    add(store, {2: "aspirin"}, deleted=[1])
    writer = updated(path, store)
    assert (found(reader, "aspirin"), found(writer, "aspirin")) == ([1], [2])
    reader.update(store)
    assert found(reader, "aspirin") == [2]


def lose(path: Path) -> None:
    shutil.rmtree(path)


def lose_meta(path: Path) -> None:
    next(path.rglob("meta.json")).unlink()


def spoil_meta(path: Path) -> None:
    next(path.rglob("meta.json")).write_text("{")


def lose_segment(path: Path) -> None:
    next(path.rglob("*.term")).unlink()


def cut_segment(path: Path) -> None:
    next(path.rglob("*.idx")).write_bytes(b"x")


def other_version(path: Path) -> None:
    next(path.iterdir()).rename(path / "v0")


def other_schema(path: Path) -> None:
    folder = next(path.iterdir())
    shutil.rmtree(folder)
    folder.mkdir()
    tantivy.Index(tantivy.SchemaBuilder().build(), path=str(folder))


@pytest.mark.parametrize(
    "damage", [lose, lose_meta, spoil_meta, lose_segment, cut_segment, other_version, other_schema]
)
def test_an_index_that_cannot_be_used_is_made_anew(
    path: Path, store: AbstractStore, damage: Callable[[Path], None]
) -> None:
    add(store, {1: "aspirin", 2: "warfarin"})
    updated(path, store)
    add(store, {1: "heparin"})
    damage(path)
    index = updated(path, store)
    assert (found(index, "heparin warfarin"), found(index, "aspirin"), len(index)) == ([1, 2], [], 2)
    assert [folder.name for folder in path.iterdir()] == [f"v{fulltext.VERSION}"]


@pytest.mark.parametrize(("first", "last"), [(0.25, 0.5), (0.9, 1.0), (0.0, 1.0)])
def test_damage_inside_a_file_is_an_error_and_is_mended_by_the_next_update(
    path: Path, store: AbstractStore, first: float, last: float
) -> None:
    add(store, {pmid: f"aspirin word{pmid % 7} only{pmid}" for pmid in range(1, 2000)})
    updated(path, store)
    file = max(path.rglob("*.idx"), key=lambda file: file.stat().st_size)
    size = file.stat().st_size
    with file.open("rb+") as opened:
        opened.seek(int(size * first))
        opened.write(b"\xff" * (int(size * last) - int(size * first)))
    index = FullTextIndex(path)
    with pytest.raises(SourceError, match="next run makes it anew"):
        index.search("aspirin", 10)
    assert len(found(updated(path, store), "aspirin", 5_000)) == 1999


def test_an_update_that_breaks_off_goes_on(path: Path, store: AbstractStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fulltext, "COMMIT_RECORDS", 1)
    for pmid in range(1, 6):
        add(store, {pmid: f"aspirin {pmid}", 9: f"aspirin, version {pmid}"})
    n_added: list[int] = []

    def break_off(added: int) -> None:
        n_added.append(added)
        if len(n_added) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FullTextIndex(path).update(store, progress=break_off)
    assert found(FullTextIndex(path), "aspirin") == [1, 2, 3]
    n_added.clear()
    index = FullTextIndex(path)
    index.update(store, progress=n_added.append)
    assert (found(index, "aspirin"), n_added) == ([1, 2, 3, 4, 5, 9], [1, 2])


def test_a_store_that_starts_again_is_indexed_anew(path: Path, store: AbstractStore) -> None:
    for pmid in range(1, 4):
        add(store, {pmid: "aspirin"})
    updated(path, store)
    shutil.rmtree(store.path)
    add(store, {7: "aspirin"})
    assert found(updated(path, store), "aspirin") == [7]


def test_words() -> None:
    assert query_words("What does IL-6 do in Sjögren's syndrome?") == {
        "il": 1.5, "6": 1.5, "il6": 1.5, "sjogren": 1.5, "syndrom": 1.0,
    }  # fmt: skip
    assert query_words("What is it?") == {}


def test_accents_inflections_and_equal_scores(path: Path, store: AbstractStore) -> None:
    add(store, {5: "Sjögren infections", 3: "Sjogren infection", 8: "Sjogren infected"})
    index = updated(path, store)
    assert found(index, "infecting Sjögren") == [3, 5, 8]
    assert found(index, "infecting Sjögren", 2) == [3, 5]


def test_records_without_the_date_are_outside_every_range(path: Path, store: AbstractStore) -> None:
    dates = {1: "1998", 2: "1998-12", 3: "1998-12-24", 4: ""}
    store.add([Abstract(pmid=pmid, text="aspirin", pub_date=day) for pmid, day in dates.items()], origin="x")
    index = updated(path, store)

    def published(first: date | None, last: date | None) -> list[int]:
        return [hit.pmid for hit in index.search("aspirin", 9, [DateRange("published", first, last)])]

    assert published(date(1998, 1, 1), None) == [1, 2, 3]
    assert published(date(1998, 12, 2), date(1998, 12, 24)) == [3]
    assert published(None, date(1998, 12, 1)) == [1, 2]
    assert (
        index.search("aspirin", 9)[0].score
        == index.search("aspirin", 9, [DateRange("published", date(1, 1, 1))])[0].score
    )


def test_without_an_index(path: Path) -> None:
    with pytest.raises(SourceError, match="index"):
        FullTextIndex(path).search("aspirin", 1)
