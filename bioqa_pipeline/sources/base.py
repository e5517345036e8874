"""What every source of abstracts can do, and where sources keep what they fetched."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.records.texts import Missing, Question, Retrieval


class Source(Protocol):
    """Finds PMIDs for a question and brings their records into a store."""

    @property
    def name(self) -> str:
        """As in `SourceConfig`."""
        ...

    @property
    def store(self) -> AbstractStore:
        """Where the records lie once `ensure` has returned."""
        ...

    def search(self, question: Question, limit: int) -> Retrieval:
        """At most `limit` PMIDs, ranked; a search that fails is a `Retrieval` that says so, not an exception."""
        ...

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        """Brings every PMID into the store that is not there or is too old.

        Args:
            progress: called with the number of PMIDs that were settled.

        Returns:
            Those that cannot be had, each once, with the reason.
        """
        ...

    def describe(self) -> dict[str, str]:
        """What the manifest says of the source; never a secret."""
        ...


def cache_dir() -> Path:
    """$BIOQA_CACHE, or `bioqa` in the user's cache folder."""
    if own := os.environ.get("BIOQA_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "bioqa"
