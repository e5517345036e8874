"""`python -m flows.train`: arguments into a checked `TrainingConfig`, and the training's outcome into words and a code.

Imports neither torch nor Prefect until there is something to train, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.messages import counted
from bioqa_pipeline.training.recipe import TrainingConfig, check_training_config, read_toml
from flows.commands.options import SettingOptions
from flows.commands.outcome import EXIT_DONE, command_parser, run_command
from flows.commands.train_flags import add_flags, explanations, predict_file, train_files, trains

if TYPE_CHECKING:
    from bioqa_pipeline.config import ScoringConfig
    from bioqa_pipeline.training.job import FineTuned

# By name: the flow's module starts this command, and importing it is importing Prefect.
FLOW = "flows.train:train"

DESCRIPTION = """\
Fine-tune an encoder on SQuAD files into a checkpoint that answers questions and knows when there is no answer.
Give the same command again and a training that was killed goes on from its last state. The command line of
run_squad.py works as it stands."""

EPILOG = """\
exit codes: 0 done; 1 the training failed (the same command goes on from its last state); 2 wrong usage or input

examples:
  python -m flows.train --train-file train-v2.0.json --base-model dmis-lab/biobert-v1.1 --out model
  python -m flows.train --do_train --do_eval --version_2_with_negative --data_dir squad --fp16 --output_dir model \\
    --model_name_or_path monologg/biobert_v1.1_pubmed --per_gpu_train_batch_size 18 --num_train_epochs 3.0
  python -m flows.train --recipe data/model/recipe.toml --data DIR --out model
  torchrun --nproc-per-node 4 -m flows.train --train-file train-v2.0.json --base-model DIR --out model
"""

# The command of the model card has other names for some, and underscores in all.
SETTINGS = SettingOptions(
    TrainingConfig,
    {
        "pieces of text": "windows",
        "training": "base_model learning_rate epochs max_steps max_hours train_batch_size batch_tokens eval_batch_size "
        "gradient_accumulation_steps warmup_steps decay_steps weight_decay adam_epsilon max_grad_norm dropout "
        "average_checkpoints save_steps logging_steps precision seed",
    },
    names={
        "base_model": "--base-model --model_name_or_path",
        "epochs": "--epochs --num_train_epochs",
        "train_batch_size": "--train-batch-size --per_gpu_train_batch_size --per_device_train_batch_size",
        "eval_batch_size": "--eval-batch-size --per_gpu_eval_batch_size --per_device_eval_batch_size",
    },
    others={"out": "--out", "device": "--device", "overwrite": "--overwrite_output_dir"}
    | {"calibrate_on": "--calibrate-on"}
    | {"spans.max_answer_length": "--max_answer_length", "spans.n_best": "--n_best_size"},
    underscores=True,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default, which a recipe's own setting replaces."""
    parser = command_parser("python -m flows.train", DESCRIPTION, EPILOG)
    data = parser.add_argument_group("what to train on, and where to keep it")
    data.add_argument(
        "--recipe", type=Path, metavar="FILE", help="TOML file of settings; options below replace its own"
    )
    data.add_argument(
        "--data",
        "--data-dir",
        "--data_dir",
        type=Path,
        metavar="DIR",
        help="where relative paths of training data start (default: .)",
    )
    data.add_argument(
        "--train-file",
        "--train_file",
        type=Path,
        action="append",
        metavar="FILE",
        help="SQuAD v1.1 or v2.0 JSON, instead of a recipe's data; can be given again",
    )
    data.add_argument(
        "--calibrate-on",
        "--calibrate_on",
        type=Path,
        metavar="FILE",
        help="SQuAD v2.0 JSON, not trained on, that threshold and calibration are fitted on (default: a recipe's "
        "held-out articles; without either the checkpoint gets neither)",
    )
    data.add_argument(
        "--out", "--output_dir", type=Path, required=True, metavar="DIR", help="folder that gets the checkpoint"
    )
    SETTINGS.add_to(parser, partly=True)
    _add_machine(parser.add_argument_group("the machine"))
    add_flags(parser)
    return parser


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu or cuda; several GPUs need torchrun (default: auto)"
    )
    group.add_argument(
        "--fp16", action="store_true", help="same as --precision fp16; on a CPU, which cannot do it, --precision auto"
    )
    group.add_argument("--threads", type=int, metavar="N", help="tokenizer threads (default: one a core)")
    group.add_argument("--no-prefect", action="store_true", help="run the same training without Prefect")
    group.add_argument("--quiet", action="store_true", help="no progress; the result only")


