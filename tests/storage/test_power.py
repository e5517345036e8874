"""Nothing is lost with the power: the order in which files and folders are synced and names appear.

A name that has appeared must outlast a loss of power with all that is in its file: the file is synced before the name
is made, and the folder after it, before anything builds upon it. The calls are recorded on their way to the system.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.storage.local import LocalStorage
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest, merged_answer


@dataclass(slots=True)
class Calls:
    """What was asked of the system, in order: ("file" or "folder", inode) synced, ("link", inode, folder's inode)."""

    made: list[tuple[Any, ...]] = field(default_factory=list)
    links: list[tuple[Path, int]] = field(default_factory=list)

    def check(self) -> None:
        """Every file that got a name was synced before, its folder after, before the next name was made."""
        for path, at in self.links:
            _, inode, folder = self.made[at]
            assert ("file", inode) in self.made[:at], f"{path} appeared before its content was on the disk"
            following = self.made[at + 1 :]
            until = next((i for i, call in enumerate(following) if call[0] == "link"), len(following))
            assert ("folder", folder) in following[:until], f"{path}: its folder was not synced after it appeared"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    fsync, link = os.fsync, os.link

    def recorded_fsync(fd: int) -> None:
        fsync(fd)
        status = os.fstat(fd)
        calls.made.append(("folder" if stat.S_ISDIR(status.st_mode) else "file", status.st_ino))

    def recorded_link(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool) -> None:
        link(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
        calls.links.append((Path(f"/proc/self/fd/{dst_dir_fd}").readlink() / target, len(calls.made)))
        calls.made.append(("link", os.stat(source, dir_fd=src_dir_fd).st_ino, os.fstat(dst_dir_fd).st_ino))

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "link", recorded_link)
    return calls


def test_a_published_file_is_on_the_disk_and_so_is_its_name(tmp_path: Path, calls: Calls) -> None:
    storage = LocalStorage(tmp_path / "set")
    storage.create()
    storage.write("s/one", b"1")
    assert storage.publish("s/one", "t/x")
    [(path, at)] = calls.links
    assert path == tmp_path / "set" / "t" / "x"
    calls.check()
    # The folders that were made for it have names, too.
    for folder in (tmp_path, tmp_path / "set"):
        assert ("folder", folder.stat().st_ino) in calls.made[:at]


def test_a_name_that_is_taken_is_not_synced_for(tmp_path: Path, calls: Calls) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("s/one", b"1")
    assert storage.publish("s/one", "t/x")
    calls.made.clear()
    assert not storage.publish("s/one", "t/x")
    assert calls.made == []


def test_every_file_of_a_run(tmp_path: Path, calls: Calls) -> None:
    root = tmp_path / "set"
    rows = [answer_row(1), answer_row(2)]
    with Dataset(root).writer("run") as writer:
        for row in rows:
            shard = make_shard_id([row.pair_id])
            write_staged(root, "run", shard, [row], chunk_rows([row]), METADATA)
            assert writer.commit_shard(shard)
        writer.write_summary([merged_answer(1)], METADATA)
        writer.write_page("<p>")
        writer.finish(manifest("run"))
    assert [path.parent.name for path, _ in calls.links] == [
        *("set", "_log", "chunks", "answers", "_log", "chunks", "answers", "_log", "summary", "_log", "runs"),
        *("_log", "runs", "_log"),
    ]
    calls.check()


def test_every_part_of_a_store(tmp_path: Path, calls: Calls) -> None:
    store = AbstractStore(tmp_path / "store")
    for number in (1, 2):
        store.add([Abstract(number, text="A text.")], origin="test")
    assert [path.parent.name for path, _ in calls.links if path.suffix == ".parquet"] == ["parts", "parts"]
    calls.check()
