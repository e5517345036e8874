"""The commands flows.train and flows.evaluate: arguments, messages, and one run of each through Prefect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from bioqa_pipeline.training.recipe import TrainingConfig, read_recipe
from flows.commands import evaluate as evaluate_cli
from flows.commands import train as train_cli
from support.checkpoints import make_checkpoint
from support.paths import ROOT
from support.squad_files import write_squad

CARD = """--model_name_or_path base --train_file train.json --output_dir out --per_gpu_train_batch_size 18
--per_gpu_eval_batch_size 64 --learning_rate 3e-5 --num_train_epochs 3.0 --max_seq_length 384 --doc_stride 128
--save_steps 2000 --warmup_steps 550 --logging_steps 50 --fp16 --threads 24"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = "insulin is a protein of the pancreas"
    questions = [
        SquadQuestion(str(i), f"what is {w}", (GoldAnswer("protein", 13),) if i % 2 else ())
        for i, w in enumerate(("gene", "insulin", "malaria", "the protein"))
    ]
    path = tmp_path_factory.mktemp("squad") / "s.json"
    write_squad([SquadParagraph("T", context, tuple(questions))], path)
    return path


def parse(command: str) -> TrainingConfig:
    return train_cli.parse_config(train_cli.build_parser().parse_args(command.split()))


def test_defaults_are_those_of_the_model_card() -> None:
    plain = parse("--base-model base --train-file train.json --out out")
    assert plain == TrainingConfig.model_validate(
        {"base_model": "base", "data": [{"path": Path("train.json").absolute()}]}
    )
    card = parse(CARD.replace("3.0", "3"))
    assert card == plain.model_copy(update={"precision": "fp16"})
    windows = plain.windows
    assert (windows.max_seq_length, windows.doc_stride, windows.max_query_length) == (384, 128, 64)
    found = (plain.learning_rate, plain.epochs, plain.train_batch_size, plain.eval_batch_size, plain.warmup_steps)
    assert found == (3e-5, 3, 18, 64, 550)
    rest = (plain.weight_decay, plain.adam_epsilon, plain.max_grad_norm, plain.save_steps, plain.logging_steps)
    assert rest == (0.0, 1e-8, 1.0, 2000, 50)
    assert plain.decay_steps is None
    assert plain.gradient_accumulation_steps == 1


def test_options_replace_a_recipes_settings(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('base_model = "a"\nepochs = 7\nseed = 5\n[[data]]\npath = "d/s.json"\nshare = 0.5\n')
    found = parse(f"--recipe {recipe} --data /data --epochs 2 --doc-stride 64 --out out")
    assert (found.base_model, found.epochs, found.seed, found.windows.doc_stride) == ("a", 2, 5, 64)
    assert found.data[0].path == Path("/data/d/s.json")
    assert found.data[0].share == 0.5
    assert read_recipe(recipe, data_root=Path("/data")).epochs == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs = ", "is not TOML"),
        ('base_model = "a"\ndata = []\n', "data"),
        ('base_model = "a"\nepocs = 3\n[[data]]\npath = "x"\n', "`epocs`: there is no such setting; is epochs meant?"),
        ('base_model = "a"\n[[data]]\npath = "x"\n[[data]]\npath = "x"\n', "stands in the recipe twice"),
    ],
)
def test_a_recipe_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(content)
    with pytest.raises(InputError, match=r"r\.toml") as caught:
        read_recipe(recipe, data_root=tmp_path)
    assert message in str(caught.value)


def test_the_embedded_models_recipe_can_be_read() -> None:
    recipe = read_recipe(ROOT / "data" / "model" / "recipe.toml", data_root=Path("/data"))
    assert recipe.data[0].path == Path("/data/squad2/train-articles.json")
    first = recipe
    while first.base_recipe:
        first = first.base_recipe
    assert first.base_model.startswith("package:")
    assert recipe.distillation and recipe.distillation.teacher_recipe


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--out out", "nothing to train on"),
        ("--out out --train-file absent.json", "give --base-model"),
        ("--out out --train-file absent.json --base-model no/such/folder", "no such folder: no/such/folder"),
        ("--out out --recipe absent.toml", "absent.toml: cannot be read"),
        (
            "--out out --train-file x --base-model y --learning-rate -1",
            "--learning-rate: give more than 0.0, not -1",
        ),
        ("--out out --train-file x --base-model y --doc-stride 500", "--doc-stride 500 leaves gaps"),
    ],
)
def test_wrong_usage_is_said_in_one_line(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_cli.main([*arguments.split(), "--no-prefect"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["flows.train", "flows.evaluate", "flows.calibrate", "flows.serve", "flows.report"])
def test_help_needs_neither_torch_nor_prefect(command: str) -> None:
    code = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{command}', run_name='__main__')\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'transformers', 'prefect', 'polars', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "default" in done.stdout


@pytest.mark.usefixtures("prefect_server")
def test_train_then_evaluate_through_prefect(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = make_checkpoint(tmp_path / "base", layers=1)
    out = tmp_path / "model"
    arguments = ["--train-file", dataset, "--base-model", base, "--out", out, "--calibrate-on", dataset]
    arguments += ["--epochs", "1", "--logging-steps", "1", "--device", "cpu", "--precision", "fp32"]
    assert train_cli.main([str(a) for a in arguments]) == 0
    captured = capsys.readouterr()
    assert "step 1 of 1" in captured.err
    assert "the checkpoint lies in" in captured.out
    threshold = json.loads((out / "bioqa.json").read_text())["score_diff_threshold"]

    arguments = ["--dataset", dataset, "--model", out, "--device", "cpu", "--out", tmp_path / "evaluation"]
    assert evaluate_cli.main([str(a) for a in arguments]) == 0
    table = capsys.readouterr().out
    assert f"threshold  {threshold:g} on" in table
    assert "HasAns_exact" in table
    arguments = ["--dataset", dataset, "--predictions", tmp_path / "evaluation" / "predictions.json"]
    assert evaluate_cli.main([str(a) for a in arguments]) == 0
    scored = capsys.readouterr().out
    exact = [line.split()[1] for line in (table + scored).splitlines() if line.startswith("exact ")]
    assert exact[0] == exact[1]


def test_evaluating_what_is_not_there(dataset: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert evaluate_cli.main(["--dataset", str(tmp_path / "absent.json"), "--no-prefect"]) == 2
    assert "absent.json: cannot be read" in capsys.readouterr().err
    assert evaluate_cli.main(["--dataset", "x", "--na-prob", "y"]) == 2
    assert "--na-prob belongs to --predictions" in capsys.readouterr().err
    assert evaluate_cli.main(["--dataset", str(dataset), "--device", "tpu", "--no-prefect"]) == 2
    assert "--device tpu: " in capsys.readouterr().err
