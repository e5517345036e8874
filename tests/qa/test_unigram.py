"""Tokenizers of pieces: what their files may say, and what no text may become."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import read_configuration
from bioqa_pipeline.qa.tokenizer import make_tokenizer
from support.charsmaps import TABLE
from support.other_checkpoints import change, make_other_checkpoint, without_weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_other_checkpoint(tmp_path_factory.mktemp("deberta"), "deberta-v2")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return without_weights(whole, tmp_path)


def normalizer(**rule: object) -> Callable[[Any], object]:
    return lambda values: values.update(normalizer=rule)


def pre_tokenizer(**rule: object) -> Callable[[Any], object]:
    return lambda values: values.update(pre_tokenizer=rule)


def text_of(folder: Path, text: str) -> str:
    """The pieces of a text, joined."""
    files = read_configuration(folder).tokenizer
    names = {number: token for token, number in files.vocabulary.items()}
    [tokens] = make_tokenizer(files)([text])
    return "".join(names[number] for number in tokens.ids.tolist())


def test_special_tokens_spelt_out_are_text(folder: Path) -> None:
    files = read_configuration(folder).tokenizer
    special = {files.vocabulary[name] for name in ("[CLS]", "[SEP]", "[PAD]", "[MASK]")}
    [tokens] = make_tokenizer(files)(["a [CLS] b[SEP] [PAD] [MASK] c"])
    assert not special & set(tokens.ids.tolist()) and len(tokens) > 12


def test_a_table_of_characters_is_used_and_offsets_are_those_of_the_text(folder: Path) -> None:
    encoded = base64.b64encode(TABLE).decode()
    change(folder / "tokenizer.json", normalizer(type="Precompiled", precompiled_charsmap=encoded))
    assert text_of(folder, "½ ﬁ") == "▁1/2▁fi"
    [tokens] = make_tokenizer(read_configuration(folder).tokenizer)(["½ ﬁ"])
    assert (tokens.starts[0], tokens.ends[-1]) == (0, 3) and set(tokens.ends.tolist()) <= {0, 1, 2, 3}


def test_lowercasing_is_what_the_files_or_the_user_say(folder: Path) -> None:
    assert text_of(folder, "The Gene") == "▁The▁Gene"
    files = read_configuration(folder, "uncased").tokenizer
    names = {number: token for token, number in files.vocabulary.items()}
    [tokens] = make_tokenizer(files)(["The Gene"])
    assert "".join(names[n] for n in tokens.ids.tolist()) == "▁the▁gene"
    change(folder / "tokenizer_config.json", lambda v: v.update(do_lower_case=True))
    assert read_configuration(folder).tokenizer.casing == "uncased"


def test_a_vocabulary_without_capitals_needs_lowercasing(folder: Path) -> None:
    def lower(values: Any) -> None:
        for piece in values["model"]["vocab"]:
            if "[" not in piece[0]:
                piece[0] = "".join("¤" + c.lower() if c.isupper() else c for c in piece[0])

    change(folder / "tokenizer.json", lower)
    with pytest.raises(CheckpointError, match="the vocabulary has none"):
        read_configuration(folder)
    assert read_configuration(folder, "uncased").tokenizer.casing == "uncased"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v["model"].update(type="BPE"), "'BPE' tokenizer; DeBERTa models use Unigram"),
        (lambda v: v["model"].update(byte_fallback=True), "byte_fallback is set"),
        (lambda v: v["model"].update(unk_id=10**6), "unk_id 1000000"),
        (lambda v: v["model"].update(unk_id=None), "unk_id None"),
        (lambda v: v["model"]["vocab"].append(["x", "y"]), "is no piece with its score"),
        (lambda v: v["model"]["vocab"].append(["x", 1e300]), "is no piece with its score"),
        (lambda v: v["model"]["vocab"].append(v["model"]["vocab"][9]), "stand there twice"),
        (lambda v: v["model"].update(vocab={}), "its model has no vocab"),
        (normalizer(type="Replace", pattern={"Regex": "(a+)+$"}, content=""), "is set as in no tokenizer"),
        (normalizer(type="Replace", pattern={"String": "a"}, content="b" * 99), "is set as in no tokenizer"),
        (normalizer(type="Prepend", prepend="x"), "'Prepend', which no DeBERTa"),
        (normalizer(type="Precompiled", precompiled_charsmap="?"), "is not base64"),
        (normalizer(type="Precompiled", precompiled_charsmap="AAAA"), "is no table of characters"),
        (pre_tokenizer(type="Metaspace", replacement="_"), "is set as in no tokenizer"),
        (pre_tokenizer(type="WhitespaceSplit"), "does not cut texts as DeBERTa does"),
        (pre_tokenizer(type="Split", pattern={"Regex": "x"}), "'Split', which no DeBERTa"),
    ],
)
def test_what_such_tokenizers_do_not_have_is_refused(folder: Path, edit: Callable[[Any], object], message: str) -> None:
    change(folder / "tokenizer.json", edit)
    with pytest.raises(CheckpointError) as caught:
        read_configuration(folder)
    assert message in str(caught.value) and "tokenizer.json" in str(caught.value)


def test_sentencepieces_own_file_alone_is_refused_with_the_way_out(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "spm.model")
    with pytest.raises(CheckpointError, match=r"holds no tokenizer\.json; .*save_pretrained"):
        read_configuration(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_kernel_size": 3}, "conv_kernel_size 3"),
        ({"pos_att_type": "c2p|evil"}, "pos_att_type"),
        ({"norm_rel_ebd": "batch"}, "norm_rel_ebd 'batch'"),
        ({"max_position_embeddings": 10**9}, "max_position_embeddings 1000000000"),
    ],
)
def test_a_network_that_is_none_of_debertas_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    change(folder / "config.json", lambda v: v.update(changes))
    with pytest.raises(CheckpointError) as caught:
        read_configuration(folder)
    assert message in str(caught.value)
