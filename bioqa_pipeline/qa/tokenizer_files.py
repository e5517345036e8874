"""A model folder's `vocab.txt` or `tokenizer.json` into the tokens of its vocabulary with their ids, and its casing.

`tokenizer.json` is read here and not by the tokenizers package: a file can ask it for any rule, among them regular
expressions that never end. What BERT's tokenizer does is known; a file that says other rules is refused by their name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bioqa_pipeline.config import Casing
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.byte_level import BYTES_FILE, MERGES_FILE, ByteLevel, parse_byte_level, read_byte_level
from bioqa_pipeline.qa.model_files import (
    TOKENIZER_BYTES,
    FileValues,
    checked,
    is_there,
    parse_json_object,
    read_bytes,
    read_json_object,
    read_text,
    shortened,
)
from bioqa_pipeline.qa.tokenizer_kinds import WORD_PIECE, TokenizerKind
from bioqa_pipeline.qa.tokenizer_rules import rules_of
from bioqa_pipeline.qa.unigram import Unigram, parse_unigram
from bioqa_pipeline.qa.vocabularies import check_vocabulary, join_added, model_of, vocabulary_of
from bioqa_pipeline.records.scores import SpecialIds

logger = logging.getLogger(__name__)

VOCABULARY_FILE, TOKENIZER_JSON, TOKENIZER_CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
TOKENIZER_FILES = (TOKENIZER_JSON, VOCABULARY_FILE, TOKENIZER_CONFIG, BYTES_FILE, MERGES_FILE)
# bert-base-cased has 9,000 entries with a capital; an uncased vocabulary has only its special tokens.
CASED_VOCABULARY_ENTRIES = 100
# Those that change letters as BERT's own does or leave them alone; what counts is whether capitals are kept.
NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents"})
PRE_TOKENIZERS = frozenset({"BertPreTokenizer"})


class TokenizerConfig(FileValues):
    """What is taken from `tokenizer_config.json`; null is as good as absent."""

    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    add_prefix_space: bool | None = None


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What the files of a tokenizer say.

    Attributes:
        vocabulary: ids of all tokens, each id once.
        casing: what is done with capitals.
        source: the file that holds the vocabulary.
        rules: of a tokenizer that is not BERT's own.
    """

    vocabulary: Mapping[str, int]
    casing: Casing
    config: TokenizerConfig
    source: Path
    kind: TokenizerKind = WORD_PIECE
    rules: ByteLevel | Unigram | None = None

    @property
    def special(self) -> SpecialIds:
        """The ids that frame and fill a window."""
        cls, sep, pad, _ = (self.vocabulary[token] for token in self.kind.special_tokens)
        return SpecialIds(cls=cls, sep=sep, pad=pad, n_middle=self.kind.n_middle)


def read_tokenizer_files(
    folder: Path, casing: Casing | None, *, rows: int, kind: TokenizerKind = WORD_PIECE
) -> TokenizerFiles:
    """The vocabulary and the casing, which must suit each other.

    Args:
        casing: overrides what the files say.
        rows: of the network's embeddings.
        kind: what tokenizer the network's family has.

    Raises:
        CheckpointError: the files do not hold the tokenizer of such a network with so many rows, or it would turn every
            capital into an unknown token.
    """
    path = folder / TOKENIZER_CONFIG
    config = TokenizerConfig()
    if is_there(path):
        config = checked(TokenizerConfig.model_validate, read_json_object(path), path)
    read = {"WordPiece": _read_word_pieces, "BPE": _read_bytes, "Unigram": _read_pieces}[kind.model]
    return read(folder, casing, config, rows, kind)


def _read_word_pieces(
    folder: Path, casing: Casing | None, config: TokenizerConfig, rows: int, kind: TokenizerKind
) -> TokenizerFiles:
    text_path, json_path = folder / VOCABULARY_FILE, folder / TOKENIZER_JSON
    saved, lowercases = None, None
    if is_there(json_path):
        saved, lowercases = parse_tokenizer(read_bytes(json_path, at_most=TOKENIZER_BYTES), json_path, rows=rows)
    if is_there(text_path):
        source, vocabulary = text_path, read_vocabulary(text_path)
    elif saved is not None:
        source, vocabulary = json_path, saved
    else:
        raise CheckpointError(f"{folder} holds neither {TOKENIZER_JSON} nor {VOCABULARY_FILE}")
    check_vocabulary(vocabulary, source, rows, kind)
    said = lowercases if config.do_lower_case is None else config.do_lower_case
    return TokenizerFiles(vocabulary, _casing(folder, vocabulary, casing, said), config, source, kind)


