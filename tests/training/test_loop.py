"""The loop beside the plain one of run_squad.py, what it reads back from the device, and its end by the clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import MPNetConfig, MPNetForQuestionAnswering

from bioqa_pipeline.errors import TrainingError
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from bioqa_pipeline.qa.checkpoint import Checkpoint, load_model, open_checkpoint
from bioqa_pipeline.training.batches import Plan, WindowsOnDevice
from bioqa_pipeline.training.data import TrainingSet, build_training_set
from bioqa_pipeline.training.loop import Loop
from bioqa_pipeline.training.plan import plan_batches
from bioqa_pipeline.training.processes import Processes
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.teacher import ask_teacher
from bioqa_pipeline.training.trainer import train
from bioqa_pipeline.training.weights import load_for_training
from support.checkpoints import WORDS, make_checkpoint, vocabulary
from support.plain_training import plain_training
from support.squad_files import write_squad


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert") / "m", tokenizer_config={"do_lower_case": True})


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With BERT's vocabulary, and a bias of positions that counts."""
    folder = tmp_path_factory.mktemp("mpnet")
    words = vocabulary(cased=False)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = MPNetConfig(vocab_size=len(words), pad_token_id=0, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = MPNetForQuestionAnswering(config)
        for parameter in (model.mpnet.encoder.relative_attention_bias.weight, model.qa_outputs.weight):
            torch.nn.init.normal_(parameter)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 questions over contexts of 3 to 47 words, every third without an answer."""
    paragraphs = []
    for number in range(20):
        words = [WORDS[(number * 7 + i * i) % len(WORDS)] for i in range(3 + number * 3 % 45)]
        context = " ".join(words)
        answers = (GoldAnswer(words[0], 0),) if number % 3 else ()
        paragraphs.append(SquadParagraph("T", context, (SquadQuestion(str(number), "which gene", answers),)))
    path = tmp_path_factory.mktemp("squad") / "s.json"
    write_squad(paragraphs, path)
    return path


def recipe(base: Path, squad: Path, **changes: object) -> TrainingConfig:
    plain = {
        "base_model": str(base),
        "data": [{"path": squad}],
        "windows": {"max_seq_length": 40, "doc_stride": 16, "max_query_length": 8},
        "train_batch_size": 6,
        "warmup_steps": 3,
        "learning_rate": 2e-3,
        "weight_decay": 0.1,
        "max_grad_norm": 0.7,
        "logging_steps": 1,
        "precision": "fp32",
        "dropout": 0.0,
    }
    return TrainingConfig.model_validate(plain | changes)


def prepared(config: TrainingConfig) -> tuple[Checkpoint, TrainingSet, list[list[int]]]:
    base = open_checkpoint(config.base_model)
    training_set = build_training_set(config, base.tokenizer())
    return base, training_set, plan_batches(training_set, config)


def make_loop(config: TrainingConfig, **options: Any) -> Loop:
    base, training_set, batches = prepared(config)
    windows = WindowsOnDevice(training_set.windows, base.config, device="cpu")
    teaching = None
    if config.distillation:
        everything = range(len(training_set.windows))
        teacher = open_checkpoint(config.distillation.teacher)
        teaching = ask_teacher(config.distillation, teacher, base, training_set.windows, windows, everything)
    model = load_for_training(base, config, device="cpu")
    plan = Plan(windows, batches)
    return Loop(model, base.config, plan, config, precision="fp32", processes=Processes(), teaching=teaching, **options)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("bert", {}),
        ("bert", {"batch_tokens": 320, "gradient_accumulation_steps": 5}),
        ("mpnet", {}),
        ("bert", {"distillation": {"weight": 0.6, "temperature": 2.0}}),
    ],
)
def test_the_losses_of_the_plain_loop(
    family: str, changes: dict[str, Any], squad: Path, request: pytest.FixtureRequest
) -> None:
    teacher = None
    if "distillation" in changes:
        place = str(request.getfixturevalue("mpnet"))
        changes = {"distillation": {**changes["distillation"], "teacher": place}}
        teacher = load_model(open_checkpoint(place))
    config = recipe(request.getfixturevalue(family), squad, **changes)
    loop = make_loop(config)
    loop.run(lambda: None)
    assert loop.history[-1].epoch == config.epochs
    base, training_set, batches = prepared(config)
    assert len({len(w.window) for w in training_set.windows}) > 10
    expected = plain_training(load_model(base), training_set.windows, batches, config, teacher)
    assert [point.loss for point in loop.history] == pytest.approx(expected, rel=2e-3 if teacher else 2e-5)
    assert expected[-1] < 0.95 * expected[0]


def test_windows_are_padded_to_multiples_of_32_within_what_the_network_takes(bert: Path, squad: Path) -> None:
    base, training_set, batches = prepared(recipe(bert, squad, batch_tokens=128))
    for longest, lengths in ((512, {32, 64}), (48, {32, 48})):
        network = base.config.model_copy(update={"max_position_embeddings": longest})
        plan = Plan(WindowsOnDevice(training_set.windows, network, device="cpu"), batches)
        assert {inputs["input_ids"].shape[1] for inputs in plan} == lengths


class ReadBacks(TorchDispatchMode):
    """Counts what waits for the device: numbers that Python asks for, and tensors that are as large as others say."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += str(func).split(".")[1] in {"_local_scalar_dense", "nonzero", "masked_select", "equal"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_nothing_is_read_back_between_logged_points(family: str, squad: Path, request: pytest.FixtureRequest) -> None:
    counts = []
    for steps in (4, 8):
        config = recipe(request.getfixturevalue(family), squad, max_steps=steps, logging_steps=100)
        loop = make_loop(config)
        with ReadBacks() as found:
            loop.run(lambda: None)
        assert loop.step == steps
        counts.append(found.count)
    assert counts[0] == counts[1] > 0


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that stands still between the questions for the time."""
    times = iter(range(1_000_000))
    return lambda: next(times) * seconds


def test_a_training_by_the_clock_ends_decayed(bert: Path, squad: Path, tmp_path: Path) -> None:
    config = recipe(bert, squad, epochs=100, max_hours=0.5)
    loop = make_loop(config, clock=ticking(1800 / 10))
    saved: list[int] = []
    loop.run(lambda: saved.append(loop.step))
    assert loop.step == 10 and saved == [10]
    rates = [point.learning_rate for point in loop.history]
    assert rates[:4] == pytest.approx([0.0, 2e-3 / 3, 4e-3 / 3, 2e-3 * 7 / 10])
    assert rates[3:] == pytest.approx([2e-3 * left / 10 for left in range(7, 0, -1)])

    # Time that was spent before counts.
    late = make_loop(config, clock=ticking(1800 / 10))
    late.go_on(*loop.state())
    assert late.learning_rate == 0.0
    half = make_loop(recipe(bert, squad, epochs=100, max_hours=1), clock=ticking(1800 / 10))
    half.go_on(*loop.state())
    half.run(lambda: None)
    assert (half.step, half.history[10].learning_rate) == (20, pytest.approx(2e-3 / 2))
    assert half.history[:10] == loop.history

    # However short, there is one step and a checkpoint of it.
    result = train(config.changed(max_hours=1e-9), tmp_path / "out", device="cpu")
    assert result.steps == 1
    assert open_checkpoint(str(tmp_path / "out")).casing == "uncased"


def test_what_is_not_finite_is_found_where_it_is_looked_for_and_nothing_is_saved(bert: Path, squad: Path) -> None:
    saved: list[int] = []
    for changes, message in (
        ({"logging_steps": 3}, r"the loss became (nan|inf) between steps 1 and 3; lower the learning rate"),
        ({"logging_steps": 100, "save_steps": 2}, r"the weights became (nan|inf) between steps 1 and 2;"),
    ):
        loop = make_loop(recipe(bert, squad, learning_rate=1e30, warmup_steps=0, **changes))
        with pytest.raises(TrainingError, match=message):
            loop.run(lambda: saved.append(1))
    assert saved == []


def test_saved_states_are_checkpoints(bert: Path, squad: Path, tmp_path: Path) -> None:
    def stop(point: Any) -> None:
        if point.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(bert, squad, save_steps=1, epochs=2), tmp_path, device="cpu", on_progress=stop)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-3", "checkpoint-4"]
    state = tmp_path / "checkpoints" / "checkpoint-4"
    trained = load_model(open_checkpoint(str(state))).state_dict()
    before = load_file(bert / "model.safetensors")
    assert not torch.equal(trained["qa_outputs.weight"], before["qa_outputs.weight"])
