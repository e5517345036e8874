"""The best answers of two runs into whether they are one answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bioqa_pipeline.abbreviations import defined_abbreviations, expanded
from bioqa_pipeline.qa.merge_key import answer_key


@dataclass(frozen=True, slots=True)
class BestAnswer:
    """The best answer of a run to a question; `text` None where it has none.

    Attributes:
        keys: of all its wordings, as they stand and with the abbreviations in full that its evidence defines.
    """

    text: str | None
    keys: frozenset[str] = frozenset()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> BestAnswer:
        """That of a row of `summary`."""
        if row["answer"] is None:
            return NO_ANSWER
        defined = defined_abbreviations(row["evidence"] or "")
        wordings = (row["answer"], *row["variants"])
        return cls(
            row["answer"], frozenset(answer_key(form) for text in wordings for form in (text, expanded(text, defined)))
        )

    def is_same(self, other: BestAnswer) -> bool:
        """Whether both have a wording in common, or no answer."""
        return self.text is other.text is None or not self.keys.isdisjoint(other.keys)


NO_ANSWER = BestAnswer(None)
