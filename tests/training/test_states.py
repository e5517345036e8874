"""Which saved states a training goes on from, and in which order it sees its windows."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bioqa_pipeline.records.scores import Window
from bioqa_pipeline.training.data import LabelledWindow, TrainingSet
from bioqa_pipeline.training.plan import plan_batches
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.states import DIGESTS_FILE, PARTS, last_state


def save(folder: Path, step: int, *, without: str = "") -> Path:
    state = folder / f"checkpoint-{step}"
    state.mkdir(parents=True)
    for name in PARTS:
        (state / name).write_text(f"{{}} {step}")
    digests = {name: sha256((state / name).read_bytes()).hexdigest() for name in PARTS}
    (state / DIGESTS_FILE).write_text(json.dumps(digests))
    (state / without).unlink() if without else None
    return state


@pytest.mark.parametrize("missing", [*PARTS, DIGESTS_FILE])
def test_half_a_state_does_not_count(tmp_path: Path, missing: str) -> None:
    whole = save(tmp_path, 9)
    save(tmp_path, 10, without=missing)
    assert last_state(tmp_path) == whole


@pytest.mark.parametrize("damaged", [*PARTS, DIGESTS_FILE])
def test_a_damaged_state_is_told_of_and_does_not_count(
    tmp_path: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole, newest = save(tmp_path, 9), save(tmp_path, 10)
    content = bytearray((newest / damaged).read_bytes())
    content[-1] ^= 1
    (newest / damaged).write_bytes(content)
    assert last_state(tmp_path) == whole
    assert "checkpoint-10 is damaged and does not count; the state before it is taken up" in caplog.text


def test_a_state_that_was_being_written_does_not_count(tmp_path: Path) -> None:
    save(tmp_path, 10).rename(tmp_path / ".unfinished")
    assert last_state(tmp_path) is None
    assert last_state(tmp_path / "nowhere") is None


def test_a_state_of_an_earlier_version_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 10, without="optimizer.safetensors")
    assert last_state(tmp_path) is None
    assert "of an earlier version; the training begins anew" in caplog.text


def test_the_newest_state_is_that_of_the_highest_step(tmp_path: Path) -> None:
    states = [save(tmp_path, step) for step in (100, 9, 20)]
    assert last_state(tmp_path) == states[0]


@pytest.mark.parametrize("budget", [{"train_batch_size": 3}, {"batch_tokens": 40}])
def test_each_epoch_has_an_order_of_its_own(budget: dict[str, int]) -> None:
    lengths = [8 + i % 5 for i in range(40)]
    windows = tuple(LabelledWindow(Window(0, 1, 0, 1, 0, 1, 2, np.zeros(n, dtype=np.int32)), 0, 0) for n in lengths)
    epochs = tuple(tuple(range(len(windows))) for _ in range(3))
    settings = {"base_model": "x", "data": [{"path": "x"}], "epochs": 3, "seed": 1, **budget}
    batches = plan_batches(TrainingSet(windows, epochs, {}), TrainingConfig.model_validate(settings))
    seen = [index for batch in batches for index in batch]
    orders = [seen[i : i + len(windows)] for i in range(0, len(seen), len(windows))]
    assert [sorted(order) for order in orders] == [list(range(len(windows)))] * 3
    assert all(one != other for one, other in pairwise([*orders, orders[0]]))
    other_seed = TrainingConfig.model_validate(settings | {"seed": 2})
    assert plan_batches(TrainingSet(windows, epochs, {}), other_seed) != batches
