"""BERT tokenizers for tests: over a vocabulary file, or over a small vocabulary made here."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.records.scores import SpecialIds
from support.outside import OutsideMaterial

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "the",
    "of",
    "in",
    "gene",
    "protein",
    "Protein",
    "causes",
    "mutation",
    "BRCA",
    "5",
    "10",
    "malaria",
    "interferon",
)
SUFFIXES = ("##s", "##ing", "##ed", "##1", "##2", "##α", "##β", "##emia")


def toy_pieces() -> list[str]:
    """Words, endings and letters (Latin, Greek, accented, one ideograph, one emoji); all else becomes `[UNK]`."""
    letters = [chr(code) for code in range(33, 127)] + list("αβγμéñ°±患🧬")
    return list(dict.fromkeys([*SPECIAL_PIECES, *WORDS, *SUFFIXES, *letters, *(f"##{letter}" for letter in letters)]))


def file_pieces(test_data: OutsideMaterial, *, cased: bool) -> list[str]:
    """The entries of BERT's own vocabulary."""
    name = f"bert-base-{'cased' if cased else 'uncased'}-vocab.txt"
    pieces = test_data.file(f"bert_vocab/{name}").read_text("utf-8").rstrip("\n").split("\n")
    # The uncased file was lowercased as a whole, special tokens too.
    return [piece.upper() if piece.upper() in SPECIAL_PIECES else piece for piece in pieces]


def bert_backend(pieces: Sequence[str], *, lowercase: bool) -> Tokenizer:
    """BERT's tokenizer, which frames a pair of texts with `[CLS]` and `[SEP]` when asked for special tokens."""
    ids = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = BertPreTokenizer()
    backend.add_special_tokens(list(SPECIAL_PIECES))
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return backend


def text_tokenizer(pieces: Sequence[str], *, lowercase: bool) -> TextTokenizer:
    """The same as the pipeline holds it."""
    special = SpecialIds(cls=pieces.index("[CLS]"), sep=pieces.index("[SEP]"), pad=pieces.index("[PAD]"))
    return TextTokenizer(bert_backend(pieces, lowercase=lowercase), special)
