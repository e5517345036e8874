"""Nothing of somebody else's is taken for a data set, read, changed or deleted: in folders, and in object stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bioqa_pipeline.dataset import contents as contents_module
from bioqa_pipeline.dataset import opening
from bioqa_pipeline.dataset.log import LogEntry
from bioqa_pipeline.dataset.marker import MARKER, NEW_MARKER, read_marker
from bioqa_pipeline.dataset.opening import publish_entry
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.verify import verify
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.local import LocalStorage
from bioqa_pipeline.storage.places import storage_at
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest, merged_answer
from support.paths import TESTS
from support.s3_server import S3Server

OLD = TESTS / "data" / "dataset_da5435d" / "dataset"


@pytest.fixture(params=["folder", "object store"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return LocalStorage(tmp_path / "set")
    server: S3Server = request.getfixturevalue("s3")
    return storage_at(server.new_uri())


def add(storage: Storage, run_id: str, *pmids: int) -> None:
    with Dataset(storage).writer(run_id) as writer:
        for pmid in pmids:
            row = answer_row(pmid)
            shard = make_shard_id([row.pair_id])
            write_staged(storage, run_id, shard, [row], chunk_rows([row]), METADATA)
            assert writer.commit_shard(shard)
        writer.write_summary([merged_answer(1)], METADATA)
        writer.write_page("<p>")
        writer.finish(manifest(run_id, n_pairs=len(pmids), n_scored=len(pmids), n_windows=2 * len(pmids)))


def contents(storage: Storage) -> dict[str, bytes]:
    return {name: storage.read(name) for name in storage.files("") if name != ".lock"}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["runs/report.html", "summary/thesis.docx", "chunks/data.bin"], "chunks/data.bin"),
        (["answers/a.txt", "src/main.c", "summary/exam.pdf"], "src"),
        (["runs/report.html"], "runs/report.html"),
        (["_staging/notes.txt"], "_staging/notes.txt"),
        (["_log/app.log"], "_log/app.log"),
        ([f"chunks/{'0' * 32}.parquet"], f"chunks/{'0' * 32}.parquet"),
        (["thesis.doc"], "thesis.doc"),
        ([".git/config"], ".git"),
    ],
)
def test_a_folder_of_others_is_refused_and_left_as_it_is(storage: Storage, files: list[str], named: str) -> None:
    for name in files:
        storage.write(name, b"precious")
    before = {name: storage.read(name) for name in storage.files("")}
    with pytest.raises(DatasetError) as caught, Dataset(storage).writer("run"):
        pass
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert {name: storage.read(name) for name in storage.files("")} == before


@pytest.mark.parametrize("left", [[], [NEW_MARKER], ["lost+found/x"], [".snapshot/x"]])
def test_what_becomes_a_data_set(tmp_path: Path, left: list[str]) -> None:
    storage = LocalStorage(tmp_path / "set")
    for name in left:
        storage.write(name, b"x")
    add(storage, "run", 1)
    assert MARKER in storage.list("") and NEW_MARKER not in storage.list("")
    assert Dataset(storage).answers().collect().height == 1
    assert all(storage.read(name) == b"x" for name in left if name != NEW_MARKER)


def test_files_of_others_inside_are_named_and_stay(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    add(storage, "run", 1)
    answers = next(name for name in storage.files("answers"))
    foreign = [
        *("answers/zzdup.parquet", "answers/deep/a.parquet", f"chunks/{'1' * 32}.parquet", "summary/exam.parquet"),
        *("runs/note.json", "runs/20260101T000000Z-abcdef.html", "_staging/notes.txt", "_staging/run/mine.bin"),
        *("_log/app.log", f"_log/done-{'0' * 64}.txt", "README.md"),
    ]
    for name in foreign:
        storage.write(name, storage.read(answers))
    add(storage, "next", 2)
    dataset = Dataset(storage)
    assert sorted(dataset.answers().collect()["pmid"]) == [1, 2]
    assert dataset.chunks().collect().height == 4
    assert dataset.summary().collect().height == 2
    assert [run.run_id for run in dataset.runs()] == ["next", "run"]
    assert {storage.read(name) for name in foreign} == {storage.read(answers)}
    assert "answers/deep/a.parquet" in caplog.text and "_staging/notes.txt" in caplog.text
    named = {finding.file for finding in verify(storage).findings} | {
        n.partition(":")[0] for n in verify(storage).notes
    }
    assert named == set(foreign)


def test_each_foreign_file_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = LocalStorage(tmp_path / "set")
    add(storage, "run", 1)
    storage.write("answers/zz.parquet", b"x")
    for _ in range(3):
        Dataset(storage).answers()
    assert caplog.text.count("zz.parquet") == 1


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_killed_commit_leaves_no_trace(storage: Storage, kept: int) -> None:
    """Entry, then chunks, then answers: without the last the next writer takes the others away."""
    add(storage, "first", 1)
    row = answer_row(2)
    shard = make_shard_id([row.pair_id])
    with Dataset(storage).writer("dead") as writer:
        write_staged(storage, "dead", shard, [row], chunk_rows([row]), METADATA)
        assert writer.commit_shard(shard)
        for name in [f"answers/{shard}.parquet", f"chunks/{shard}.parquet"][: 2 - kept]:
            storage.delete(name)
    assert Dataset(storage).answers().collect().height == (2 if kept == 2 else 1)
    with Dataset(storage).writer("next"):
        pass
    there = {name for folder in ("answers", "chunks") for name in storage.files(folder)}
    assert len(there) == (4 if kept == 2 else 2)
    assert not [name for name in storage.files("_log") if "intent" in name]
    assert not verify(storage).findings


def test_the_name_of_a_commit_that_is_taken_is_not_overwritten(storage: Storage) -> None:
    row = answer_row(1)
    shard = make_shard_id([row.pair_id])
    add(storage, "run")
    storage.write(f"answers/{shard}.parquet", b"precious")
    with Dataset(storage).writer("next") as writer:
        write_staged(storage, "next", shard, [row], chunk_rows([row]), METADATA)
        with pytest.raises(DatasetError, match=r"not of this data set has the name that a commit needs.*--quarantine"):
            writer.commit_shard(shard)
    assert storage.read(f"answers/{shard}.parquet") == b"precious"


def test_many_entries_become_one_and_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_ENTRIES", 3)
    storage = LocalStorage(tmp_path / "set")
    marker = None
    for number in range(4):
        add(storage, f"run-{number}", number + 1)
        marker = marker or read_marker(storage)
    assert len(storage.files("_log")) == 4
    before = Dataset(storage).answers().collect().sort("pmid")
    add(storage, "last", 100)
    assert len(storage.files("_log")) == 2
    assert Dataset(storage).answers().filter(pmid=100).collect().height == 1
    assert Dataset(storage).answers().collect().sort("pmid").head(before.height).equals(before)
    assert len(Dataset(storage).runs()) == 5 and not verify(storage).findings
    assert read_marker(storage) == marker


def test_files_that_another_data_set_brings_are_not_of_this_one(tmp_path: Path) -> None:
    """Copied together, logs and all: a pair that stands in both would stand here twice."""
    one, other = (LocalStorage(tmp_path / name) for name in ("one", "other"))
    add(one, "run-1", 1, 2)
    add(other, "run-2", 2, 3)
    for name, data in contents(other).items():
        if name != MARKER and name not in one.files(""):
            one.write(name, data)
    assert sorted(Dataset(one).answers().collect()["pmid"]) == [1, 2]
    assert [run.run_id for run in Dataset(one).runs()] == ["run-1"]


class TestOldDataSets:
    @pytest.fixture
    def copy(self, tmp_path: Path) -> Storage:
        storage = LocalStorage(tmp_path / "copy")
        for path in OLD.glob("[!.]*/*.*"):
            storage.write(path.relative_to(OLD).as_posix(), path.read_bytes())
        return storage

    @pytest.fixture
    def old(self, storage: Storage) -> Storage:
        for path in OLD.glob("[!.]*/*.*"):
            storage.write(path.relative_to(OLD).as_posix(), path.read_bytes())
        return storage

    def test_one_gets_marker_and_log_with_its_first_writer(self, old: Storage) -> None:
        before = contents(old)
        rows = Dataset(old).answers().collect()
        with Dataset(old).writer("run"):
            pass
        after = contents(old)
        assert {name: after[name] for name in before} == before
        assert {name.partition("/")[0] for name in after.keys() - before.keys()} == {MARKER, "_log"}
        assert Dataset(old).answers().collect().sort("pair_id").equals(rows.sort("pair_id"))
        assert len(Dataset(old).runs()) == 2 and Dataset(old).summary().collect().height
        report = verify(old)
        assert not report.findings and report.n_answers == 5 and report.n_chunks == 15

    def test_what_killed_runs_left_in_one_goes(self, copy: Storage) -> None:
        name = next(iter(copy.files("answers")))
        copy.delete(name)
        with Dataset(copy).writer("run"):
            pass
        assert copy.files("chunks").keys() == {n.replace("answers", "chunks") for n in copy.files("answers")}

    @pytest.mark.parametrize("moment", ["entry", "marker"])
    def test_an_adoption_that_was_killed_is_taken_up(
        self, copy: Storage, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        publish = type(copy).publish

        def killed(storage: Storage, staged: str, name: str) -> bool:
            if (name == MARKER) == (moment == "marker"):
                raise KeyboardInterrupt
            return publish(storage, staged, name)

        monkeypatch.setattr(type(copy), "publish", killed)
        with pytest.raises(KeyboardInterrupt), Dataset(copy).writer("run"):
            pass
        monkeypatch.undo()
        assert Dataset(copy).answers().collect().height == 5
        add(copy, "next", 1)
        assert Dataset(copy).answers().collect().height == 6
        assert not verify(copy).findings

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (lambda s: s.write("thesis.doc", b"x"), "thesis.doc"),
            (lambda s: s.write("answers/zzdup.parquet", s.read(next(iter(s.files("answers"))))), "zzdup.parquet"),
            (lambda s: s.write(f"answers/{'0' * 32}.parquet", s.read(next(iter(s.files("answers"))))), "0.parquet"),
            (lambda s: s.write("runs/20260101T000000Z-abcdef.json", b"{"), "abcdef.json"),
            (lambda s: s.delete("chunks", below=True), "its pieces of text"),
            (lambda s: s.write("summary/mine.parquet", b"PAR1"), "mine.parquet"),
        ],
    )
    def test_one_with_a_file_of_others_is_refused(
        self, copy: Storage, change: Callable[[Storage], None], named: str
    ) -> None:
        change(copy)
        before = contents(copy)
        with pytest.raises(DatasetError, match=named), Dataset(copy).writer("run"):
            pass
        assert contents(copy) == before


def test_an_entry_is_believed_for_its_own_data_set_only(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "set")
    add(storage, "run", 1)
    [record] = [r for e in [verify(storage).view] if e for r in e.records[next(iter(storage.files("answers")))]]
    name = publish_entry(storage, LogEntry(data_set="f" * 32, run_id="x", mark="answers/none", files=(record,)))
    add(storage, "next", 2)
    assert storage.files("_log").keys() >= {name}
    assert Dataset(storage).answers().collect().height == 2


def test_readers_look_again_while_a_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed before a commit and a run's end, read after them: no file passes for foreign, none for gone."""
    storage = LocalStorage(tmp_path / "set")
    add(storage, "run", 1)
    dataset = Dataset(storage)
    listed = LocalStorage.files

    def late(asked: LocalStorage, folder: str) -> dict[str, object]:
        found = listed(asked, folder)
        if folder == "answers":
            monkeypatch.undo()
            monkeypatch.setattr(contents_module, "_warned", set())
            add(storage, "meanwhile", 2)
        return found  # type: ignore[return-value]

    monkeypatch.setattr(LocalStorage, "files", late)
    assert sorted(dataset.answers().collect()["pmid"]) == [1, 2]
    assert not contents_module._warned


def test_a_copy_is_the_same_data_set(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "set")
    add(storage, "run", 1)
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    copy = LocalStorage(tmp_path / "copy")
    add(copy, "next", 2)
    assert read_marker(copy).id == read_marker(storage).id
    assert not verify(copy).findings
