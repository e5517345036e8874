"""Folders in the user's cache that hold what was imported together: kept while somebody reads them, else dropped."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.abstracts.writer import is_store, make_store
from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.files import open_fd
from bioqa_pipeline.storage.filelock import FileLock
from bioqa_pipeline.storage.local import LocalStorage

logger = logging.getLogger(__name__)

_IN_USE = ".in-use"
_GENERATION = re.compile(r"pubmed\d\d|records-(?:[0-9a-f]{8}|[0-9a-f]{32})")


@contextmanager
def one_writer(home: Path, doing: str, location: str) -> Iterator[None]:
    """Holds the folder of some generations, made where it is absent, for one that imports.

    Args:
        doing: told to others that wait.
        location: what is imported, for messages.

    Raises:
        SourceError: the cache cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock", f"{doing}-{os.getpid()}", location=location, wait=True):
            yield
    except OSError as exc:
        raise SourceError(
            f"{exc.filename or home}: {exc.strerror or exc}; set BIOQA_CACHE to a folder that can be written"
        ) from exc


def opened(owner: object, generation: Path) -> AbstractStore:
    """The store of a generation, made where it is absent, which is kept from being dropped while its owner lives."""
    make_store(generation)
    fd = open_fd(generation / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    fcntl.flock(fd, fcntl.LOCK_SH)
    weakref.finalize(owner, os.close, fd)
    return AbstractStore(generation)


def drop_others(home: Path, current: Path) -> list[str]:
    """Deletes the generations that nobody reads any more; the others go the next time."""
    dropped = []
    for path in sorted(home.iterdir()):
        if path == current or not _GENERATION.fullmatch(path.name) or not is_store(path):
            continue
        fd = open_fd(path / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            LocalStorage(home).delete(path.name, below=True)
            dropped.append(path.name)
        except BlockingIOError:
            logger.info("%s is still read and is kept for now", path)
        finally:
            os.close(fd)
    return dropped
