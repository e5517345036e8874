"""Tiny checkpoints of the families beside BERT, with random weights and small tokenizers, saved by transformers."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AlbertForQuestionAnswering,
    AlbertTokenizer,
    DebertaV2Config,
    DebertaV2ForQuestionAnswering,
    DebertaV2Tokenizer,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    DistilBertTokenizer,
    ModernBertConfig,
    ModernBertForQuestionAnswering,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForQuestionAnswering,
    RobertaTokenizer,
)

from support.charsmaps import TABLE
from support.checkpoints import vocabulary

# What small vocabularies are learnt from.
TEXTS = (
    "Mutations of the BRCA1 gene cause breast cancer and ovarian cancer in women who carry it.",
    "Interferon-γ and TNF-α were raised in naïve patients with malaria; 5 µg/kg lowered the fever.",
    "Insulin is made by beta cells of the pancreas. Vitamin C deficiency causes scurvy.",
    "which gene protein causes disease what treats pain where when many how who of the breast liver heart lowers",
)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
Made = tuple[PreTrainedTokenizerBase, PreTrainedConfig, Any]


def _learnt_bytes(special: list[str]) -> tuple[dict[str, int], list[str]]:
    """Vocabulary and merges of a byte-level BPE tokenizer."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def _roberta() -> Made:
    vocabulary, merges = _learnt_bytes(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer = RobertaTokenizer(vocab=vocabulary, merges=merges)
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, **SIZES
    )
    return tokenizer, config, RobertaForQuestionAnswering


def _distilbert() -> Made:
    words = vocabulary(cased=False)
    tokenizer = DistilBertTokenizer(vocab={word: index for index, word in enumerate(words)})
    config = DistilBertConfig(vocab_size=len(words), dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    return tokenizer, config, DistilBertForQuestionAnswering


def _learnt_pieces(special: list[str], unknown: str, *, lowercase: bool) -> list[tuple[str, float]]:
    """The pieces of a Unigram tokenizer with their scores."""
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    texts = [text.lower() for text in TEXTS] if lowercase else TEXTS
    trainer = trainers.UnigramTrainer(vocab_size=260, special_tokens=special, unk_token=unknown, show_progress=False)
    backend.train_from_iterator([*texts, string.printable.lower() if lowercase else string.printable], trainer)
    return [(piece, score) for piece, score in json.loads(backend.to_str())["model"]["vocab"]]


def _deberta() -> Made:
    pieces = _learnt_pieces(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "[UNK]", lowercase=False)
    tokenizer = DebertaV2Tokenizer(vocab=pieces, unk_id=3)
    config = DebertaV2Config(
        vocab_size=len(tokenizer) + 10,
        max_position_embeddings=512,
        relative_attention=True,
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type="p2c|c2p",
        position_biased_input=False,
        type_vocab_size=0,
        **SIZES,
    )
    return tokenizer, config, DebertaV2ForQuestionAnswering


def _albert() -> Made:
    pieces = _learnt_pieces(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>", lowercase=True)
    tokenizer = AlbertTokenizer(vocab=pieces, _spm_precompiled_charsmap=TABLE)
    config = AlbertConfig(vocab_size=len(tokenizer), embedding_size=16, **SIZES)
    return tokenizer, config, AlbertForQuestionAnswering


def _modernbert() -> Made:
    vocabulary, merges = _learnt_bytes(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_tokens(["   ", "|||EMAIL|||"])
    frame = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=frame
    )
    names = {f"{name.lower()}_token": f"[{name}]" for name in ("UNK", "CLS", "SEP", "PAD", "MASK")}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **names
    )
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        pad_token_id=3,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
        max_position_embeddings=512,
        local_attention=16,
        **SIZES,
    )
    return tokenizer, config, ModernBertForQuestionAnswering


FAMILIES: Mapping[str, Callable[[], Made]] = {
    "roberta": _roberta,
    "distilbert": _distilbert,
    "deberta-v2": _deberta,
    "albert": _albert,
    "modernbert": _modernbert,
}


def make_other_checkpoint(folder: Path, family: str) -> Path:
    """A checkpoint of this family in `folder`; the logits of its random head spread over a few units."""
    tokenizer, config, network = FAMILIES[family]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network(config)
        head = model.classifier if family == "modernbert" else model.qa_outputs
        torch.nn.init.normal_(head.weight, std=1.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def without_weights(whole: Path, folder: Path) -> Path:
    """All but the weights of a checkpoint in another folder, to be changed there."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((whole / name).read_bytes())
    return folder


def change(path: Path, edit: Callable[[Any], object]) -> None:
    """Edits a JSON file."""
    values = json.loads(path.read_text("utf-8"))
    edit(values)
    path.write_text(json.dumps(values), "utf-8")
