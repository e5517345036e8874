"""The tokenizers that families of networks have: which model, which special tokens, how a pair is framed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TokenizerKind:
    """The tokenizer of a family of networks.

    Attributes:
        owner: the family, as people call it.
        model: what the tokenizers package calls the model.
        files: what of a model folder says something of it.
        n_middle: separators between question and passage.
    """

    owner: str
    model: Literal["WordPiece", "BPE", "Unigram"]
    files: tuple[str, ...] = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
    cls: str = "[CLS]"
    sep: str = "[SEP]"
    pad: str = "[PAD]"
    unknown: str = "[UNK]"
    n_middle: int = 1

    @property
    def special_tokens(self) -> tuple[str, str, str, str]:
        """All of them, which the vocabulary must have."""
        return self.cls, self.sep, self.pad, self.unknown

    @property
    def n_frame(self) -> int:
        """Tokens of a window beside those of question and passage."""
        return 2 + self.n_middle


WORD_PIECE = TokenizerKind("BERT", "WordPiece")
_BYTE_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")
ROBERTA = TokenizerKind("RoBERTa", "BPE", _BYTE_FILES, "<s>", "</s>", "<pad>", "<unk>", n_middle=2)
_PIECE_FILES = ("tokenizer.json", "tokenizer_config.json")
DEBERTA = TokenizerKind("DeBERTa", "Unigram", _PIECE_FILES)
ALBERT = TokenizerKind("ALBERT", "Unigram", _PIECE_FILES, pad="<pad>", unknown="<unk>")
