"""The commands flows.train and flows.evaluate: arguments, messages, and one run of each through Prefect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from bioqa_pipeline.training.recipe import TrainingConfig, read_recipe
from flows.commands import evaluate as evaluate_cli
from flows.commands import train as train_cli
from flows.commands.train_flags import explanations, predict_file, train_files
from support.checkpoints import make_checkpoint
from support.paths import ROOT
from support.squad_files import write_squad

CARD = """--model_name_or_path base --train_file train.json --output_dir out --per_gpu_train_batch_size 18
--per_gpu_eval_batch_size 64 --learning_rate 3e-5 --num_train_epochs 3.0 --max_seq_length 384 --doc_stride 128
--save_steps 2000 --warmup_steps 550 --logging_steps 50 --fp16 --threads 24"""


# As the model card of ktrapeznikov/biobert_v1.1_pubmed_squad_v2 has it.
SEED = """--version_2_with_negative --model_type albert --model_name_or_path $BASE_MODEL --output_dir $OUTPUT_MODEL
--do_eval --do_lower_case --train_file $SQUAD_DIR/train-v2.0.json --predict_file $SQUAD_DIR/dev-v2.0.json
--per_gpu_train_batch_size 18 --per_gpu_eval_batch_size 64 --learning_rate 3e-5 --num_train_epochs 3.0
--max_seq_length 384 --doc_stride 128 --save_steps 2000 --threads 24 --warmup_steps 550 --gradient_accumulation_steps 1
--fp16 --logging_steps 50 --do_train"""
# What run_squad.py takes besides.
OTHERS = """--data_dir D --weight_decay 0.0 --adam_epsilon 1e-8 --max_grad_norm 1.0 --max_steps -1 --seed 42 --no_cuda
--local_rank -1 --n_best_size 20 --max_answer_length 30 --null_score_diff_threshold 0.0 --max_query_length 64
--overwrite_output_dir --overwrite_cache --config_name c --tokenizer_name t --cache_dir d --verbose_logging --lang_id 0
--fp16_opt_level O1 --evaluate_during_training --eval_all_checkpoints --server_ip 1.2.3.4 --server_port 1"""


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


def test_the_seeds_command_line_as_it_stands(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    before = os.umask(0o027)
    squad, out = tmp_path / "squad", tmp_path / "model"
    squad.mkdir()
    for name in ("train-v2.0.json", "dev-v2.0.json"):
        (squad / name).write_bytes(dataset.read_bytes())
    base = make_checkpoint(tmp_path / "base", layers=1)
    command = SEED.replace("$BASE_MODEL", str(base)).replace("$OUTPUT_MODEL", str(out))
    arguments = [*command.replace("$SQUAD_DIR", str(squad)).split(), "--no_cuda", "--no-prefect"]
    try:
        assert train_cli.main(arguments) == 0
    finally:
        os.umask(before)
    said = capsys.readouterr()
    assert [line for line in said.err.splitlines() if line.startswith("--")] == [
        "--model_type albert has no effect: the base model's own config.json says what it is, and that is trained",
        "--do_lower_case has no effect: the base model's tokenizer decides, and is checked against its vocabulary",
        "--fp16 has no effect: no CPU can do it; --precision auto is taken",
    ]
    assert "3 epochs, 3 steps; the checkpoint lies in" in said.out and "NoAns_exact" in said.out
    assert "{'" not in said.out + said.err  # no dict of the Trainer's own
    kept = json.loads((out / "training.json").read_text())
    assert (kept["epochs"], kept["learning_rate"], kept["warmup_steps"], kept["train_batch_size"]) == (3, 3e-5, 550, 18)
    # Nothing was fitted on the file to predict.
    found = json.loads((out / "bioqa.json").read_text())
    assert (found["score_diff_threshold"], found["calibration"]) == (0, None)
    assert found["note"].startswith("uncalibrated, no threshold fitted")
    assert (out / "evaluation" / "null_odds.json").exists()
    for name in ("model.safetensors", "config.json", "README.md", "learning_curve.html"):
        assert (out / name).stat().st_mode & 0o777 == 0o640, name
    card = (out / "README.md").read_text()
    weights = sha256((base / "model.safetensors").read_bytes()).hexdigest()
    assert "| epochs | 3 |" in card and f"| model.safetensors | `{weights}` |" in card
    assert kept["base"]["sha256"]["model.safetensors"] == weights and f"`{kept['base']['revision']}`" in card

    stamp = (out / "model.safetensors").stat().st_mtime_ns
    assert train_cli.main(arguments) == 1
    assert "holds a finished training; give --overwrite_output_dir to train anew" in capsys.readouterr().err
    evaluate_alone = [a for a in arguments if a != "--do_train"] + ["--null_score_diff_threshold", "-100"]
    assert train_cli.main(evaluate_alone) == 0
    assert "threshold  -100 on" in capsys.readouterr().out
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp
    (out / "README.md").write_text("My own words.")
    train_alone = [a for a in arguments if a != "--do_eval"]
    assert train_cli.main([*train_alone, "--overwrite_output_dir", "--logging_steps", "1"]) == 0
    said = capsys.readouterr()
    assert (out / "model.safetensors").stat().st_mtime_ns != stamp
    assert (out / "README.md").read_text() == "My own words."
    losses = [line for line in said.err.splitlines() if ": loss " in line]
    assert len(losses) == 3 and losses[-1].startswith("step 3 of 3, epoch 3.00: loss ")
    assert (out / "learning_curve.html").read_text().count("<polyline") == 2


def test_every_flag_of_run_squad_is_honoured_or_explained() -> None:
    args = train_cli.build_parser().parse_args([*SEED.split(), *OTHERS.split()])
    explained = list(explanations(args))
    assert all("\n" not in line for line in explained)
    # Nothing in a training stands for these; a rank of -1 and the language 0 are run_squad's way to say nothing.
    without = (
        "--model_type --do_lower_case --config_name --tokenizer_name --cache_dir --overwrite_cache --verbose_logging "
        "--fp16_opt_level --server_ip --server_port --evaluate_during_training --eval_all_checkpoints"
    )
    assert [line.split()[0] for line in explained] == without.split()
    assert [*explanations(train_cli.build_parser().parse_args(["--out", "x", "--predict_file", "dev.json"]))] == [
        "--predict_file dev.json is not evaluated on without --do_eval"
    ]
    config = train_cli.parse_config(args)
    assert config.max_steps is None and config.precision == "fp16" and config.epochs == 3


def test_a_data_folder_has_the_usual_files() -> None:
    parser = train_cli.build_parser()
    both = parser.parse_args("--data_dir squad --version_2_with_negative --do_eval --do_train --output_dir o".split())
    assert train_files(both) == [Path("squad/train-v2.0.json").absolute()]
    assert predict_file(both) == Path("squad/dev-v2.0.json").absolute()
    assert train_files(parser.parse_args("--data_dir . --out o".split())) == [Path("train-v1.1.json").absolute()]
    named = parser.parse_args("--data_dir squad --train_file t.json --predict_file /d.json --output_dir o".split())
    assert (train_files(named), predict_file(named)) == ([Path("squad/t.json").absolute()], Path("/d.json"))


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
        ("--out out --train-file x --base-model y --learning-rate inf", "--learning-rate: give a finite number"),
        ("--out out --train-file x --base-model y --seed 99999999999999999999", "--seed: give less than"),
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


def test_what_would_fail_after_the_training_is_said_before_it(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--train-file", str(dataset), "--base-model", "no/such", "--out", str(tmp_path / "out")]
    content = json.loads(dataset.read_text())
    content["data"][0]["paragraphs"][0]["qas"] = [q for q in content["data"][0]["paragraphs"][0]["qas"] if q["answers"]]
    (tmp_path / "one-kind.json").write_text(json.dumps(content))
    for given, message in (
        (["--calibrate-on", str(tmp_path / "one-kind.json")], "fitted on are answerable; keep some of either kind"),
        (["--do_train", "--do_eval", "--predict_file", str(dataset), "--n_best_size=0"], "--n_best_size: give"),
        (["--do_train", "--do_eval", "--predict_file", str(tmp_path / "absent.json")], "absent.json: cannot be read"),
    ):
        assert train_cli.main([*arguments, *given, "--no-prefect"]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train_cli.main([*arguments, "--null_score_diff_threshold=nan"])
    assert "give a finite number, not 'nan'" in capsys.readouterr().err


def test_evaluating_what_is_not_there(dataset: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert evaluate_cli.main(["--dataset", str(tmp_path / "absent.json"), "--no-prefect"]) == 2
    assert "absent.json: cannot be read" in capsys.readouterr().err
    assert evaluate_cli.main(["--dataset", "x", "--na-prob", "y"]) == 2
    assert "--na-prob belongs to --predictions" in capsys.readouterr().err
    assert evaluate_cli.main(["--dataset", str(dataset), "--device", "tpu", "--no-prefect"]) == 2
    assert "--device tpu: " in capsys.readouterr().err
