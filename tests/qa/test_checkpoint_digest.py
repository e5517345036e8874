"""The digest of a checkpoint covers every file that changes a score or how it is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bioqa_pipeline.config import ScoringConfig
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from support.checkpoints import make_checkpoint


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"score_diff_threshold": 0.0}
    return make_checkpoint(
        tmp_path_factory.mktemp("model"), settings=settings, tokenizer_config={"do_lower_case": True}, layers=1
    )


def changed(original: Path, folder: Path, name: str) -> Path:
    shutil.copytree(original, folder)
    path = folder / name
    if name == "bioqa.json":
        path.write_text(json.dumps({"score_diff_threshold": 1.0}), "utf-8")
    elif name == "config.json":
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"layer_norm_eps": 1e-6}), "utf-8")
    elif name == "tokenizer_config.json":
        path.write_text(json.dumps({"do_lower_case": True, "tokenize_chinese_chars": False}), "utf-8")
    elif name == "vocab.txt":
        words = path.read_text("utf-8").splitlines()
        path.write_text("\n".join([*words[:-1], "another"]) + "\n", "utf-8")
    else:
        make_checkpoint(folder.with_name("other"), seed=1, layers=1)
        shutil.copyfile(folder.with_name("other") / name, path)
    return folder


@pytest.mark.parametrize(
    "name", ["bioqa.json", "config.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"]
)
def test_a_change_in_one_file_is_another_checkpoint(original: Path, tmp_path: Path, name: str) -> None:
    one, other = (open_checkpoint(str(folder)) for folder in (original, changed(original, tmp_path / "model", name)))
    assert one.digest != other.digest and one.revision != other.revision
    keys = {ScoringConfig().key(checkpoint_digest=c.digest, precision="fp32", schema_version=1) for c in (one, other)}
    assert len(keys) == 2


def test_a_copy_is_the_same_checkpoint_wherever_it_lies(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "README.md").write_text("not read")
    assert open_checkpoint(str(tmp_path / "elsewhere")).digest == open_checkpoint(str(original)).digest


@pytest.mark.parametrize("settings", [None, {}])
def test_two_checkpoints_that_differ_in_settings_only(tmp_path: Path, settings: dict[str, object] | None) -> None:
    plain = open_checkpoint(str(make_checkpoint(tmp_path / "plain", settings=settings, layers=1)))
    fitted = open_checkpoint(
        str(make_checkpoint(tmp_path / "fitted", settings={"calibration": {"slope": 2.0}}, layers=1))
    )
    assert plain.digest != fitted.digest