def _read_bytes(
    folder: Path, casing: Casing | None, config: TokenizerConfig, rows: int, kind: TokenizerKind
) -> TokenizerFiles:
    if casing == "uncased":
        raise CheckpointError(
            f"{folder}: `casing uncased`: a {kind.owner} vocabulary is one of bytes and keeps capitals"
        )
    path = folder / TOKENIZER_JSON
    if is_there(path):
        vocabulary, rules = parse_byte_level(read_bytes(path, at_most=TOKENIZER_BYTES), path, rows=rows, kind=kind)
    elif is_there(folder / BYTES_FILE):
        path = folder / BYTES_FILE
        vocabulary, rules = read_byte_level(folder, rows=rows)
    else:
        raise CheckpointError(f"{folder} holds neither {TOKENIZER_JSON} nor {BYTES_FILE} with {MERGES_FILE}")
    check_vocabulary(vocabulary, path, rows, kind)
    if config.add_prefix_space is not None:
        rules = replace(rules, add_prefix_space=config.add_prefix_space)
    return TokenizerFiles(vocabulary, "cased", config, path, kind, rules)


def _read_pieces(
    folder: Path, casing: Casing | None, config: TokenizerConfig, rows: int, kind: TokenizerKind
) -> TokenizerFiles:
    path = folder / TOKENIZER_JSON
    if not is_there(path):
        raise CheckpointError(
            f"{folder} holds no {TOKENIZER_JSON}; SentencePiece's own file is not read: have transformers write it, by "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    vocabulary, rules = parse_unigram(read_bytes(path, at_most=TOKENIZER_BYTES), path, rows=rows, kind=kind)
    check_vocabulary(vocabulary, path, rows, kind)
    said = rules.lowercases if config.do_lower_case is None else config.do_lower_case
    has_capitals = any("A" <= char <= "Z" for piece, _ in rules.pieces if "[" not in piece for char in piece)
    if not has_capitals and (casing == "cased" or (casing is None and not said)):
        raise CheckpointError(
            f"{folder}: the tokenizer keeps capitals but the vocabulary has none, so every one would be unknown; set "
            f"do_lower_case to true in {TOKENIZER_CONFIG}, or use `casing uncased`"
        )
    casing = casing or ("uncased" if said else "cased")
    if casing == "uncased" and has_capitals:
        logger.warning("%s: the vocabulary is cased but the tokenizer lowercases, unless `casing cased`", folder)
    return TokenizerFiles(vocabulary, casing, config, path, kind, rules)


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
    model = model_of(values, WORD_PIECE, path)
    prefix = model.get("continuing_subword_prefix", "##")
    if prefix != "##" or model.get("unk_token", "[UNK]") != "[UNK]":
        raise CheckpointError(f"{path}: BERT's pieces begin with ## and its unknown token is [UNK]; another tokenizer")
    vocabulary = vocabulary_of(model.get("vocab"), path, rows)
    join_added(values.get("added_tokens"), vocabulary, path, rows, WORD_PIECE)
    rules_of(values.get("pre_tokenizer"), "pretokenizers", PRE_TOKENIZERS, path, WORD_PIECE.owner)
    rules = rules_of(values.get("normalizer"), "normalizers", NORMALIZERS, path, WORD_PIECE.owner)
    lowercases = any(r["type"] == "Lowercase" or _lowercases(r, path) for r in rules) if rules else None
    return vocabulary, lowercases


def _lowercases(rule: Mapping[str, Any], path: Path) -> bool:
    if rule["type"] != "BertNormalizer":
        return False
    found = rule.get("lowercase", True)
    if not isinstance(found, bool):
        raise CheckpointError(f"{path}: lowercase {shortened(found)} is neither true nor false")
    return found


def read_vocabulary(path: Path) -> dict[str, int]:
    """Ids of the lines of a `vocab.txt`."""
    lines = read_text(path, at_most=TOKENIZER_BYTES).split("\n")
    if lines[-1] == "":
        lines.pop()
    vocabulary = {line.rstrip("\r"): index for index, line in enumerate(lines)}
    if len(vocabulary) != len(lines):
        raise CheckpointError(f"{path}: {len(lines) - len(vocabulary)} entries stand there twice")
    return vocabulary
