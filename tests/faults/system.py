"""The calls that change files, on their way to the system: counted, and made to fail, to tear or to be the last.

They are replaced in the module `os` and in `io.open`, which all of Python's own file handling comes down to, for the
folder of one `Disk` alone. A "process" here ends by `Killed`, which no handler of the code under test takes for an
error; from then on nothing that it does has an effect, and the harness closes what it had open, as the kernel does.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

import pytest

from faults.disk import Disk, Node
from faults.strikes import Killed, Strike

T = TypeVar("T")

REPLACED = "open close write pwrite ftruncate truncate fsync link symlink rename unlink mkdir rmdir".split()


class System:
    """To be used with `with`; strikes while armed."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.dead = False
        self.struck = ""
        self.calls: list[str] = []
        self._strike: Strike | None = None
        self._left = 0
        self._open: dict[int, object] = {}
        self._patch = pytest.MonkeyPatch()
        self.real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in REPLACED}
        self._real_open = io.open

    def __enter__(self) -> Self:
        for name in REPLACED:
            self._patch.setattr(os, name, getattr(self, name))
        self._patch.setattr(os, "fdatasync", self.fsync)
        self._patch.setattr(os, "replace", self.rename)
        self._patch.setattr(os, "remove", self.unlink)
        for module in (io, builtins):
            self._patch.setattr(module, "open", self._open_file)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
        self.reap(set())

    def arm(self, strike: Strike | None) -> None:
        self._strike, self.struck, self.calls = strike, "", []
        self._left = strike.at if strike else 0

    def opened(self) -> set[int]:
        return set(self._open)

    def reap(self, keep: set[int]) -> None:
        """What the kernel does after a process's end: closes what it had open, all but `keep`."""
        for fd in self._open.keys() - keep:
            del self._open[fd]
            with suppress(OSError):
                self.real["close"](fd)
        self.dead = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The harness's own changes of files, of which the disk is not told."""
        self._patch.undo()
        try:
            yield
        finally:
            self.__enter__()

    # What follows stands for the functions of `os` of these names.

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def do() -> int:
            fd: int = self.real["open"](path, flags, mode, dir_fd=dir_fd)
            self._open[fd] = object()
            return fd

        name = None if isinstance(path, int) else os.fsdecode(path)
        folder = None if name is None else self.disk.folder_of(name, dir_fd)
        if name is None or folder is None:
            # The disk's own folder is opened, or one that is none of its.
            fd: int = self.real["open"](path, flags, mode, dir_fd=dir_fd)
            return fd
        if not flags & os.O_CREAT or _exists(name, dir_fd):
            if flags & os.O_TRUNC:
                return self._step("truncate", name, lambda: self._dirty(do()))
            return do()

        def create() -> int:
            fd = do()
            self.disk.made(folder, name, dir_fd, "file")
            return fd

        return self._step("create", name, create)

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        self.real["close"](fd)

    def write(self, fd: int, data: Any) -> int:
        return self._write(fd, data, lambda some, to: self.real["write"](to, some))

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        return self._write(fd, data, lambda some, to: self.real["pwrite"](to, some, offset))

    def ftruncate(self, fd: int, length: int) -> Any:
        if self._node(fd) is None:
            return self.real["ftruncate"](fd, length)
        return self._step("truncate", _path(fd), lambda: self.real["ftruncate"](self._dirty(fd), length))

    def truncate(self, path: Any, length: int) -> None:
        with self._real_open(path, "r+b") as file:
            self.ftruncate(file.fileno(), length)

    def fsync(self, fd: int) -> Any:
        if self._node(fd) is None:
            return self.real["fsync"](fd)

        def part() -> None:
            # Of an end of the process the disk does not know.
            if self._strike is not None and self._strike.error is not None:
                self.disk.sync(fd, fails=True)

        return self._step("sync", _path(fd), lambda: self.disk.sync(fd), part)

    def link(
        self,
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        def do() -> None:
            self.real["link"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
            if folder is not None:
                status = os.stat(name, dir_fd=dst_dir_fd, follow_symlinks=False)
                self.disk.named(folder, name, self.disk.node(status) or Node("file", dirty=True))

        name = os.fsdecode(dst)
        folder = self.disk.folder_of(name, dst_dir_fd)
        return do() if folder is None else self._step("link", name, do)

    def symlink(self, src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
        name = os.fsdecode(dst)
        self._make("symlink", name, dir_fd, "link", lambda: self.real["symlink"](src, dst, dir_fd=dir_fd))

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        name = os.fsdecode(path)
        self._make("mkdir", name, dir_fd, "folder", lambda: self.real["mkdir"](path, mode, dir_fd=dir_fd))

    def rename(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        def do() -> None:
            if new is not None:
                self._keep_last(names[1], dst_dir_fd)
            self.real["rename"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            if old is not None and new is not None:
                status = os.stat(names[1], dir_fd=dst_dir_fd, follow_symlinks=False)
                self.disk.moved((old, names[0]), (new, names[1]), self.disk.node(status))

        names = (os.fsdecode(src), os.fsdecode(dst))
        old, new = self.disk.folder_of(names[0], src_dir_fd), self.disk.folder_of(names[1], dst_dir_fd)
        return do() if old is None or new is None else self._step("rename", names[1], do)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> Any:
        def do() -> None:
            self._keep_last(name, dir_fd)
            self.real["unlink"](path, dir_fd=dir_fd)
            assert folder is not None
            self.disk.named(folder, name, None)

        name = os.fsdecode(path)
        folder = self.disk.folder_of(name, dir_fd)
        return self.real["unlink"](path, dir_fd=dir_fd) if folder is None else self._step("unlink", name, do)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> Any:
        def do() -> None:
            self.real["rmdir"](path, dir_fd=dir_fd)
            assert folder is not None
            self.disk.named(folder, name, None)

        name = os.fsdecode(path)
        folder = self.disk.folder_of(name, dir_fd)
        return self.real["rmdir"](path, dir_fd=dir_fd) if folder is None else self._step("rmdir", name, do)

    # How they do it.

    def _step(self, call: str, name: str, do: Callable[[], T], part: Callable[[], object] | None = None) -> T:
        """Does a call, unless the strike is for it; `part` is what is done of one that breaks off in the middle."""
        if self.dead:
            raise Killed
        self.calls.append(f"{call} {name}")
        strike = self._strike
        if strike is None or call not in strike.calls:
            return do()
        self._left -= 1
        if self._left >= 0 or (self.struck and not strike.lasting):
            return do()
        self.struck = self.struck or f"{strike.moment} {call} {name}"
        if strike.moment == "half" and part is not None:
            part()
        elif strike.moment != "before":
            do()
        if strike.error is None:
            self.dead = True
            raise Killed
        raise OSError(strike.error, os.strerror(strike.error), name)

    def _write(self, fd: int, data: Any, do: Callable[[Any, int], int]) -> int:
        if self._node(fd) is None:
            return do(data, fd)
        view = memoryview(data).cast("B")
        return self._step(
            "write", _path(fd), lambda: do(data, self._dirty(fd)), lambda: do(view[: len(view) // 2], self._dirty(fd))
        )

    def _make(self, call: str, name: str, dir_fd: int | None, kind: str, do: Callable[[], None]) -> None:
        def make() -> None:
            do()
            assert folder is not None
            self.disk.made(folder, name, dir_fd, kind)

        folder = self.disk.folder_of(name.rstrip("/"), dir_fd)
        return do() if folder is None else self._step(call, name, make)

    def _keep_last(self, name: str, dir_fd: int | None) -> None:
        """A loss of power may bring a file back whose last name goes now."""
        with suppress(OSError):
            status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            node = self.disk.node(status)
            if node is not None and node.kind == "file" and node.dirty and status.st_nlink == 1:
                fd = self.real["open"](name, os.O_RDONLY, dir_fd=dir_fd)
                node.last = os.read(fd, status.st_size)
                self.real["close"](fd)

    def _dirty(self, fd: int) -> int:
        node = self._node(fd)
        if node is not None:
            node.dirty = True
        return fd

    def _node(self, fd: int) -> Node | None:
        return self.disk.node(os.fstat(fd))

    def _open_file(self, file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        """`io.open`: a file of the disk that is written goes through the functions above."""
        writes = bool(set(mode) & set("wax+"))
        if writes and not isinstance(file, int) and self.disk.folder_of(os.fsdecode(file), None) is not None:
            assert set(mode) <= set("wxb") and "b" in mode, f"{file}: mode {mode} is not simulated"
            exclusive = os.O_EXCL if "x" in mode else 0
            fd = self.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | exclusive, 0o666)
            return io.BufferedWriter(_Raw(self, fd))
        if writes and isinstance(file, int) and self._node(file) is not None:
            return io.BufferedWriter(_Raw(self, file))
        return self._real_open(file, mode, *args, **options)


class _Raw(io.RawIOBase):
    """A file to write to, by way of the system; closed by whoever comes first, itself or the end of its process."""

    def __init__(self, system: System, fd: int) -> None:
        self._system, self._fd = system, fd
        self._opened = system._open.setdefault(fd, object())

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._system.write(self._fd, data)

    def close(self) -> None:
        if not self.closed and self._system._open.get(self._fd) is self._opened:
            self._system.close(self._fd)
        super().close()


def _exists(path: str, dir_fd: int | None) -> bool:
    try:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return False
    return True


def _path(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")
