from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from bioqa_pipeline.errors import DatasetError, DatasetLockedError
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.local import LocalStorage
from bioqa_pipeline.storage.places import storage_at
from bioqa_pipeline.storage.s3 import ObjectStorage
from bioqa_pipeline.storage.uri import ObjectUri
from support.s3_server import S3Server
from support.waiting import exit_code, wait_for


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    place = LocalStorage(tmp_path / "a" / "b")
    place.create()
    return place


@pytest.fixture(params=["folder", "s3"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each kind of place, empty, made ready."""
    if request.param == "folder":
        place: Storage = LocalStorage(tmp_path / "a" / "b")
    else:
        server: S3Server = request.getfixturevalue("s3")
        place = ObjectStorage(ObjectUri(server.new_uri()), lease_seconds=6)
    place.create()
    return place


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_written_file_is_read_listed_and_replaced(any_storage: Storage) -> None:
    any_storage.write("x/one", b"1")
    any_storage.write("x/one", b"2")
    any_storage.write("x/two", b"")
    assert any_storage.list("x") == ["one", "two"]
    assert any_storage.read("x/one") == b"2"
    with any_storage.open("x/one") as file:
        assert (file.read(), file.read(), file.seek(-1, os.SEEK_END), file.read(9)) == (b"2", b"", 0, b"2")
    assert any_storage.uri("x/one") == f"{any_storage.location}/x/one"
    assert any_storage.list("nowhere") == []


def test_publish_creates_once_and_never_replaces(any_storage: Storage) -> None:
    any_storage.write("s/one", b"1")
    any_storage.write("s/two", b"2")
    assert any_storage.publish("s/one", "t/x")
    assert not any_storage.publish("s/two", "t/x")
    assert not any_storage.publish("s/one", "t/x")
    any_storage.delete("s", below=True)
    assert any_storage.read("t/x") == b"1"


def test_a_published_file_is_whole_from_the_first_moment(storage: LocalStorage) -> None:
    data = bytes(32 << 20)
    storage.write("s/one", data)
    storage.write("t/other", b"")
    path = Path(storage.uri("t/x"))
    sizes: set[int] = set()
    watching, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            watching.set()
            with suppress(FileNotFoundError):
                sizes.add(path.stat().st_size)

    thread = threading.Thread(target=watch)
    thread.start()
    watching.wait(30)
    storage.publish("s/one", "t/x")
    wait_for(lambda: sizes, "a look at the file")
    done.set()
    thread.join()
    assert sizes == {len(data)}


def test_delete_takes_files_folders_and_nothing(any_storage: Storage) -> None:
    any_storage.write("s/deep/one", b"1")
    any_storage.write("file", b"1")
    for name in ("s", "file", "s", "file"):
        any_storage.delete(name, below=True)
    assert any_storage.list("") == []


def test_where_a_file_is_meant_nothing_below_its_name_is_deleted(any_storage: Storage) -> None:
    any_storage.write("file/of/others", b"1")
    # A folder is an error, in a store there is none.
    with suppress(DatasetError):
        any_storage.delete("file")
    assert any_storage.read("file/of/others") == b"1"


def test_what_is_moved_is_there_under_its_new_name_alone(any_storage: Storage) -> None:
    any_storage.write("s/one", b"1")
    any_storage.write("t/taken", b"2")
    assert any_storage.move("s/one", "new/deep/one")
    assert not any_storage.move("s/one", "new/deep/two") and not any_storage.move("no/one", "new/one")
    assert (any_storage.list("s"), any_storage.files("new").keys()) == ([], {"new/deep/one"})
    assert any_storage.read("new/deep/one") == b"1"
    with pytest.raises(DatasetError, match="t/taken: is there already"):
        any_storage.move("new/deep/one", "t/taken")
    assert any_storage.read("t/taken") == b"2"


def test_a_failed_write_leaves_nothing(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("x/one", b"old")

    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DatasetError, match=r"x/one: no room to write .*free some space.*run again"):
        storage.write("x/one", b"new")
    assert storage.read("x/one") == b"old"
    assert len(files_below(Path(storage.location))) == 1


def test_a_file_size_limit_is_told_like_a_full_disk(storage: LocalStorage) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DatasetError, match="no room to write"):
            storage.write("x/big", bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_below(Path(storage.location)) == []


def test_a_full_file_system(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        storage = LocalStorage(tmp_path / "data")
        storage.create()
        storage.write("x/kept", bytes(100_000))
        with pytest.raises(DatasetError, match=r"x/big: no room to write \(No space left on device\)"):
            storage.write("x/big", bytes(300_000))
        assert files_below(tmp_path) == ["data/x/kept"]
        storage.delete("x/kept")
        storage.write("x/big", bytes(200_000))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_file_system_without_links_is_explained(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: object, target: object, **_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    storage.write("s/one", b"1")
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(DatasetError, match="no hard links"):
        storage.publish("s/one", "t/one")


def test_what_is_missing_is_explained(any_storage: Storage) -> None:
    with pytest.raises(DatasetError, match="x/one is gone"):
        any_storage.read("x/one")
    with pytest.raises(DatasetError, match="x/one is gone"):
        any_storage.open("x/one")
    with pytest.raises(DatasetError, match="is gone"):
        any_storage.publish("x/one", "t/one")
    assert any_storage.list("t") == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file: not a folder"):
        LocalStorage(tmp_path / "file").exists()
    with pytest.raises(DatasetError, match="aaa: File name too long"):
        LocalStorage(tmp_path / ("a" * 300)).exists()


@pytest.mark.parametrize("root", ["gs://bucket/x", Path("az://bucket/x"), "file:///x"])
def test_a_uri_is_not_taken_for_a_folder(root: Path | str) -> None:
    with pytest.raises(DatasetError, match="not supported; a data set lies in a folder or s3://bucket/prefix"):
        storage_at(root)


def test_odd_folder_names_are_folders(tmp_path: Path) -> None:
    for name in ("C:", "a:b", "s3"):
        assert storage_at(tmp_path / name).location == str(tmp_path / name)


def test_a_second_writer_is_told_who_holds_the_lock(any_storage: Storage) -> None:
    message = rf"run first \(pid {os.getpid()} on .+\) since 20..-..-..T"
    with any_storage.lock("first", wait=False), pytest.raises(DatasetLockedError, match=message):
        any_storage.lock("second", wait=False).__enter__()
    with any_storage.lock("second", wait=False):
        pass


def test_a_waiting_writer_says_so_and_goes_on(any_storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    entered = threading.Event()

    def second() -> None:
        with any_storage.lock("second", wait=True):
            entered.set()

    with any_storage.lock("first", wait=False):
        thread = threading.Thread(target=second)
        thread.start()
        wait_for(lambda: caplog.messages, "word of the waiting writer")
        assert not entered.is_set()
    thread.join(timeout=30)
    assert entered.is_set()
    assert len(caplog.messages) == 1
    assert "another run writes this data set: run first" in caplog.messages[0]


def test_a_deleted_lock_file_ends_its_holder_not_the_next_one(storage: LocalStorage) -> None:
    with storage.lock("first", wait=False) as first:
        Path(storage.uri(".lock")).unlink()
        with storage.lock("second", wait=False) as second:
            second.check()
            with pytest.raises(DatasetError, match="the lock file was deleted"):
                first.check()


def test_a_lock_is_only_good_inside_with(any_storage: Storage) -> None:
    with any_storage.lock("first", wait=False) as lock:
        lock.check()
    with pytest.raises(DatasetError, match="while it is open"):
        lock.check()


def hold_with_children(root: Path, kind: str, pipe: Connection) -> None:
    """Takes the lock, leaves a child of the given kind behind, tells its pid and waits to be killed."""
    with LocalStorage(root).lock("holder", wait=False) as lock:
        if kind == "fork":
            child = os.fork()
            if child == 0:
                try:
                    lock.check()
                except DatasetError:
                    pipe.send(os.getpid())
                time.sleep(600)
        elif kind == "spawn":
            process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
            process.start()
            pipe.send(process.pid)
        else:
            code = "import time; print('up', flush=True); time.sleep(600)"
            program = subprocess.Popen([sys.executable, "-c", code], close_fds=False, stdout=subprocess.PIPE, text=True)
            assert program.stdout is not None
            program.stdout.readline()
            pipe.send(program.pid)
        time.sleep(600)


@pytest.fixture(params=["fork", "spawn", "program"])
def survivor(request: pytest.FixtureRequest, storage: LocalStorage) -> Iterator[int]:
    """A child whose parent was killed while it held the lock."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    holder = context.Process(target=hold_with_children, args=(Path(storage.location), request.param, theirs))
    holder.start()
    assert ours.poll(60)
    child = ours.recv()
    with pytest.raises(DatasetLockedError, match="run holder"):
        storage.lock("next", wait=False).__enter__()
    holder.kill()
    holder.join()
    yield child
    os.kill(child, signal.SIGKILL)


def test_a_killed_holder_frees_the_lock_though_its_children_live(storage: LocalStorage, survivor: int) -> None:
    with storage.lock("next", wait=False) as lock:
        lock.check()
        os.kill(survivor, 0)


def test_a_fork_leaves_the_lock_with_the_parent(any_storage: Storage) -> None:
    with any_storage.lock("first", wait=False) as lock:
        child = os.fork()
        if child == 0:
            # What `with` does in a child that unwinds must not free or end the parent's lock.
            lock.__exit__(None, None, None)
            os._exit(0)
        assert exit_code(child) == 0
        lock.check()
        with pytest.raises(DatasetLockedError, match="run first"):
            any_storage.lock("second", wait=False).__enter__()
