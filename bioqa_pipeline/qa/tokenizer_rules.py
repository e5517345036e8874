"""What a `tokenizer.json` says is done to a text before it is cut, as far as it is known what that does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.model_files import shortened

# What says the same without rules.
INSTEAD = {"BERT": ", or its vocab.txt in place of this file", "RoBERTa": ", or its vocab.json and merges.txt"}


def rules_of(rule: object, parts: str, known: frozenset[str], path: Path, owner: str) -> list[dict[str, Any]]:
    """The rules of a tokenizer file one after the other: one, those of a sequence, or none.

    Args:
        parts: what the file names those of a sequence.
        owner: the family of the network, in an error.
    """
    rules: list[Any] = [] if rule is None else [rule]
    if isinstance(rule, dict) and rule.get("type") == "Sequence" and isinstance(rule.get(parts), list):
        rules = rule[parts]
    for each in rules:
        kind = each.get("type") if isinstance(each, dict) else None
        if not isinstance(kind, str) or kind not in known:
            raise CheckpointError(
                f"{path}: one of its {parts} is {shortened(kind)}, which no {owner} tokenizer has "
                f"({', '.join(sorted(known))}); give the model's own tokenizer{INSTEAD.get(owner, '')}"
            )
    return rules