def parse_config(args: argparse.Namespace) -> TrainingConfig:
    """The recipe with the options that were given, as checked settings.

    Raises:
        ConfigError, InputError: something is missing or cannot be used, in words.
    """
    files = train_files(args)
    if not args.recipe and not files:
        raise ConfigError("give --train-file or --recipe: there is nothing to train on")
    content = read_toml(args.recipe) if args.recipe else {}
    given = SETTINGS.values(args)
    if args.fp16:
        given["precision"] = "fp16"
    if str(given.get("max_steps")) in {"-1", "0"}:  # what run_squad.py has for no limit
        del given["max_steps"]
    windows = content.get("windows", {})
    content |= given
    # One that is no table is left to be refused.
    content["windows"] = windows | given.get("windows", {}) if isinstance(windows, dict) else windows
    if files:
        content["data"] = [{"path": path} for path in files]
    if "base_model" not in content:
        raise ConfigError("give `base_model`, a folder or a hub name of an encoder")
    return check_training_config(content, args.recipe or Path("the command line"), data_root=args.data or Path())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    # Under torchrun the first process alone speaks.
    quiet = args.quiet or int(os.environ.get("RANK", "0")) > 0
    if args.threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    return run_command(
        lambda: _train(args, quiet=quiet),
        in_options=SETTINGS.in_options,
        log_level=logging.WARNING if quiet else logging.INFO,
        kept="the same command goes on from the last state",
    )


def _train(args: argparse.Namespace, *, quiet: bool) -> int:
    if args.no_cuda:
        args.device = "cpu"
    is_first = int(os.environ.get("RANK", "0")) == 0
    if is_first:
        for line in explanations(args):
            sys.stderr.write(f"{line}\n")
    if not trains(args):
        return _evaluate(args, _base_model(args), SETTINGS.values(args).get("windows", {}))
    config = parse_config(args)
    if args.do_eval:
        # Before hours of training, not after them.
        _check_questions(predict_file(args))
        _scoring(args, config.windows.model_dump())
    from bioqa_pipeline.qa.devices import resolve_device
    from bioqa_pipeline.training.output import check_out

    if args.fp16 and resolve_device(args.device) == "cpu":
        config = config.changed(precision="auto")
        sys.stderr.write("--fp16 has no effect: no CPU can do it; --precision auto is taken\n")
    check_out(args.out)
    from bioqa_pipeline.training.job import fine_tune

    run: Callable[..., FineTuned] = pkgutil.resolve_name(FLOW) if is_first and not args.no_prefect else fine_tune
    say = None if quiet else _say
    result = run(
        config,
        args.out,
        calibrate_on=args.calibrate_on,
        device=args.device,
        overwrite=args.overwrite_output_dir,
        on_progress=say,
    )
    if is_first:
        _tell(result)
        if args.do_eval:
            return _evaluate(args, str(args.out), config.windows.model_dump())
    return EXIT_DONE


def _check_questions(path: Path) -> None:
    from bioqa_pipeline.evaluation.dataset import read_evaluation_set

    read_evaluation_set(path)


def _tell(result: FineTuned) -> None:
    from bioqa_pipeline.evaluation.table import format_table

    made = result.training
    for reason in (k for k in made.counts if k.startswith(("skipped", "held out"))):
        sys.stderr.write(f"{reason}: {counted(made.counts[reason], 'question')}\n")
    if result.held_out and result.settings:
        sys.stdout.write(format_table(result.held_out))
        sys.stdout.write(f"threshold from now on  {result.settings.score_diff_threshold:g}\n")
    sys.stdout.write(f"{made.epochs:g} epochs, {made.steps:,} steps; the checkpoint lies in {made.folder}\n")


def _base_model(args: argparse.Namespace) -> str:
    name = SETTINGS.values(args).get("base_model")
    if not name:
        raise ConfigError("give `base_model`: --do_eval without --do_train evaluates it")
    return str(name)


def _scoring(args: argparse.Namespace, windows: Mapping[str, Any]) -> ScoringConfig:
    from bioqa_pipeline.config import ScoringConfig

    spans = {"max_answer_length": args.max_answer_length, "n_best": args.n_best_size}
    return ScoringConfig.checked({"windows": windows, "spans": spans})


def _evaluate(args: argparse.Namespace, model: str, windows: Mapping[str, Any]) -> int:
    """--do_eval, as run_squad.py has it: at a threshold that is given, with nothing fitted."""
    from bioqa_pipeline.config import ModelConfig
    from bioqa_pipeline.evaluation.job import evaluate_checkpoint
    from bioqa_pipeline.evaluation.table import format_table

    found = evaluate_checkpoint(
        predict_file(args),
        ModelConfig.checked({"name": model, "device": args.device}),
        threshold=args.null_score_diff_threshold,
        scoring=_scoring(args, windows),
        out=args.out / "evaluation",
    )
    sys.stdout.write(format_table(found))
    sys.stdout.write(f"the evaluation lies in {args.out / 'evaluation'}\n")
    return EXIT_DONE


def _say(progress: Any) -> None:
    sys.stderr.write(
        f"step {progress.step:,} of {progress.n_steps:,}, epoch {progress.epoch:.2f}: "
        f"loss {progress.loss:.4f}, learning rate {progress.learning_rate:.3g}\n"
    )
