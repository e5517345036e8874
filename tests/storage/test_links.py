"""What somebody else has put into the folder of a data set: nothing is followed, emptied or deleted through it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.errors import DatasetError, StoreError
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.storage.local import LocalStorage
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest

PRECIOUS = "precious content of another file"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


OTHERS: dict[str, Callable[[Path, Path], object]] = {
    "a symbolic link": lambda path, victim: path.symlink_to(victim / "file"),
    "a folder": lambda path, victim: path.mkdir(),
    "a named pipe": lambda path, victim: os.mkfifo(path),
    "a socket": lambda path, victim: make_socket(path),
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's folder, which must stay as it is."""
    folder = tmp_path / "victim"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text(PRECIOUS)
    (folder / "sub" / "file").write_text(PRECIOUS)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set with one answer."""
    root = tmp_path / "set"
    with Dataset(root).writer("run-1") as writer:
        commit(root, 1, "run-1", writer.commit_shard)
        writer.finish(manifest("run-1"))
    return root


def commit(root: Path, number: int, run_id: str, committed: Callable[[str], bool]) -> None:
    rows = [answer_row(number)]
    shard = make_shard_id([rows[0].pair_id])
    write_staged(root, run_id, shard, rows, chunk_rows(rows), METADATA)
    assert committed(shard)


def whole_run(root: Path) -> None:
    with Dataset(root).writer("run-2") as writer:
        commit(root, 2, "run-2", writer.commit_shard)
        writer.write_summary([], METADATA)
        writer.finish(manifest("run-2"))


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", ["_staging", "answers", "chunks", "current", "summary", "runs"])
def test_a_link_in_place_of_a_folder(root: Path, victim: Path, folder: str) -> None:
    if (root / folder).exists():
        (root / folder).rename(root.with_name("moved"))
    (root / folder).symlink_to(victim)
    before = contents(victim)
    with pytest.raises(DatasetError, match=f"set/{folder}: a symbolic link, .* put what it leads to in its place"):
        whole_run(root)
    assert contents(victim) == before


@pytest.mark.parametrize("step", ["list", "read", "write", "publish", "publish into", "delete"])
def test_no_step_goes_through_a_link(tmp_path: Path, victim: Path, step: str) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.write("real/one", b"1")
    (tmp_path / "set" / "real" / "linked").symlink_to(victim)
    steps: dict[str, Callable[[], object]] = {
        "list": lambda: storage.list("real/linked"),
        "read": lambda: storage.read("real/linked/file"),
        "write": lambda: storage.write("real/linked/file", b"1"),
        "publish": lambda: storage.publish("real/linked/file", "real/two"),
        "publish into": lambda: storage.publish("real/one", "real/linked/two"),
        "delete": lambda: storage.delete("real/linked/sub"),
        "move": lambda: storage.move("real/linked/file", "real/two"),
        "move into": lambda: storage.move("real/one", "real/linked/two"),
    }
    before = contents(victim)
    with pytest.raises(DatasetError, match="set/real/linked: a symbolic link"):
        steps[step]()
    assert contents(victim) == before
    assert storage.list("real") == ["linked", "one"]


@pytest.mark.parametrize("kind", [kind for kind in OTHERS if kind != "a folder"])
@pytest.mark.parametrize("step", ["read", "open", "uri", "publish"])
def test_what_is_no_file_is_not_opened(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch, kind: str, step: str
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage(tmp_path / "set")
    storage.create()
    OTHERS[kind](tmp_path / "set" / "x.parquet", victim)
    with pytest.raises(DatasetError, match=rf"set/x\.parquet: {kind}"):
        storage.publish("x.parquet", "y.parquet") if step == "publish" else getattr(storage, step)("x.parquet")
    assert storage.list("") == ["x.parquet"]


def test_a_name_that_is_taken_by_a_link_is_taken(tmp_path: Path, victim: Path) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.write("one", b"1")
    (tmp_path / "set" / "two").symlink_to(victim / "new")
    assert not storage.publish("one", "two")
    assert not (victim / "new").exists()


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_a_file_is_written_anew_and_not_into_what_a_name_leads_to(
    tmp_path: Path, victim: Path, make: Callable[[Path, Path], None]
) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.create()
    for name in ("x", "x.part"):
        make(tmp_path / "set" / name, victim / "file")
    storage.write("x", b"1")
    assert (storage.read("x"), storage.list("")) == (b"1", ["x"])
    assert (victim / "file").read_text() == PRECIOUS


def test_deleting_a_folder_leaves_what_links_in_it_lead_to(tmp_path: Path, victim: Path) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.write("old/deep/one", b"1")
    (tmp_path / "set" / "old" / "link").symlink_to(victim)
    (tmp_path / "set" / "old" / "deep" / "link").symlink_to(victim / "file")
    before = contents(victim)
    storage.delete("old", below=True)
    assert (storage.list(""), contents(victim)) == ([], before)
    (tmp_path / "set" / "link").symlink_to(victim)
    with pytest.raises(DatasetError, match="set/link: a symbolic link"):
        storage.delete("link")


def test_names_do_not_lead_out(tmp_path: Path, victim: Path) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.write("x/one", b"1")
    with pytest.raises(DatasetError, match="leads out of"):
        storage.read("x/../../victim/file")
    with pytest.raises(DatasetError, match="leads out of"):
        storage.delete("../victim")
    assert (victim / "file").read_text() == PRECIOUS


def test_the_root_may_be_a_link_and_is_followed_once(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    data_set = Dataset(link)
    with data_set.writer("run-2") as writer:
        link.unlink()
        link.symlink_to(tmp_path / "elsewhere")
        commit(root, 2, "run-2", writer.commit_shard)
        writer.finish(manifest("run-2"))
    assert len(data_set.answers().collect()) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_among_the_files_is_not_read(root: Path, tmp_path: Path) -> None:
    """polars opens files by their paths, so they are looked at before."""
    [file] = (root / "answers").iterdir()
    file.rename(tmp_path / "moved")
    file.symlink_to(tmp_path / "moved")
    with pytest.raises(DatasetError, match=f"answers/{file.name}: a symbolic link"):
        Dataset(root).answers()


@pytest.mark.parametrize("kind", OTHERS)
def test_a_lock_that_is_no_file(tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage(tmp_path / "set")
    storage.create()
    OTHERS[kind](tmp_path / "set" / ".lock", victim)
    with pytest.raises(DatasetError, match=rf"set/\.lock: {kind}"):
        storage.lock("run", wait=False).__enter__()
    assert (victim / "file").read_text() == PRECIOUS


def test_a_lock_that_leads_to_nothing_makes_nothing(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.create()
    (tmp_path / "set" / ".lock").symlink_to(tmp_path / "new")
    with pytest.raises(DatasetError, match="a symbolic link"):
        storage.lock("run", wait=False).__enter__()
    assert not (tmp_path / "new").exists()


def test_a_device_in_place_of_the_lock_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices take a privilege to make, so one is pretended."""
    storage = LocalStorage(tmp_path / "set")
    storage.create()
    real, opened = os.stat, []

    def device(path: object, **options: object) -> os.stat_result:
        status = real("/dev/zero") if str(path).endswith(".lock") else real(path, **options)  # type: ignore[call-overload]
        assert isinstance(status, os.stat_result)
        return status

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", device)
        patch.setattr(os, "open", lambda *args, **_: opened.append(args))
        with pytest.raises(DatasetError, match=r"\.lock: a device"):
            storage.lock("run", wait=False).__enter__()
    assert opened == []


