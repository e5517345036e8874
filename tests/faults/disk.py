"""A disk as POSIX lets it be: what a loss of power leaves of a folder.

A file's content outlasts it once fsync of the file has returned, a name once fsync of its folder has; of all else any
part may be kept, each change by itself. Of a content that was not synced the old, the new, or the new one cut at any
byte or filled up with zeros is left. What a failed fsync of a file was to keep no later one keeps: the system takes
those pages for written. A rename is kept or lost as a whole.

The folder is a real one, so that all code reads it as it reads any other; this keeps beside it what is durable. It is
told of changes by inode, whatever path led there.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False, slots=True)
class Node:
    """A file, a folder or a symbolic link.

    Attributes:
        entries: of a folder, the names that outlast a loss of power, before the journal.
        synced: of a file or link, the content that does.
        dirty: whether the content may be another by now.
        spoilt: whether an fsync has failed, after which none helps.
        last: the content when its last name went.
    """

    kind: str
    entries: dict[str, Node] = field(default_factory=dict)
    synced: bytes = b""
    dirty: bool = False
    spoilt: bool = False
    last: bytes | None = None


@dataclass(eq=False, slots=True)
class Change:
    """Names that came, went or moved together; None is a name that went."""

    names: tuple[tuple[Node, str, Node | None], ...]
    durable: bool = False


class Disk:
    """The folder `base` and all below it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.nodes: dict[tuple[int, int], Node] = {}
        self.changes: list[Change] = []
        self.root = self.adopt()

    def adopt(self) -> Node:
        """Takes all that is there for durable."""
        self.nodes.clear()
        self.changes.clear()
        self.root = self._adopted(str(self.base))
        return self.root

    def _adopted(self, path: str) -> Node:
        status = os.lstat(path)
        known = self.nodes.get((status.st_dev, status.st_ino))
        if known is not None:
            return known
        if stat.S_ISDIR(status.st_mode):
            node = Node("folder")
            with os.scandir(path) as entries:
                for entry in entries:
                    node.entries[entry.name] = self._adopted(entry.path)
        elif stat.S_ISLNK(status.st_mode):
            node = Node("link", synced=os.fsencode(os.readlink(path)))
        else:
            node = Node("file", synced=_content(path))
        self.nodes[status.st_dev, status.st_ino] = node
        return node

    def adopt_file(self, path: Path) -> None:
        """Takes one new file of somebody else's for durable, with its name."""
        folder = self.folder_of(str(path), None)
        assert folder is not None
        folder.entries[path.name] = self._adopted(str(path))

    def folder_of(self, path: str, dir_fd: int | None) -> Node | None:
        """The folder in which a path's last name lies, if it is one of this disk."""
        try:
            status = os.stat(os.path.dirname(path) or ".", dir_fd=dir_fd)
        except OSError:
            return None
        return self.nodes.get((status.st_dev, status.st_ino))

    def node(self, status: os.stat_result) -> Node | None:
        return self.nodes.get((status.st_dev, status.st_ino))

    def made(self, folder: Node, path: str, dir_fd: int | None, kind: str) -> Node:
        """A new file, folder or link."""
        status = os.lstat(path) if dir_fd is None else os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        node = Node(kind, synced=os.fsencode(os.readlink(path, dir_fd=dir_fd)) if kind == "link" else b"")
        self.nodes[status.st_dev, status.st_ino] = node
        self.named(folder, path, node)
        return node

    def named(self, folder: Node, path: str, node: Node | None) -> None:
        """A name that came, or went."""
        self.changes.append(Change(((folder, os.path.basename(path), node),)))

    def moved(self, old: tuple[Node, str], new: tuple[Node, str], node: Node | None) -> None:
        self.changes.append(
            Change(((old[0], os.path.basename(old[1]), None), (new[0], os.path.basename(new[1]), node)))
        )

    def sync(self, fd: int, *, fails: bool = False) -> None:
        """A file or folder was synced, or could not be."""
        node = self.node(os.fstat(fd))
        if node is None:
            return
        if node.kind == "folder":
            for change in self.changes:
                if any(folder is node for folder, _, _ in change.names):
                    change.durable |= not fails
        elif fails or node.spoilt:
            node.spoilt |= node.dirty
        else:
            node.synced, node.dirty = _content(f"/proc/self/fd/{fd}"), False

    def lose_power(self, rng: random.Random) -> None:
        """Leaves of the folder what outlasts a loss of power, and takes that for durable."""
        contents = dict(self._contents(str(self.base)))
        for change in self.changes:
            if change.durable or rng.random() < 0.5:
                for folder, name, node in change.names:
                    if node is None:
                        folder.entries.pop(name, None)
                    else:
                        folder.entries[name] = node
        for entry in self.base.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        made: dict[Node, str] = {}
        for name, node in self.root.entries.items():
            self._restore(node, str(self.base / name), contents, made, rng)
        self.adopt()

    def _contents(self, path: str) -> list[tuple[Node, bytes]]:
        found = []
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found += self._contents(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    node = self.node(entry.stat(follow_symlinks=False))
                    if node is not None:
                        found.append((node, _content(entry.path)))
        return found

    def _restore(
        self, node: Node, path: str, contents: dict[Node, bytes], made: dict[Node, str], rng: random.Random
    ) -> None:
        if node in made and node.kind != "folder":
            os.link(made[node], path, follow_symlinks=False)
            return
        made[node] = path
        if node.kind == "folder":
            os.mkdir(path)
            for name, child in node.entries.items():
                self._restore(child, f"{path}/{name}", contents, made, rng)
        elif node.kind == "link":
            os.symlink(os.fsdecode(node.synced), path)
        else:
            content = node.synced
            if node.dirty:
                content = _torn(node.synced, contents.get(node, node.last or b""), rng)
            with open(path, "wb") as file:
                file.write(content)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _torn(old: bytes, new: bytes, rng: random.Random) -> bytes:
    cut = rng.randint(0, len(new))
    return rng.choice((old, new, new[:cut], new[:cut] + bytes(len(new) - cut), new[:cut] + old[cut:]))
