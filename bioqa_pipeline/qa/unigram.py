"""A `tokenizer.json` of SentencePiece's Unigram model into pieces with their scores, its rules checked by name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import normalizers, pre_tokenizers

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.charsmap import check_charsmap
from bioqa_pipeline.qa.model_files import parse_json_object, shortened
from bioqa_pipeline.qa.tokenizer_kinds import TokenizerKind
from bioqa_pipeline.qa.tokenizer_rules import rules_of
from bioqa_pipeline.qa.vocabularies import AddedToken, add_tokens, check_id, join_added, model_of

SPACE = "▁"
# Rules without an argument.
SIMPLE: Mapping[str, Any] = {
    "NFC": normalizers.NFC,
    "NFD": normalizers.NFD,
    "NFKC": normalizers.NFKC,
    "NFKD": normalizers.NFKD,
    "Nmt": normalizers.Nmt,
    "StripAccents": normalizers.StripAccents,
}
NORMALIZERS = frozenset({*SIMPLE, "Lowercase", "Precompiled", "Replace", "Strip"})
# The expressions that tokenizers of these families hold; another could take for ever.
EXPRESSIONS = frozenset({" {2,}", r"\s{2,}|[\n\r\t]", r"\s{2,}", r"\s+", r"[\n\r\t]"})
REPLACED_CHARS = 16
PRE_TOKENIZERS = frozenset({"Metaspace", "WhitespaceSplit", "Punctuation"})
PREPENDING = ("always", "first", "never")
LARGEST_SCORE = 1e6
NOTHING = " "


@dataclass(frozen=True, slots=True)
class Unigram:
    """What a Unigram tokenizer does to a text.

    Attributes:
        pieces: with their scores, by id; those that no text may become have names that no text has.
        unknown: the id of what no piece covers.
        normalizers, pre_tokenizers: as the file says them, in order.
        added: whole tokens that are looked for before a text is cut.
    """

    pieces: tuple[tuple[str, float], ...]
    unknown: int
    normalizers: tuple[Any, ...]
    pre_tokenizers: tuple[Any, ...]
    added: tuple[AddedToken, ...]

    @property
    def lowercases(self) -> bool:
        """Whether the file says so."""
        return any(isinstance(step, normalizers.Lowercase) for step in self.normalizers)

    def backend(self, *, lowercase: bool) -> tokenizers.Tokenizer:
        """The tokenizer; it lowercases where its file says so, or first of all."""
        model = tokenizers.models.Unigram(list(self.pieces), unk_id=self.unknown, byte_fallback=False)
        backend = tokenizers.Tokenizer(model)
        steps = [step for step in self.normalizers if lowercase or not isinstance(step, normalizers.Lowercase)]
        if lowercase and not self.lowercases:
            steps.insert(0, normalizers.Lowercase())
        backend.normalizer = normalizers.Sequence(steps)
        backend.pre_tokenizer = pre_tokenizers.Sequence(list(self.pre_tokenizers))
        add_tokens(backend, self.added)
        return backend


def parse_unigram(content: bytes, path: Path, *, rows: int, kind: TokenizerKind) -> tuple[dict[str, int], Unigram]:
    """The vocabulary of a `tokenizer.json`, added tokens included, and its rules.

    Raises:
        CheckpointError: another kind of tokenizer, or ids that the network does not have.
    """
    values = parse_json_object(content, path)
    model = model_of(values, kind, path)
    if model.get("byte_fallback"):
        raise CheckpointError(f"{path}: byte_fallback is set, which no {kind.owner} tokenizer has")
    pieces = _pieces(model.get("vocab"), path)
    unknown = model.get("unk_id")
    if type(unknown) is not int or not 0 <= unknown < len(pieces):
        raise CheckpointError(f"{path}: unk_id {shortened(unknown)} is none of its {len(pieces):,} pieces")
    vocabulary = {piece: number for number, (piece, _) in enumerate(pieces)}
    if len(vocabulary) != len(pieces):
        raise CheckpointError(f"{path}: {len(pieces) - len(vocabulary)} pieces stand there twice")
    if pieces:
        check_id(pieces[-1][0], len(pieces) - 1, path, rows)
    added = join_added(values.get("added_tokens"), vocabulary, path, rows, kind)
    steps = rules_of(values.get("normalizer"), "normalizers", NORMALIZERS, path, kind.owner)
    cuts = rules_of(values.get("pre_tokenizer"), "pretokenizers", PRE_TOKENIZERS, path, kind.owner)
    if not any(cut["type"] == "Metaspace" for cut in cuts):
        raise CheckpointError(f"{path}: it does not cut texts as {kind.owner} does; give the model's own file")
    silent = {*kind.special_tokens, *(token.content for token in added if token.special)}
    return vocabulary, Unigram(
        pieces=_with_silent(pieces, vocabulary, silent),
        unknown=unknown,
        normalizers=tuple(_normalizer(step, path) for step in steps),
        pre_tokenizers=tuple(_pre_tokenizer(cut, path) for cut in cuts),
        added=tuple(token for token in added if not token.special),
    )


def _pieces(values: object, path: Path) -> list[tuple[str, float]]:
    if not isinstance(values, list):
        raise CheckpointError(f"{path} is not a tokenizer file: its model has no vocab")
    return [_piece(value, path) for value in values]


def _piece(value: object, path: Path) -> tuple[str, float]:
    match value:
        case [str(piece), int() | float() as score] if not isinstance(score, bool) and abs(score) < LARGEST_SCORE:
            return piece, float(score)
    raise CheckpointError(f"{path}: {shortened(value)} is no piece with its score")


def _with_silent(
    pieces: list[tuple[str, float]], vocabulary: Mapping[str, int], silent: set[str]
) -> tuple[tuple[str, float], ...]:
    """By id: `silent` ones, and those of ids that belong to none, have a space in their names, which is cut away."""
    names = {number: (token, 0.0) for token, number in vocabulary.items()} | dict(enumerate(pieces))
    found = []
    for number in range(max(names, default=-1) + 1):
        name, score = names.get(number, (f"{NOTHING}{number}", 0.0))
        found.append((NOTHING + name if name in silent else name, score))
    return tuple(found)


def _normalizer(step: Mapping[str, Any], path: Path) -> Any:
    match step:
        case {"type": str(name)} if name in SIMPLE:
            return SIMPLE[name]()
        case {"type": "Lowercase"}:
            return normalizers.Lowercase()
        case {"type": "Strip", "strip_left": bool(left), "strip_right": bool(right)}:
            return normalizers.Strip(left=left, right=right)
        case {"type": "Replace", "pattern": {"String": str(old)}, "content": str(new)} if (
            old and max(len(old), len(new)) <= REPLACED_CHARS
        ):
            return normalizers.Replace(old, new)
        case {"type": "Replace", "pattern": {"Regex": str(old)}, "content": str(new)} if (
            old in EXPRESSIONS and len(new) <= REPLACED_CHARS
        ):
            return normalizers.Replace(tokenizers.Regex(old), new)
        case {"type": "Precompiled", "precompiled_charsmap": str(encoded)}:
            return normalizers.Precompiled(_table(encoded, path))
    raise CheckpointError(f"{path}: its normalizer {shortened(step['type'])} is set as in no tokenizer of this family")


def _table(encoded: str, path: Path) -> bytes:
    try:
        table = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise CheckpointError(f"{path}: its precompiled_charsmap is not base64: {exc}") from exc
    check_charsmap(table, path)
    return table


def _pre_tokenizer(cut: Mapping[str, Any], path: Path) -> Any:
    match cut:
        case {"type": "WhitespaceSplit"}:
            return pre_tokenizers.WhitespaceSplit()
        case {"type": "Punctuation"} if cut.get("behavior", "Isolated") == "Isolated":
            return pre_tokenizers.Punctuation(behavior="isolated")
        case {"type": "Metaspace"} if cut.get("replacement", SPACE) == SPACE:
            # Older files say it by another name.
            scheme = cut.get("prepend_scheme", "always" if cut.get("add_prefix_space", True) is True else "never")
            if scheme in PREPENDING and isinstance(split := cut.get("split", True), bool):
                return pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=split)
    raise CheckpointError(f"{path}: its {shortened(cut['type'])} is set as in no tokenizer of this family")