@pytest.mark.parametrize(
    ("content", "is_hard_link", "message"),
    [
        (PRECIOUS, False, "not a lock file of this program"),
        (PRECIOUS, True, "has other names"),
        ("", True, "has other names"),
    ],
)
def test_a_lock_that_is_somebodys_file(
    tmp_path: Path, victim: Path, content: str, is_hard_link: bool, message: str
) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.create()
    (victim / "file").write_text(content)
    if is_hard_link:
        (tmp_path / "set" / ".lock").hardlink_to(victim / "file")
    else:
        (victim / "file").rename(tmp_path / "set" / ".lock")
    with pytest.raises(DatasetError, match=rf"set/\.lock: .*{message}"):
        storage.lock("run", wait=False).__enter__()
    assert (tmp_path / "set" / ".lock").read_text() == content


@pytest.mark.parametrize("left", [b"", b'{"run', b'{"run_id": "killed", "pid"', bytes(90)])
def test_a_lock_that_a_dead_run_left(tmp_path: Path, left: bytes) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.write(".lock", left)
    with storage.lock("run", wait=False) as lock:
        lock.check()


@pytest.mark.parametrize("name", ["_staging", "parts", ".lock"])
def test_a_store_of_abstracts_follows_no_link_either(tmp_path: Path, victim: Path, name: str) -> None:
    store = tmp_path / "store"
    AbstractStore(store).add([Abstract(1, text="A text.")], origin="test")
    path = store / name
    path.rename(tmp_path / "moved")
    path.symlink_to(victim / "file" if name == ".lock" else victim)
    before = contents(victim)
    with pytest.raises((StoreError, DatasetError), match=f"store/{name}: a symbolic link"):
        AbstractStore(store).add([Abstract(2, text="Another.")], origin="test")
    assert contents(victim) == before


def test_new_files_get_the_permissions_of_the_umask(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.write("x/one", b"1")
    usual = tmp_path / "usual"
    usual.write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "set" / "x" / "one").stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    assert pl.read_csv(storage.uri("x/one"), has_header=False).item() == 1
