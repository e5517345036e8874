"""Fine-tuning of tiny random models on the CPU, a few steps each."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bioqa_pipeline.errors import TrainingError
from bioqa_pipeline.qa.checkpoint import load_model, open_checkpoint
from bioqa_pipeline.training import trainer
from bioqa_pipeline.training.loop import LoggedPoint
from bioqa_pipeline.training.losses import span_loss
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.states import last_state
from bioqa_pipeline.training.trainer import train
from bioqa_pipeline.training.weights import ORIGINS, goes_on
from support.checkpoints import make_checkpoint
from support.paths import ROOT, TESTS
from support.squad_files import about_genes


class Killed(BaseException):
    """Stands for the end of the process: nothing in the training catches it."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base"), layers=1, tokenizer_config={"do_lower_case": True})


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return about_genes(tmp_path_factory.mktemp("squad") / "train.json", 48)


def settings(base: Path, squad: Path, **changes: object) -> TrainingConfig:
    plain = {
        "base_model": str(base),
        "data": [{"path": squad}],
        "epochs": 2,
        "train_batch_size": 8,
        "warmup_steps": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_steps": 4,
        "precision": "fp32",
    }
    return TrainingConfig.model_validate(plain | changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def killer(at_step: int) -> Callable[[LoggedPoint], None]:
    def on_progress(progress: LoggedPoint) -> None:
        if progress.step == at_step:
            raise Killed

    return on_progress


def test_learns_and_writes_a_checkpoint_that_loads(base: Path, squad: Path, tmp_path: Path) -> None:
    config = settings(base, squad, epochs=12, learning_rate=5e-3, batch_tokens=352, save_steps=50, dropout=0.0)
    points: list[LoggedPoint] = []
    result = train(config, tmp_path / "out", device="cpu", on_progress=points.append)
    losses = [p.loss for p in result.history]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert tuple(points) == result.history
    assert points[-1].step == points[-1].n_steps == result.steps
    assert points[-1].epoch == pytest.approx(12)
    assert result.counts["answerable"] == 12 * 32
    checkpoint = open_checkpoint(str(tmp_path / "out"))
    assert checkpoint.casing == "uncased"
    assert load_model(checkpoint).config.hidden_dropout_prob == 0.0
    assert {v.dtype for v in weights(tmp_path / "out").values()} == {torch.float16}
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["do_lower_case"] is True


def test_a_killed_training_goes_on_to_the_same_weights(base: Path, squad: Path, tmp_path: Path) -> None:
    config = settings(base, squad, batch_tokens=120, average_checkpoints=2)
    whole = train(config, tmp_path / "whole", device="cpu")
    with pytest.raises(Killed):
        train(config, tmp_path / "killed", device="cpu", on_progress=killer(7))
    # The second kill strikes while a state is being written.
    half = tmp_path / "killed" / "checkpoints" / ".unfinished"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    resumed = train(config, tmp_path / "killed", device="cpu")
    assert (whole.resumed_from, resumed.resumed_from) == (0, 4)
    assert resumed.history == whole.history
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_another_training_in_the_same_folder_is_refused(base: Path, squad: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out", tmp_path / "train.json"
    data.write_bytes(squad.read_bytes())
    with pytest.raises(Killed):
        train(settings(base, data), out, device="cpu", on_progress=killer(5))
    with pytest.raises(TrainingError, match=r"other settings \(learning_rate\)"):
        train(settings(base, data, learning_rate=1e-4), out, device="cpu")
    assert goes_on(settings(base, data), out)
    data.write_bytes(squad.read_bytes().replace(b"which gene", b"what gene"))
    with pytest.raises(TrainingError, match=r"other settings \(another content of the data\)"):
        train(settings(base, data), out, device="cpu")
    assert not goes_on(settings(base, data), out)
    found = last_state(out / "checkpoints")
    assert found is not None
    assert found.name == "checkpoint-4"
    # An earlier version did not keep what a training started from.
    kept = json.loads((out / "training.json").read_text())
    (out / "training.json").write_text(json.dumps({k: v for k, v in kept.items() if k not in ORIGINS}))
    assert train(settings(base, data), out, device="cpu").resumed_from == 4


def test_a_constant_phase_can_be_ended_later(base: Path, squad: Path, tmp_path: Path) -> None:
    short = settings(base, squad, decay_steps=2, max_steps=6)
    whole = train(short, tmp_path / "whole", device="cpu")
    with pytest.raises(Killed):
        train(settings(base, squad, decay_steps=2), tmp_path / "cut", device="cpu", on_progress=killer(4))
    train(short, tmp_path / "cut", device="cpu")
    assert whole.steps == 6 and whole.epochs == 1 == whole.history[-1].epoch
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_a_training_is_not_ended_before_its_learning_rate_has_fallen(
    base: Path, squad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = settings(base, squad, max_hours=1.0), tmp_path / "out"
    with pytest.raises(Killed):
        train(config, out, device="cpu", on_progress=killer(5))
    for name, most in (("max_steps", 4), ("max_steps", 2), ("max_hours", 1e-9)):
        with pytest.raises(TrainingError, match=rf"`{name} {most}`: .*checkpoint-4 .* learning rate has fallen; give"):
            train(config.changed(**{name: most}), out, device="cpu")
    # One that is killed behind its last step has its result to write, and no more.
    ended = config.changed(max_steps=6)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "plain_state", lambda model: killer(6)(LoggedPoint(6, 6, 1.0, 0.0, 0.0)))
        with pytest.raises(Killed):
            train(ended, out, device="cpu")
    assert train(ended, out, device="cpu").resumed_from == 6


def by_torchrun(arguments: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "said-0").open("w") as said:
        command += ["-m", "flows.train", *arguments]
        subprocess.run(command, env=environment, stderr=said, timeout=240, cwd=ROOT, check=True)


def by_forks(arguments: list[str], folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{TESTS}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "support.two_ranks", str(folder), *arguments]
    subprocess.run(command, env=environment, timeout=240, cwd=ROOT, check=True)


@pytest.mark.parametrize("launch", [by_forks, pytest.param(by_torchrun, marks=pytest.mark.slow)])
def test_two_processes_do_what_one_does_that_accumulates_two_batches(
    base: Path, squad: Path, tmp_path: Path, launch: Callable[[list[str], Path], None]
) -> None:
    """To the bit, in fp32: both add the gradients of the same two batches and halve them, which rounds nothing."""
    shared = settings(base, squad, dropout=0.0, train_batch_size=4, gradient_accumulation_steps=2, epochs=1)
    one = train(shared, tmp_path / "one", device="cpu")
    command = ["--no-prefect", "--train-file", squad, "--base-model", base, "--out", tmp_path / "two"]
    command += ["--device", "cpu", "--epochs", "1", "--per_gpu_train_batch_size", "4", "--warmup_steps", "2"]
    command += ["--learning_rate", "1e-3", "--logging_steps", "1", "--dropout", "0", "--precision", "fp32"]
    launch([*map(str, command)], tmp_path)
    history = json.loads((tmp_path / "two" / "training_log.json").read_text())["history"]
    assert [point["loss"] for point in history] == [p.loss for p in one.history]
    assert len(history) == 6 and "".join(p.read_text() for p in tmp_path.glob("said-*")).count(": loss ") == 6
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_a_loss_that_is_not_finite_ends_the_training(base: Path, squad: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"loss became (nan|inf) at step \d+; lower the learning rate"):
        train(settings(base, squad, learning_rate=1e30, warmup_steps=0), tmp_path, device="cpu")


def test_a_full_disk_is_said_and_the_training_goes_on_later(base: Path, squad: Path, tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = settings(base, squad, save_steps=2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limit[1]))
    try:
        with pytest.raises(TrainingError, match=r"out could not be written .* free some space"):
            train(config, tmp_path / "out", device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert train(config, tmp_path / "out", device="cpu").steps == 12


def test_padding_has_no_part_in_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 6, generator=generator), torch.randn(2, 6, generator=generator)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    starts, ends = torch.tensor([2, 0]), torch.tensor([3, 0])
    by_hand = 0.0
    for row, length in ((0, 6), (1, 4)):
        for logits, target in ((start, starts), (end, ends)):
            real = logits[row, :length]
            by_hand += float(torch.logsumexp(real, 0) - real[target[row]]) / 4
    assert float(span_loss(start, end, mask, starts, ends)) == pytest.approx(by_hand, rel=1e-6)
    wider = [torch.nn.functional.pad(x, (0, 3), value=9.0) for x in (start, end)]
    padded = span_loss(*wider, torch.nn.functional.pad(mask, (0, 3)), starts, ends)
    assert math.isclose(float(padded), by_hand, rel_tol=1e-6)
