"""Tokenizers of bytes: both layouts of their files, and files that are not what RoBERTa has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import open_checkpoint, read_configuration
from support.other_checkpoints import TEXTS, change, make_other_checkpoint, without_weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_other_checkpoint(tmp_path_factory.mktemp("roberta"), "roberta")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return without_weights(whole, tmp_path)


def split_files(whole: Path, folder: Path) -> None:
    """Puts vocab.json and merges.txt in the place of tokenizer.json."""
    model = json.loads((whole / "tokenizer.json").read_text("utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "tokenizer.json").unlink()


def test_two_files_say_the_same_as_one(whole: Path, folder: Path) -> None:
    split_files(whole, folder)
    (folder / "model.safetensors").symlink_to(whole / "model.safetensors")
    one, two = open_checkpoint(str(whole)), open_checkpoint(str(folder))
    assert one.casing == two.casing == "cased"
    for left, right in zip(one.tokenizer()(TEXTS), two.tokenizer()(TEXTS), strict=True):
        np.testing.assert_array_equal(left.ids, right.ids)
        np.testing.assert_array_equal(left.starts, right.starts)
    before = two.digest
    (folder / "merges.txt").write_text((folder / "merges.txt").read_text("utf-8") + "\n", "utf-8")
    assert open_checkpoint(str(folder)).digest != before


def test_the_first_word_can_be_one_behind_a_space(folder: Path) -> None:
    change(folder / "tokenizer_config.json", lambda v: v.update(add_prefix_space=True))
    rules = read_configuration(folder).tokenizer.rules
    assert rules is not None and rules.add_prefix_space


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (
            "tokenizer.json",
            lambda v: v["model"].update(type="WordPiece"),
            "'WordPiece' tokenizer; RoBERTa models use BPE",
        ),
        ("tokenizer.json", lambda v: v["model"].update(dropout=0.1), "dropout 0.1"),
        ("tokenizer.json", lambda v: v["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix"),
        ("tokenizer.json", lambda v: v["model"].update(merges=[["a", "nothing like it"]]), "is no pair of pieces"),
        ("tokenizer.json", lambda v: v["model"].update(merges=["a"]), "is no pair of pieces"),
        ("tokenizer.json", lambda v: v["model"].update(merges=None), "its model has no merges"),
        ("tokenizer.json", lambda v: v["model"].update(unk_token="what"), "unk_token 'what'"),
        ("tokenizer.json", lambda v: v["model"].update(unk_token={"a": 1}), "unk_token …"),
        ("tokenizer.json", lambda v: v["model"]["vocab"].update(a=10**6), "'a' has id 1000000"),
        ("tokenizer.json", lambda v: v.update(normalizer={"type": "Lowercase"}), "'Lowercase', which no RoBERTa"),
        ("tokenizer.json", lambda v: v.update(pre_tokenizer={"type": "Whitespace"}), "'Whitespace', which no RoBERTa"),
        ("tokenizer.json", lambda v: v.update(pre_tokenizer=None), "does not cut texts at words"),
        ("tokenizer.json", lambda v: v["pre_tokenizer"].update(use_regex=False), "does not cut texts at words"),
        ("tokenizer.json", lambda v: v["added_tokens"].append({"id": 3, "content": ""}), "without a text"),
        ("config.json", lambda v: v.update(pad_token_id=5), "pad_token_id 5, but <pad> has id 1"),
        ("config.json", lambda v: v.update(pad_token_id=None), "pad_token_id None"),
        ("config.json", lambda v: v.update(vocab_size=999), "belong to different models"),
        ("config.json", lambda v: v.update(is_decoder=True), "is_decoder True"),
    ],
)
def test_what_roberta_does_not_have_is_refused(
    folder: Path, name: str, edit: Callable[[Any], object], message: str
) -> None:
    change(folder / name, edit)
    with pytest.raises(CheckpointError) as caught:
        read_configuration(folder)
    assert message in str(caught.value) and name in str(caught.value).replace("vocab_size", name)


def test_a_folder_without_a_vocabulary_and_one_without_merges(whole: Path, folder: Path) -> None:
    split_files(whole, folder)
    (folder / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match=r"merges\.txt is missing"):
        read_configuration(folder)
    (folder / "vocab.json").unlink()
    with pytest.raises(CheckpointError, match=r"neither tokenizer\.json nor vocab\.json"):
        read_configuration(folder)


def test_capitals_cannot_be_taken_from_bytes(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="`casing uncased`: a RoBERTa vocabulary is one of bytes"):
        read_configuration(folder, "uncased")


def test_windows_reach_as_far_as_positions_and_leave_no_gap(whole: Path) -> None:
    checkpoint = open_checkpoint(str(whole))
    assert checkpoint.config.longest_window == 512
    checkpoint.check_windows(WindowConfig(max_seq_length=512))
    with pytest.raises(CheckpointError, match="too few for windows of max_seq_length 513"):
        checkpoint.check_windows(WindowConfig(max_seq_length=513))
    with pytest.raises(CheckpointError, match="doc_stride 31 leaves gaps"):
        checkpoint.check_windows(WindowConfig(max_seq_length=50, doc_stride=31, max_query_length=16))
