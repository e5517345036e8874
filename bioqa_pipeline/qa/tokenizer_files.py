"""A model folder's `vocab.txt` or `tokenizer.json` into the tokens of its vocabulary with their ids, and its casing.

`tokenizer.json` is read here and not by the tokenizers package: a file can ask it for any rule, among them regular
expressions that never end. What BERT's tokenizer does is known; a file that says other rules is refused by their name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bioqa_pipeline.config import Casing
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.model_files import (
    TOKENIZER_BYTES,
    checked,
    is_there,
    parse_json_object,
    read_bytes,
    read_json_object,
    read_text,
    shortened,
)
from bioqa_pipeline.records.scores import SpecialIds

logger = logging.getLogger(__name__)

VOCABULARY_FILE, TOKENIZER_JSON, TOKENIZER_CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
TOKENIZER_FILES = (TOKENIZER_JSON, VOCABULARY_FILE, TOKENIZER_CONFIG)
SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")
# bert-base-cased has 9,000 entries with a capital; an uncased vocabulary has only its special tokens.
CASED_VOCABULARY_ENTRIES = 100
# A vocabulary may be padded to a multiple of 128 rows for speed; more rows than that belong to another vocabulary.
VOCABULARY_PADDING = 128
# Those that change letters as BERT's own does or leave them alone; what counts is whether capitals are kept.
NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents"})
PRE_TOKENIZERS = frozenset({"BertPreTokenizer"})


class TokenizerConfig(BaseModel):
    """What is taken from `tokenizer_config.json`; null is as good as absent."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)

    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None


