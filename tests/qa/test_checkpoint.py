from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.checkpoint import load_model, open_checkpoint
from support.checkpoints import make_checkpoint, vocabulary


def edit_json(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(content | changes), "utf-8")


def test_a_folder_is_opened_with_its_settings_and_a_digest_of_its_content(tmp_path: Path) -> None:
    settings = {
        "schema_version": 1,
        "score_diff_threshold": -1.5,
        "calibration": {"slope": 0.5, "log_windows": -0.25, "intercept": 1.0},
    }
    folder = make_checkpoint(tmp_path / "m", settings=settings)
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.casing == "uncased"
    assert checkpoint.settings.score_diff_threshold == -1.5
    assert checkpoint.settings.calibration == Calibration(slope=0.5, log_windows=-0.25, intercept=1.0)
    assert checkpoint.revision == checkpoint.digest[:12]
    assert open_checkpoint(str(make_checkpoint(tmp_path / "same", settings=settings))).digest == checkpoint.digest
    assert (
        open_checkpoint(str(make_checkpoint(tmp_path / "other", settings=settings, seed=1))).digest != checkpoint.digest
    )


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
@pytest.mark.parametrize("half", [False, True])
def test_both_weight_formats_load_in_fp32_and_evaluation_mode(tmp_path: Path, weights: str, half: bool) -> None:
    model = load_model(open_checkpoint(str(make_checkpoint(tmp_path, weights=weights, half=half))))
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_safetensors_is_taken_before_bin(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, seed=1)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    assert open_checkpoint(str(tmp_path)).weights.name == "model.safetensors"


def test_layer_norms_named_gamma_and_beta_load_to_the_same_network(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    expected = load_model(open_checkpoint(str(tmp_path))).state_dict()
    path = tmp_path / "model.safetensors"
    old = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for k, v in load_file(path).items()
    }
    old["bert.pooler.dense.weight"] = torch.zeros(32, 32)
    old["bert.embeddings.position_ids"] = torch.arange(512)[None]
    save_file(old, path)
    loaded = load_model(open_checkpoint(str(tmp_path))).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[k], expected[k]) for k in expected)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path, weights="bin")
    torch.save({"x": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="weights-only"):
        load_model(open_checkpoint(str(tmp_path)))
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(CheckpointError, match="weights-only"):
        load_model(open_checkpoint(str(tmp_path)))
    assert not (tmp_path / "exploded").exists()


def without(name: str) -> object:
    def change(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        save_file({k: v for k, v in state.items() if not k.startswith(name)}, folder / "model.safetensors")

    return change


def with_weight(name: str, *shape: int) -> object:
    def change(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        save_file(state | {name: torch.zeros(*shape)}, folder / "model.safetensors")

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "JSON object"),
        (lambda f: edit_json(f / "config.json", model_type="xlm-roberta"), "not a BERT-type encoder"),
        (lambda f: (f / "model.safetensors").unlink(), "neither model.safetensors nor"),
        (lambda f: (f / "vocab.txt").unlink(), "neither tokenizer.json nor vocab.txt"),
        (lambda f: (f / "vocab.txt").write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda f: (f / "vocab.txt").write_text("[PAD]\n[PAD]\n"), "stand there twice"),
        (lambda f: (f / "vocab.txt").write_text("\n".join(vocabulary(cased=False)[5:])), r"lacks \[CLS\]"),
        (lambda f: edit_json(f / "config.json", vocab_size=30522), "vocab_size 30522"),
        (lambda f: edit_json(f / "config.json", vocab_size=10), "belong to different models"),
        (lambda f: (f / "bioqa.json").write_text('{"treshold": 1}'), "treshold"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{"), "not a whole safetensors file"),
        (without("qa_outputs"), "no question-answering head"),
        (without("bert.encoder.layer.1."), "incomplete weights"),
        (with_weight("bert.encoder.layer.7.output.dense.weight", 2, 2), "does not have"),
        (with_weight("qa_outputs.weight", 3, 32), r"shape \(3, 32\)"),
    ],
)
def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path, damage: object, message: str) -> None:
    make_checkpoint(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        load_model(open_checkpoint(str(tmp_path)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [("./no/such/folder", "no such folder"), ("bad name!", "not a hub name"), (__file__, "is a file")],
)
def test_a_name_that_leads_nowhere_is_a_clear_error(spec: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(spec)


@pytest.mark.parametrize("cased", [True, False])
def test_without_a_tokenizer_config_the_vocabulary_decides_the_casing(tmp_path: Path, cased: bool) -> None:
    checkpoint = open_checkpoint(str(make_checkpoint(tmp_path, cased=cased)))
    assert checkpoint.casing == ("cased" if cased else "uncased")
    text = "The Gene BRCA"
    [tokens] = checkpoint.tokenizer()([text])
    words = vocabulary(cased=cased)
    assert [words[i] for i in tokens.ids][:2] == (["The", "Gene"] if cased else ["the", "gene"])


def test_a_cased_vocabulary_that_is_lowercased_as_the_checkpoint_says_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = str(make_checkpoint(tmp_path, cased=True, tokenizer_config={"do_lower_case": True}))
    with caplog.at_level(logging.WARNING):
        assert open_checkpoint(folder).casing == "uncased"
    assert "vocabulary is cased" in caplog.text
    assert open_checkpoint(folder, casing="cased").casing == "cased"
    assert open_checkpoint(folder, casing="cased").digest != open_checkpoint(folder).digest


def test_capitals_kept_over_an_uncased_vocabulary_are_refused(tmp_path: Path) -> None:
    folder = str(make_checkpoint(tmp_path, tokenizer_config={"do_lower_case": False}))
    with pytest.raises(CheckpointError, match=r"\[UNK\]"):
        open_checkpoint(folder)
    assert open_checkpoint(folder, casing="uncased").casing == "uncased"


def test_a_tokenizer_json_alone_gives_the_same_ids_as_the_vocabulary(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    make_checkpoint(tmp_path, cased=True, tokenizer_config={"do_lower_case": False})
    text = "The gene causes Cancer; vitamin C treats scurvy."
    [expected] = open_checkpoint(str(tmp_path)).tokenizer()([text])
    BertTokenizer(vocab=str(tmp_path / "vocab.txt"), do_lower_case=False).save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    (tmp_path / "vocab.txt").unlink()
    checkpoint = open_checkpoint(str(tmp_path))
    [tokens] = checkpoint.tokenizer()([text])
    assert checkpoint.casing == "cased"
    assert tokens.ids.tolist() == expected.ids.tolist()
    assert tokens.starts.tolist() == expected.starts.tolist()


def test_loading_a_model_leaves_the_random_state_alone(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(make_checkpoint(tmp_path)))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_model(checkpoint)
    assert torch.equal(torch.rand(3), expected)
