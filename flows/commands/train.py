"""`python -m flows.train`: arguments into a checked `TrainingConfig`, and the training's outcome into words and a code.

Imports neither torch nor Prefect until there is something to train, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.training.recipe import TrainingConfig, check_training_config, read_toml
from flows.commands.options import SettingOptions
from flows.commands.outcome import EXIT_DONE, command_parser, run_command

if TYPE_CHECKING:
    from bioqa_pipeline.training.job import FineTuned

# By name: the flow's module starts this command, and importing it is importing Prefect.
FLOW = "flows.train:train"

DESCRIPTION = """\
Fine-tune a BERT encoder on SQuAD files into a checkpoint that answers questions and knows when there is no answer.
Give the same command again and a training that was killed goes on from its last state."""

EPILOG = """\
exit codes: 0 done; 1 the training failed (the same command goes on from its last state); 2 wrong usage or input

examples:
  python -m flows.train --train-file train-v2.0.json --base-model dmis-lab/biobert-v1.1 --out model
  python -m flows.train --recipe data/model/recipe.toml --data DIR --out model
  torchrun --nproc-per-node 4 -m flows.train --train-file train-v2.0.json --base-model DIR --out model
"""

# The command of the model card has other names for some, and underscores in all.
SETTINGS = SettingOptions(
    TrainingConfig,
    {
        "windows": "windows",
        "training": "base_model learning_rate epochs max_steps train_batch_size batch_tokens eval_batch_size "
        "gradient_accumulation_steps warmup_steps decay_steps weight_decay adam_epsilon max_grad_norm dropout "
        "average_checkpoints save_steps logging_steps precision seed",
    },
    names={
        "base_model": "--base-model --model_name_or_path",
        "epochs": "--epochs --num_train_epochs",
        "train_batch_size": "--train-batch-size --per_gpu_train_batch_size --per_device_train_batch_size",
        "eval_batch_size": "--eval-batch-size --per_gpu_eval_batch_size --per_device_eval_batch_size",
    },
    others={"out": "--out", "device": "--device"},
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
        "--data", type=Path, default=Path(), metavar="DIR", help="where a recipe's relative paths start (default: .)"
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
        "--predict_file",
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
    return parser


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu or cuda; several GPUs need torchrun (default: auto)"
    )
    group.add_argument(
        "--fp16",
        dest="precision",
        action="store_const",
        const="fp16",
        default=argparse.SUPPRESS,
        help="same as --precision fp16",
    )
    group.add_argument("--threads", type=int, metavar="N", help="tokenizer threads (default: one a core)")
    group.add_argument("--no-prefect", action="store_true", help="run the same training without Prefect")
    group.add_argument("--quiet", action="store_true", help="no progress; the result only")


def parse_config(args: argparse.Namespace) -> TrainingConfig:
    """The recipe with the options that were given, as checked settings.

    Raises:
        ConfigError, InputError: something is missing or cannot be used, in words.
    """
    if not args.recipe and not args.train_file:
        raise ConfigError("give --train-file or --recipe: there is nothing to train on")
    content = read_toml(args.recipe) if args.recipe else {}
    given = SETTINGS.values(args)
    windows = content.get("windows", {})
    content |= given
    # One that is no table is left to be refused.
    content["windows"] = windows | given.get("windows", {}) if isinstance(windows, dict) else windows
    if args.train_file:
        content["data"] = [{"path": path.absolute()} for path in args.train_file]
    if "base_model" not in content:
        raise ConfigError("give `base_model`, a folder or a hub name of a BERT encoder")
    return check_training_config(content, args.recipe or Path("the command line"), data_root=args.data)


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
    config = parse_config(args)
    is_first = int(os.environ.get("RANK", "0")) == 0
    from bioqa_pipeline.training.output import check_out

    check_out(args.out)
    from bioqa_pipeline.evaluation.table import format_table
    from bioqa_pipeline.training.job import fine_tune

    run: Callable[..., FineTuned] = pkgutil.resolve_name(FLOW) if is_first and not args.no_prefect else fine_tune
    say = None if quiet else _say
    result = run(config, args.out, calibrate_on=args.calibrate_on, device=args.device, on_progress=say)
    if is_first:
        skipped = {k: v for k, v in result.training.counts.items() if k.startswith("skipped")}
        for reason, count in skipped.items():
            sys.stderr.write(f"{reason}: {count:,} questions\n")
        if result.held_out and result.settings:
            sys.stdout.write(format_table(result.held_out))
            sys.stdout.write(f"threshold from now on  {result.settings.score_diff_threshold:g}\n")
        sys.stdout.write(f"{result.training.steps:,} steps; the checkpoint lies in {result.training.folder}\n")
    return EXIT_DONE


def _say(progress: Any) -> None:
    sys.stderr.write(
        f"step {progress.step:,} of {progress.n_steps:,}, epoch {progress.epoch:.2f}: "
        f"loss {progress.loss:.4f}, learning rate {progress.learning_rate:.3g}\n"
    )
