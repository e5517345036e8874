"""The tokens of a vocabulary and their ids, whatever file they come from, checked against the network's embeddings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from pydantic import Field

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.model_files import FileValues, checked, shortened
from bioqa_pipeline.qa.tokenizer_kinds import TokenizerKind

logger = logging.getLogger(__name__)

# A vocabulary may be padded to a multiple of 128 rows for speed; more rows than that belong to another vocabulary.
VOCABULARY_PADDING = 128
# Texts are searched for each of them; the most in use are 90.
MOST_ADDED = 1024


class AddedToken(FileValues):
    """A token that stands beside the vocabulary of the model; one that is not special is looked for in texts first."""

    id: int = Field(ge=0)
    content: str
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True


def join_added(
    values: object, vocabulary: dict[str, int], path: Path, rows: int, kind: TokenizerKind
) -> list[AddedToken]:
    """The added tokens, put into the vocabulary too; those that frame a window are special whatever the file says.

    Raises:
        CheckpointError: they are no list or too many; one has another id there, none in the network, or no text.
    """
    if not isinstance(values, (list, type(None))):
        raise CheckpointError(f"{path}: added_tokens is no list")
    added = [checked(AddedToken.model_validate, value, path) for value in values or ()]
    for token in added:
        check_id(token.content, token.id, path, rows)
        if vocabulary.setdefault(token.content, token.id) != token.id:
            raise CheckpointError(f"{path}: {shortened(token.content)} has two ids, one among added_tokens")
    if len(added) > MOST_ADDED or not all(token.content for token in added):
        raise CheckpointError(f"{path}: {len(added):,} added_tokens, or one without a text: no model has such")
    return [t.model_copy(update={"special": True}) if t.content in kind.special_tokens else t for t in added]


def add_tokens(backend: tokenizers.Tokenizer, added: Sequence[AddedToken]) -> None:
    """Lets a tokenizer look for these before it cuts a text; they are in its vocabulary already."""
    names = ("single_word", "lstrip", "rstrip", "normalized")
    backend.add_tokens([tokenizers.AddedToken(t.content, **{name: getattr(t, name) for name in names}) for t in added])


def model_of(values: Mapping[str, Any], kind: TokenizerKind, path: Path) -> dict[str, Any]:
    """The model in a `tokenizer.json`, which is that of this kind."""
    model = values.get("model")
    if not isinstance(model, dict):
        raise CheckpointError(f"{path} is not a tokenizer file: it has no model")
    if (found := model.get("type", kind.model)) != kind.model:
        raise CheckpointError(f"{path}: a {shortened(found)} tokenizer; {kind.owner} models use {kind.model}")
    return model


def vocabulary_of(values: object, path: Path, rows: int) -> dict[str, int]:
    """The ids by their tokens, as a file says them."""
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a tokenizer file: its model has no vocab")
    for token, number in values.items():
        check_id(token, number, path, rows)
    return values


def check_id(token: str, number: object, path: Path, rows: int) -> None:
    """Raises CheckpointError where the network has no row for this token."""
    if type(number) is not int or not 0 <= number < rows:
        raise CheckpointError(
            f"{path}: token {shortened(token)} has id {shortened(number)}, but config.json says vocab_size {rows}: "
            "tokenizer and weights belong to different models"
        )


def check_vocabulary(vocabulary: Mapping[str, int], path: Path, rows: int, kind: TokenizerKind) -> None:
    """Raises CheckpointError for the vocabulary of another network or family, or one that gives an id twice."""
    size = len(vocabulary)
    highest = max(vocabulary.values(), default=-1)
    if not highest < rows < size + VOCABULARY_PADDING:
        raise CheckpointError(
            f"{path}: the vocabulary has {size} entries but config.json says vocab_size {rows}: "
            "tokenizer and weights belong to different models"
        )
    if len(set(vocabulary.values())) < size:
        owner: dict[int, str] = {}
        one, other = next((owner[i], t) for t, i in vocabulary.items() if owner.setdefault(i, t) != t)
        raise CheckpointError(
            f"{path}: tokens {shortened(one)} and {shortened(other)} have one id, {vocabulary[other]}; take the file "
            "from where the model came from"
        )
    if highest >= size:
        logger.warning("%s: %d ids below its highest, %d, belong to no token", path, highest + 1 - size, highest)
    if absent := [token for token in kind.special_tokens if token not in vocabulary]:
        raise CheckpointError(f"{path}: the vocabulary lacks {', '.join(absent)}: not a {kind.owner} vocabulary")
    for token in vocabulary:
        if not token.isascii() and any("\ud800" <= char <= "\udfff" for char in token):
            raise CheckpointError(f"{path}: token {shortened(token)} is no text in Unicode")
