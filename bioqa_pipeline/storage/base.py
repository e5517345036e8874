"""What a data set asks of the place where it lies, whatever place that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any, Protocol

from bioqa_pipeline.storage.filelock import Held


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as a listing shows it.

    Attributes:
        size: in bytes; -1 for what is no plain file (a symbolic link, a socket).
        stamp: changes with the content.
    """

    size: int
    stamp: str


class Storage(Protocol):
    """Whole files by name below one root, names with "/"; all operations raise DatasetError."""

    @property
    def location(self) -> str:
        """For messages: the path or URI of the root."""

    def exists(self) -> bool:
        """Whether there is anything at the root."""

    def create(self) -> None:
        """Makes the root ready to be written to."""

    def list(self, folder: str) -> list[str]:
        """Names of the entries of a folder, sorted, without the folder; unfinished files are not among them."""

    def files(self, folder: str) -> dict[str, Stored]:
        """All that lies below a folder and is no folder itself, by its name from the root, unfinished files too."""

    def uri(self, name: str) -> str:
        """What polars opens a file by, together with `scan_options`."""

    @property
    def scan_options(self) -> Mapping[str, Any]:
        """Keyword arguments for polars' `scan_parquet` and `read_parquet`."""

    def read(self, name: str) -> bytes:
        """A whole file."""

    def open(self, name: str) -> IO[bytes]:
        """A file to read parts of; to be closed."""

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Writes a file whole or not at all, over one that is there, and syncs it."""

    def publish(self, staged: str, name: str) -> bool:
        """Makes a written file appear under `name` unless something is there; says whether it did. Durable."""

    def replace(self, staged: str, name: str) -> None:
        """Puts a written file in the place of the one that is there, which is gone at once; durable."""

    def move(self, name: str, target: str) -> bool:
        """Gives whatever has a name a new one, also what is no file, unread; says whether anything was there."""

    def delete(self, name: str, *, below: bool = False) -> None:
        """Deletes a file, `below` also a folder with all that is in it; nothing there is no error."""

    def delete_files(self, names: Collection[str]) -> None:
        """Deletes many files, durably; one that is not there is no error."""

    def settle(self, folders: Collection[str]) -> None:
        """Makes durable which files lie in these folders and in the root, whoever put or deleted them there."""

    def lock(self, run_id: str, *, wait: bool) -> AbstractContextManager[Held]:
        """Holds the data set for one writer; see `filelock`."""

    def lock_fault(self) -> str | None:
        """Why what lies in the lock's place is no lock, whoever holds it; None where it is one, or none is there."""
