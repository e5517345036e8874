"""Texts into tokens with their offsets, by the tokenizer of a network's family over a checkpoint's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import tokenizers

from bioqa_pipeline.qa.byte_level import ByteLevel
from bioqa_pipeline.qa.tokenizer_files import TokenizerFiles
from bioqa_pipeline.qa.vocabularies import add_tokens
from bioqa_pipeline.qa.words import WordTokens
from bioqa_pipeline.records.scores import SpecialIds, TokenizedText

# What cuts each word by itself.
_BY_WORDS = (
    tokenizers.normalizers.BertNormalizer,
    tokenizers.pre_tokenizers.BertPreTokenizer,
    tokenizers.models.WordPiece,
)


class TextTokenizer:
    """Texts into ids and code-point offsets, without special tokens, truncation or padding.

    Args:
        backend: its truncation and padding are switched off, and a text that says "[SEP]" says three letters in
            brackets, not where a window ends.
        special: the tokens that frame and fill a window.
    """

    def __init__(self, backend: tokenizers.Tokenizer, special: SpecialIds) -> None:
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        steps = (backend.normalizer, backend.pre_tokenizer, backend.model)
        by_words = all(isinstance(step, kind) for step, kind in zip(steps, _BY_WORDS, strict=True))
        self._words = WordTokens(self._encode) if by_words else None
        self.special = special

    @property
    def vocabulary(self) -> dict[str, int]:
        """Ids of all tokens."""
        return self._backend.get_vocab(with_added_tokens=True)

    def __call__(self, texts: Sequence[str]) -> list[TokenizedText]:
        if self._words:
            return self._words(texts)
        # All at once on as many threads as the library takes.
        return [_tokens(encoding) for encoding in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    def _encode(self, text: str) -> TokenizedText:
        return _tokens(self._backend.encode(text, add_special_tokens=False))


def _tokens(encoding: tokenizers.Encoding) -> TokenizedText:
    starts, ends = np.fromiter(chain.from_iterable(encoding.offsets), dtype=np.int32).reshape(-1, 2).T.copy()
    return TokenizedText(ids=np.array(encoding.ids, dtype=np.int32), starts=starts, ends=ends)


def make_tokenizer(files: TokenizerFiles) -> TextTokenizer:
    """The family's own tokenizer over the vocabulary, the same for every checkpoint layout."""
    rules = files.rules
    if rules is None:
        backend = _word_pieces(files)
    elif isinstance(rules, ByteLevel):
        backend = _bytes(files.vocabulary, rules)
    else:
        backend = rules.backend(lowercase=files.casing == "uncased")
    return TextTokenizer(backend, files.special)


def _word_pieces(files: TokenizerFiles) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(dict(files.vocabulary), unk_token="[UNK]", max_input_chars_per_word=100)
    )
    backend.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=files.config.tokenize_chinese_chars is not False,
        strip_accents=files.config.strip_accents,
        lowercase=files.casing == "uncased",
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return backend


def _bytes(vocabulary: Mapping[str, int], rules: ByteLevel) -> tokenizers.Tokenizer:
    model = tokenizers.models.BPE(
        vocab=dict(vocabulary), merges=list(rules.merges), unk_token=rules.unknown, fuse_unk=rules.fuses_unknown
    )
    backend = tokenizers.Tokenizer(model)
    if rules.composes:
        backend.normalizer = tokenizers.normalizers.NFC()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=rules.add_prefix_space)
    # A token begins with the space before its word, which is not where an answer begins.
    backend.post_processor = tokenizers.processors.ByteLevel(trim_offsets=True, add_prefix_space=rules.add_prefix_space)
    add_tokens(backend, rules.added)
    return backend