class _AddedToken(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)

    id: int = Field(ge=0)
    content: str


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What the files of a tokenizer say.

    Attributes:
        vocabulary: ids of all tokens, each id once.
        casing: what is done with capitals.
        source: the file that holds the vocabulary.
    """

    vocabulary: Mapping[str, int]
    casing: Casing
    config: TokenizerConfig
    source: Path

    @property
    def special(self) -> SpecialIds:
        """The ids that frame and fill a window."""
        return SpecialIds(cls=self.vocabulary["[CLS]"], sep=self.vocabulary["[SEP]"], pad=self.vocabulary["[PAD]"])


def read_tokenizer_files(folder: Path, casing: Casing | None, *, rows: int) -> TokenizerFiles:
    """The vocabulary and the casing, which must suit each other.

    Args:
        casing: overrides what the files say.
        rows: of the network's embeddings.

    Raises:
        CheckpointError: the files do not hold the tokenizer of a BERT with so many rows, or it would turn every capital
            into [UNK].
    """
    config_path, text_path, json_path = (folder / n for n in (TOKENIZER_CONFIG, VOCABULARY_FILE, TOKENIZER_JSON))
    config = TokenizerConfig()
    if is_there(config_path):
        config = checked(TokenizerConfig.model_validate, read_json_object(config_path), config_path)
    saved, lowercases = None, None
    if is_there(json_path):
        saved, lowercases = parse_tokenizer(read_bytes(json_path, at_most=TOKENIZER_BYTES), json_path, rows=rows)
    if is_there(text_path):
        source, vocabulary = text_path, read_vocabulary(text_path)
    elif saved is not None:
        source, vocabulary = json_path, saved
    else:
        raise CheckpointError(f"{folder} holds neither {TOKENIZER_JSON} nor {VOCABULARY_FILE}")
    _check_vocabulary(vocabulary, source, rows)
    said = lowercases if config.do_lower_case is None else config.do_lower_case
    return TokenizerFiles(vocabulary, _casing(folder, vocabulary, casing, said), config, source)


def _casing(folder: Path, vocabulary: Mapping[str, int], casing: Casing | None, said: bool | None) -> Casing:
    """transformers lowercases where nothing is said, which ruins a cased model: here the vocabulary decides."""
    capitals = sum(1 for token in vocabulary if token != token.lower() and not token.startswith("["))
    by_vocabulary: Casing = "cased" if capitals >= CASED_VOCABULARY_ENTRIES else "uncased"
    if casing is None:
        casing = by_vocabulary if said is None else ("uncased" if said else "cased")
    if casing == "cased" and by_vocabulary == "uncased":
        raise CheckpointError(
            f"{folder}: the tokenizer keeps capitals but the vocabulary has none, so every capitalised word would be "
            "[UNK]; set do_lower_case to true in tokenizer_config.json, or use `casing uncased`"
        )
    if casing == "uncased" and by_vocabulary == "cased":
        logger.warning(
            "%s: the vocabulary is cased (%d entries with a capital) but the tokenizer lowercases, as the checkpoint "
            "says; if it was trained on cased text, use `casing cased`",
            folder,
            capitals,
        )
    return casing


def parse_tokenizer(content: bytes, path: Path, *, rows: int) -> tuple[dict[str, int], bool | None]:
    """The vocabulary of a `tokenizer.json`, added tokens included, and whether it lowercases (None: it does not say).

    Args:
        path: what an error names.
        rows: of the network's embeddings.

    Raises:
        CheckpointError: not the tokenizer of a BERT, or ids that the network does not have.
    """
    values = parse_json_object(content, path)
    model = values.get("model")
    if not isinstance(model, dict):
        raise CheckpointError(f"{path} is not a tokenizer file: it has no model")
    if (kind := model.get("type", "WordPiece")) != "WordPiece":
        raise CheckpointError(f"{path}: a {shortened(kind)} tokenizer; BERT models use WordPiece")
    prefix = model.get("continuing_subword_prefix", "##")
    if prefix != "##" or model.get("unk_token", "[UNK]") != "[UNK]":
        raise CheckpointError(f"{path}: BERT's pieces begin with ## and its unknown token is [UNK]; another tokenizer")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict):
        raise CheckpointError(f"{path} is not a tokenizer file: its model has no vocab")
    for token, number in vocabulary.items():
        _check_id(token, number, path, rows)
    for token in _added_tokens(values.get("added_tokens"), path):
        _check_id(token.content, token.id, path, rows)
        if vocabulary.setdefault(token.content, token.id) != token.id:
            raise CheckpointError(f"{path}: {shortened(token.content)} has two ids, one among added_tokens")
    _rules(values.get("pre_tokenizer"), "pretokenizers", PRE_TOKENIZERS, path)
    rules = _rules(values.get("normalizer"), "normalizers", NORMALIZERS, path)
    lowercases = any(r["type"] == "Lowercase" or _lowercases(r, path) for r in rules) if rules else None
    return vocabulary, lowercases


def _added_tokens(values: object, path: Path) -> list[_AddedToken]:
    if not isinstance(values, (list, type(None))):
        raise CheckpointError(f"{path}: added_tokens is no list")
    return [checked(_AddedToken.model_validate, value, path) for value in values or ()]


def _rules(rule: object, parts: str, known: frozenset[str], path: Path) -> list[dict[str, Any]]:
    """The rules of a tokenizer file one after the other: one, those of a sequence, or none.

    Args:
        parts: what the file names those of a sequence.
    """
    rules: list[Any] = [] if rule is None else [rule]
    if isinstance(rule, dict) and rule.get("type") == "Sequence" and isinstance(rule.get(parts), list):
        rules = rule[parts]
    for each in rules:
        kind = each.get("type") if isinstance(each, dict) else None
        if not isinstance(kind, str) or kind not in known:
            raise CheckpointError(
                f"{path}: one of its {parts} is {shortened(kind)}, which no BERT tokenizer has "
                f"({', '.join(sorted(known))}); give the model's own tokenizer, or its vocab.txt in place of this file"
            )
    return rules


def _lowercases(rule: Mapping[str, Any], path: Path) -> bool:
    if rule["type"] != "BertNormalizer":
        return False
    found = rule.get("lowercase", True)
    if not isinstance(found, bool):
        raise CheckpointError(f"{path}: lowercase {shortened(found)} is neither true nor false")
    return found


def _check_id(token: str, number: object, path: Path, rows: int) -> None:
    if type(number) is not int or not 0 <= number < rows:
        raise CheckpointError(
            f"{path}: token {shortened(token)} has id {shortened(number)}, but config.json says vocab_size {rows}: "
            "tokenizer and weights belong to different models"
        )


def read_vocabulary(path: Path) -> dict[str, int]:
    """Ids of the lines of a `vocab.txt`."""
    lines = read_text(path, at_most=TOKENIZER_BYTES).split("\n")
    if lines[-1] == "":
        lines.pop()
    vocabulary = {line.rstrip("\r"): index for index, line in enumerate(lines)}
    if len(vocabulary) != len(lines):
        raise CheckpointError(f"{path}: {len(lines) - len(vocabulary)} entries stand there twice")
    return vocabulary


def _check_vocabulary(vocabulary: Mapping[str, int], path: Path, rows: int) -> None:
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
    if absent := [token for token in SPECIAL_TOKENS if token not in vocabulary]:
        raise CheckpointError(f"{path}: the vocabulary lacks {', '.join(absent)}: not a BERT vocabulary")
    for token in vocabulary:
        if not token.isascii() and any("\ud800" <= char <= "\udfff" for char in token):
            raise CheckpointError(f"{path}: token {shortened(token)} is no text in Unicode")
