"""Regular files, pipes where they are meant, and nothing else; never more bytes than asked for."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bioqa_pipeline import files
from bioqa_pipeline.files import open_file, read_file, read_file_or_pipe, read_own

READERS: list[Callable[[Path], object]] = [
    lambda path: read_file(path, max_bytes=9),
    lambda path: read_file_or_pipe(path, max_bytes=9),
    lambda path: read_own(path, max_bytes=9),
    open_file,
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "."])
def test_devices_and_folders_are_not_opened(read: Callable[[Path], object], path: str) -> None:
    with pytest.raises(OSError, match=r"it is a (device|folder), not a regular file") as caught:
        read(Path(path))
    assert caught.value.filename == path


@pytest.mark.parametrize("read", [READERS[0], READERS[2], open_file])
def test_a_pipe_is_not_waited_for(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a named pipe"):
        read(tmp_path / "pipe")


def test_a_link_is_followed_where_somebody_named_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456789")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", max_bytes=9) == b"123456789"
    with pytest.raises(OSError, match="it is a symbolic link"):
        read_own(tmp_path / "link", max_bytes=9)
    with pytest.raises(OSError, match="it has more than 8 bytes"):
        read_file(tmp_path / "link", max_bytes=8)


def test_a_file_that_becomes_something_else_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "file", os.open
    path.touch()

    def swapped(name: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(name, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(OSError, match="it is a named pipe"):
        read_file(path, max_bytes=9)


def test_what_comes_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for data, most in ((b"", 9), (b"x" * 200_000, 200_000)):
        writer = threading.Thread(target=path.write_bytes, args=(data,))
        writer.start()
        assert read_file_or_pipe(path, max_bytes=most) == data
        writer.join(30)
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        assert endless.stdout is not None
        with pytest.raises(OSError, match="it has more than 9 bytes"):
            read_file_or_pipe(Path(f"/dev/fd/{endless.stdout.fileno()}"), max_bytes=9)
        endless.kill()


@pytest.mark.parametrize("limit", ["SILENT_SECONDS", "PIPE_SECONDS"])
def test_a_pipe_that_nobody_writes_to_or_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(files, limit, 0.05)
    with pytest.raises(OSError, match="nobody writes to this pipe, or closes it, in time"):
        read_file_or_pipe(path, max_bytes=9)
    fd = os.open(path, os.O_RDWR)
    os.write(fd, b"1")
    with pytest.raises(OSError, match="in time"):
        read_file_or_pipe(path, max_bytes=9)
    os.close(fd)
