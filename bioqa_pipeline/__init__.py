"""Ask PubMed many questions at once; every answer carries its evidence and the score of "there is no answer"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioqa_pipeline.api import PartialAnswerError, answer

__version__ = "0.1.0"
__all__ = ["PartialAnswerError", "__version__", "answer"]


def __getattr__(name: str) -> Any:
    """`answer`, on its first use: the import of the package itself stays quick."""
    if name in {"answer", "PartialAnswerError"}:
        from bioqa_pipeline import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
