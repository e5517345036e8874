"""Folders in the user's cache that hold what was imported together: kept while somebody reads them, else dropped."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import weakref
from pathlib import Path

from bioqa_pipeline.abstracts.writer import is_store
from bioqa_pipeline.files import open_fd
from bioqa_pipeline.storage.local import LocalStorage

logger = logging.getLogger(__name__)

_IN_USE = ".in-use"
_GENERATION = re.compile(r"pubmed\d\d|records-(?:[0-9a-f]{8}|[0-9a-f]{32})")


def hold(owner: object, generation: Path) -> None:
    """Keeps a generation from being dropped while its owner lives."""
    fd = open_fd(generation / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    fcntl.flock(fd, fcntl.LOCK_SH)
    weakref.finalize(owner, os.close, fd)


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
