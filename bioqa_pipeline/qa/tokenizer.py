"""Texts into tokens with their offsets, and a checkpoint's files into the tokenizer that suits its vocabulary.

transformers lowercases where a checkpoint has no tokenizer config, which ruins a cased model silently: here the
vocabulary decides then, and a tokenizer that contradicts it is reported.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from bioqa_pipeline.config import Casing
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.records.scores import SpecialIds, TokenizedText

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
# bert-base-cased has 9,000 entries with a capital; an uncased vocabulary has only its special tokens.
CASED_VOCABULARY_ENTRIES = 100


class TextTokenizer:
    """Texts into ids and code-point offsets, without special tokens, truncation or padding.

    Args:
        backend: a WordPiece tokenizer; its truncation and padding are switched off, and a text that says "[SEP]"
            says three letters in brackets, not where a window ends.
        special: ids of `[CLS]`, `[SEP]`, `[PAD]`.
    """

    def __init__(self, backend: tokenizers.Tokenizer, special: SpecialIds) -> None:
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self.special = special

    @property
    def vocabulary(self) -> dict[str, int]:
        """Ids of all tokens."""
        return self._backend.get_vocab(with_added_tokens=True)

    def __call__(self, texts: Sequence[str]) -> list[TokenizedText]:
        encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        tokenized = []
        for encoding in encodings:
            offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            tokenized.append(
                TokenizedText(
                    ids=np.array(encoding.ids, dtype=np.int32), starts=offsets[:, 0].copy(), ends=offsets[:, 1].copy()
                )
            )
        return tokenized


def read_json_object(path: Path) -> dict[str, Any]:
    """A file of a checkpoint that holds one JSON object."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as exc:
        raise CheckpointError(f"{path} is missing: {path.parent} is not a model folder") from exc
    except ValueError as exc:
        raise CheckpointError(f"{path} is not valid JSON: {exc}") from exc
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return content


def read_tokenizer(folder: Path, casing: Casing | None) -> tuple[tokenizers.Tokenizer, Casing]:
    """The WordPiece tokenizer and its casing, which must suit the vocabulary.

    Raises:
        CheckpointError: the files do not hold a BERT tokenizer, or it would turn every capital into [UNK].
    """
    config = read_json_object(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    declared = config.get("do_lower_case")
    if (folder / "vocab.txt").exists():
        vocabulary = _read_vocabulary(folder / "vocab.txt")
        saved_lowercase = None
        if (folder / "tokenizer.json").exists():
            saved_lowercase = _lowercases(_load_tokenizer_json(folder / "tokenizer.json"))
    elif (folder / "tokenizer.json").exists():
        saved = _load_tokenizer_json(folder / "tokenizer.json")
        vocabulary = saved.get_vocab(with_added_tokens=True)
        saved_lowercase = _lowercases(saved)
    else:
        raise CheckpointError(f"{folder} holds neither tokenizer.json nor vocab.txt")

    capitals = sum(1 for token in vocabulary if token != token.lower() and not token.startswith("["))
    by_vocabulary: Casing = "cased" if capitals >= CASED_VOCABULARY_ENTRIES else "uncased"
    if casing is None:
        said = declared if declared is not None else saved_lowercase
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
    return _wordpiece(vocabulary, casing, config), casing


def _load_tokenizer_json(path: Path) -> tokenizers.Tokenizer:
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as exc:  # the binding raises bare Exception
        raise CheckpointError(f"{path} is not a tokenizer file: {exc}") from exc
    if not isinstance(tokenizer.model, tokenizers.models.WordPiece):
        raise CheckpointError(f"{path}: a {type(tokenizer.model).__name__} tokenizer; BERT models use WordPiece")
    return tokenizer


def _lowercases(tokenizer: tokenizers.Tokenizer) -> bool:
    return tokenizer.normalizer is not None and tokenizer.normalizer.normalize_str("Ä") != "Ä"


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except UnicodeDecodeError as exc:
        raise CheckpointError(f"{path} is not UTF-8: {exc}") from exc
    if lines and lines[-1] == "":
        lines.pop()
    vocabulary = {line.rstrip("\r"): index for index, line in enumerate(lines)}
    if len(vocabulary) != len(lines):
        raise CheckpointError(f"{path}: {len(lines) - len(vocabulary)} entries stand there twice")
    return vocabulary


def _wordpiece(vocabulary: dict[str, int], casing: Casing, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """BERT's own tokenizer over the vocabulary, the same for every checkpoint layout."""
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
        strip_accents=config.get("strip_accents"),
        lowercase=casing == "uncased",
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return tokenizer


def special_ids(tokenizer: tokenizers.Tokenizer, folder: Path) -> SpecialIds:
    """Raises CheckpointError where the vocabulary lacks one."""
    vocabulary = tokenizer.get_vocab()
    absent = [token for token in ("[CLS]", "[SEP]", "[PAD]", "[UNK]") if token not in vocabulary]
    if absent:
        raise CheckpointError(f"{folder}: the vocabulary lacks {', '.join(absent)}: not a BERT vocabulary")
    return SpecialIds(cls=vocabulary["[CLS]"], sep=vocabulary["[SEP]"], pad=vocabulary["[PAD]"])
