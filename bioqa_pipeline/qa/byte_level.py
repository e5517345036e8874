"""The files of a byte-level BPE tokenizer into its vocabulary and merges, what it does to texts checked by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel as Alphabet

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.model_files import (
    TOKENIZER_BYTES,
    parse_json_object,
    read_json_object,
    read_text,
    shortened,
)
from bioqa_pipeline.qa.tokenizer_kinds import TokenizerKind
from bioqa_pipeline.qa.tokenizer_rules import rules_of
from bioqa_pipeline.qa.vocabularies import AddedToken, join_added, model_of, vocabulary_of

logger = logging.getLogger(__name__)

BYTES_FILE, MERGES_FILE = "vocab.json", "merges.txt"
NORMALIZERS = frozenset({"NFC"})
PRE_TOKENIZERS = frozenset({"ByteLevel"})
# What changes pieces, and the values with which it does nothing.
PLAIN = {
    "dropout": (None, 0, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}


@dataclass(frozen=True, slots=True)
class ByteLevel:
    """What a byte-level BPE tokenizer does to a text.

    Attributes:
        merges: pairs of pieces, the first ones first.
        add_prefix_space: the first word of a text is one behind a space.
        composes: characters are brought into NFC first.
        added: whole tokens that are looked for before a text is cut.
    """

    merges: tuple[tuple[str, str], ...]
    add_prefix_space: bool = False
    composes: bool = False
    unknown: str | None = None
    fuses_unknown: bool = False
    added: tuple[AddedToken, ...] = ()


def parse_byte_level(content: bytes, path: Path, *, rows: int, kind: TokenizerKind) -> tuple[dict[str, int], ByteLevel]:
    """The vocabulary of a `tokenizer.json`, added tokens included, and its rules.

    Raises:
        CheckpointError: another kind of tokenizer, or ids that the network does not have.
    """
    values = parse_json_object(content, path)
    model = model_of(values, kind, path)
    for name, plain in PLAIN.items():
        if model.get(name) not in plain:
            raise CheckpointError(f"{path}: {name} {shortened(model[name])}, which no {kind.owner} tokenizer has")
    vocabulary = _vocabulary(model.get("vocab"), path, rows)
    merges = _merges(model.get("merges"), vocabulary, path)
    unknown = model.get("unk_token")
    if unknown is not None and not (isinstance(unknown, str) and unknown in vocabulary):
        raise CheckpointError(f"{path}: unk_token {shortened(unknown)} is not in its vocab")
    added = join_added(values.get("added_tokens"), vocabulary, path, rows, kind)
    normalizers = rules_of(values.get("normalizer"), "normalizers", NORMALIZERS, path, kind.owner)
    splits = rules_of(values.get("pre_tokenizer"), "pretokenizers", PRE_TOKENIZERS, path, kind.owner)
    if len(splits) != 1 or splits[0].get("use_regex", True) is not True:
        raise CheckpointError(f"{path}: it does not cut texts at words as {kind.owner} does; give the model's own file")
    return vocabulary, ByteLevel(
        merges=merges,
        add_prefix_space=splits[0].get("add_prefix_space") is True,
        composes=bool(normalizers),
        unknown=unknown,
        fuses_unknown=model.get("fuse_unk") is True,
        added=tuple(token for token in added if not token.special),
    )


def read_byte_level(folder: Path, *, rows: int) -> tuple[dict[str, int], ByteLevel]:
    """The same out of `vocab.json` and `merges.txt`, the two files of GPT-2 and RoBERTa."""
    path = folder / BYTES_FILE
    vocabulary = _vocabulary(read_json_object(path, at_most=TOKENIZER_BYTES), path, rows)
    path = folder / MERGES_FILE
    lines = (line.rstrip("\r") for line in read_text(path, at_most=TOKENIZER_BYTES).split("\n"))
    pairs = [line for line in lines if line and not line.startswith("#version")]
    return vocabulary, ByteLevel(merges=_merges(pairs, vocabulary, path))


def _vocabulary(values: object, path: Path, rows: int) -> dict[str, int]:
    vocabulary = vocabulary_of(values, path, rows)
    if absent := [char for char in Alphabet.alphabet() if char not in vocabulary]:
        logger.warning(
            "%s: %d of the 256 bytes have no token: texts lose the characters they are part of", path, len(absent)
        )
    return vocabulary


def _merges(values: object, vocabulary: Mapping[str, int], path: Path) -> tuple[tuple[str, str], ...]:
    """Pairs as `a b` or as lists of two, whose pieces and what they make are in the vocabulary."""
    if not isinstance(values, list):
        raise CheckpointError(f"{path} is not a tokenizer file: its model has no merges")
    return tuple(_merge(value, vocabulary, path) for value in values)


def _merge(value: Any, vocabulary: Mapping[str, int], path: Path) -> tuple[str, str]:
    match value.split(" ") if isinstance(value, str) else value:
        case [str(left), str(right)] if left in vocabulary and right in vocabulary and left + right in vocabulary:
            return left, right
    raise CheckpointError(f"{path}: merge {shortened(value)} is no pair of pieces of the vocabulary that make a third")
