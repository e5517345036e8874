"""Model folders of the families beside BERT that somebody broke: one line that names the file, or a whole tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa import network_kinds
from bioqa_pipeline.qa.checkpoint import load_model, open_checkpoint, read_configuration
from bioqa_pipeline.qa.tokenizer import make_tokenizer
from support.other_checkpoints import FAMILIES, TEXTS, change, make_other_checkpoint, without_weights

SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
NO_SIZES = (-1, 0, 1.5, 10**12, 10**400, "six", None, True, [1], {"a": 1})
ODD = (*(-1, 0, 1, 1.5, 10**12, 1e308, "six", "", "▁", "[CLS]", None, True, False), [], [1], {}, {"a": 1}, [["a", 1.0]])


@pytest.fixture(scope="module", params=FAMILIES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_other_checkpoint(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return without_weights(whole, tmp_path)


def refused(folder: Path, open_it: Callable[[Path], object] = read_configuration) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_it(folder)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 900
    return message


def test_sizes_that_are_none(folder: Path) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text("utf-8"))
    fields = network_kinds.FAMILIES[values["model_type"]].model_fields
    for name in (str(fields[size].validation_alias or size) for size in SIZES):
        for wrong in NO_SIZES:
            path.write_text(json.dumps(values | {name: wrong}), "utf-8")
            assert f"config.json: {name} " in refused(folder)
        path.write_text(json.dumps({k: v for k, v in values.items() if k != name}), "utf-8")
        assert f"config.json: {name} is missing" in refused(folder)
    path.write_text(json.dumps(values | {"vocab_size": values["vocab_size"] + 1000}), "utf-8")
    assert "tokenizer and weights belong to different models" in refused(folder)
    heads = str(fields["num_attention_heads"].validation_alias or "num_attention_heads")
    path.write_text(json.dumps(values | {heads: 5}), "utf-8")
    assert "5 does not divide" in refused(folder)


def test_a_folder_without_its_tokenizer(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.name not in ("config.json", "tokenizer_config.json"):
            path.unlink()
    assert "tokenizer.json" in refused(folder)


def test_the_frame_of_a_window_is_text_whatever_the_file_says(folder: Path) -> None:
    change(folder / "tokenizer.json", lambda v: [token.update(special=False) for token in v["added_tokens"]])
    files = read_configuration(folder).tokenizer
    [tokens] = make_tokenizer(files)([f"a {' '.join(files.kind.special_tokens)} b"])
    assert not {files.special.cls, files.special.sep, files.special.pad} & set(tokens.ids.tolist())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda weight: weight.fill_(float("nan")), "holds NaN or infinite"),
        (lambda weight: weight[:1].fill_(float("inf")), "holds NaN or infinite"),
        (lambda weight: weight.set_(torch.zeros(3)), "has shape (3,)"),
        (None, "not found"),
    ],
)
def test_weights_that_are_none(
    whole: Path, tmp_path: Path, spoil: Callable[[torch.Tensor], object] | None, message: str
) -> None:
    """In the head, and in the middle of the encoder."""
    state = load_file(whole / "model.safetensors")
    names = sorted(state)
    for name in (next(n for n in names if n.startswith(("qa_outputs", "classifier"))), names[len(names) // 2]):
        folder = Path(shutil.copytree(whole, tmp_path / name))
        spoilt = {k: v.clone() for k, v in state.items() if spoil or k != name}
        if spoil:
            spoil(spoilt[name])
        save_file(spoilt, folder / "model.safetensors")
        found = refused(folder, lambda folder: load_model(open_checkpoint(str(folder))))
        assert message in found and name in found and "model.safetensors" in found


@st.composite
def places(draw: st.DrawFn, values: Any) -> tuple[Any, int | str]:
    """A value of a JSON tree: what holds it, and its key there."""
    holder, key = None, ""
    while isinstance(values, dict | list) and values and (holder is None or draw(st.integers(0, 3))):
        keys = sorted(values) if isinstance(values, dict) else range(len(values))
        holder, key = values, draw(st.sampled_from(keys))
        values = values[key]
    return holder, key


# Five families take their share of the usual examples.
@settings(max_examples=settings().max_examples // 3)
@given(data=st.data())
def test_a_changed_tokenizer_is_refused_in_words_or_reads_texts(whole: Path, data: st.DataObject) -> None:
    folder = whole.with_name(f"{whole.name}-changed")
    folder.mkdir(exist_ok=True)
    without_weights(whole, folder)

    def edit(values: Any) -> None:
        for _ in range(data.draw(st.integers(1, 3))):
            holder, key = data.draw(places(values))
            if data.draw(st.integers(0, 5)):
                holder[key] = deepcopy(data.draw(st.sampled_from(ODD)))
            else:
                del holder[key]
            if not values:
                return

    change(folder / data.draw(st.sampled_from(("tokenizer.json", "tokenizer_config.json"))), edit)
    try:
        files = read_configuration(folder).tokenizer
    except CheckpointError:
        assert str(folder) in refused(folder)
        return
    special = {files.special.cls, files.special.sep, files.special.pad}
    texts = (*TEXTS, "", "[CLS] </s> ½ 患者")
    for tokens, text in zip(make_tokenizer(files)(texts), texts, strict=True):
        assert not special & set(tokens.ids.tolist())
        assert (tokens.starts <= tokens.ends).all() and (tokens.ends <= len(text)).all()
