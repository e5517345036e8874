"""Where abstracts come from; `open_source` turns the settings into one of them."""

from __future__ import annotations

from datetime import datetime

from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.sources.base import Source


def open_source(config: SourceConfig, *, since: datetime | None = None) -> Source:
    """The source that the settings name, ready to be searched.

    Args:
        since: only records entered at or after this time, for sources that can tell.

    Raises:
        SourceError: it cannot be opened.
    """
    raise AssertionError(config.kind)
