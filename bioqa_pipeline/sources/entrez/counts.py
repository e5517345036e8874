"""How many records have a word: asked once, kept for a month in a file where there is one.

Counts only order words by how specific they are, so old ones do. Threads may share one.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

KEPT_SECONDS = 30 * 86400


class WordCounts:
    """Counts by term.

    Args:
        ask: term into count; what it raises passes through.
        path: JSON, {term: [count, seconds since 1970]}; None keeps them in memory.
    """

    def __init__(self, ask: Callable[[str], int], path: Path | None = None) -> None:
        self._ask = ask
        self._path = path
        self._lock = threading.Lock()
        self._counts = _read(path) if path else {}

    def of(self, terms: Iterable[str]) -> dict[str, int]:
        """The count of each term."""
        counts = {}
        is_new = False
        for term in terms:
            known = self._counts.get(term)
            if known is None:
                known = (self._ask(term), time.time())
                with self._lock:
                    self._counts[term] = known
                is_new = True
            counts[term] = known[0]
        if is_new and self._path:
            self._write(self._path)
        return counts

    def _write(self, path: Path) -> None:
        """That it cannot be written costs only requests."""
        with self._lock:
            temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(json.dumps({**_read(path), **self._counts}))
                temporary.replace(path)
            except OSError as exc:
                logger.warning("%s: word counts are not kept: %s", path, exc.strerror)
                with suppress(OSError):
                    temporary.unlink()


def _read(path: Path) -> dict[str, tuple[int, float]]:
    """What the file holds and is not too old, or of the future."""
    try:
        content = json.loads(path.read_text())
        counts = {str(term): (int(count), float(at)) for term, (count, at) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    now = time.time()
    return {term: (count, at) for term, (count, at) in counts.items() if 0 <= now - at <= KEPT_SECONDS}
