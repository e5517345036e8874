"""`python -m flows.train`: arguments into a checked `TrainingConfig`, and the training's outcome into words and a code.

Imports neither torch nor Prefect until there is something to train, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.run import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from flows.environment import apply_defaults

if TYPE_CHECKING:
    from bioqa_pipeline.training.recipe import TrainingConfig

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

# option, older names of the model card's command, setting, type, default in words, help
_Option = tuple[str, tuple[str, ...], str, Any, str, str]
_WINDOW_OPTIONS: tuple[_Option, ...] = (
    ("--max-seq-length", ("--max_seq_length",), "max_seq_length", int, "384", "tokens of a window"),
    ("--doc-stride", ("--doc_stride",), "doc_stride", int, "128", "tokens between the starts of two windows"),
    ("--max-query-length", ("--max_query_length",), "max_query_length", int, "64", "tokens at which a question is cut"),
)
_TRAINING_OPTIONS: tuple[_Option, ...] = (
    ("--learning-rate", ("--learning_rate",), "learning_rate", float, "3e-5", "highest learning rate"),
    ("--epochs", ("--num_train_epochs",), "epochs", int, "3", "passes over the data"),
    ("--max-steps", ("--max_steps",), "max_steps", int, "none", "end after so many steps"),
    (
        "--train-batch-size",
        ("--per_gpu_train_batch_size", "--per_device_train_batch_size"),
        "train_batch_size",
        int,
        "18",
        "windows of a batch, each process",
    ),
    ("--batch-tokens", (), "batch_tokens", int, "none", "token budget of a batch, instead of --train-batch-size"),
    (
        "--eval-batch-size",
        ("--per_gpu_eval_batch_size", "--per_device_eval_batch_size"),
        "eval_batch_size",
        int,
        "64",
        "windows of a batch at most, when held-out questions are scored",
    ),
    (
        "--gradient-accumulation-steps",
        ("--gradient_accumulation_steps",),
        "gradient_accumulation_steps",
        int,
        "1",
        "batches that make one step",
    ),
    ("--warmup-steps", ("--warmup_steps",), "warmup_steps", int, "550", "steps of the rising learning rate"),
    ("--decay-steps", (), "decay_steps", int, "all after the warm-up", "steps of the final linear decay"),
    ("--weight-decay", ("--weight_decay",), "weight_decay", float, "0", "of AdamW"),
    ("--adam-epsilon", ("--adam_epsilon",), "adam_epsilon", float, "1e-8", "of AdamW"),
    ("--max-grad-norm", ("--max_grad_norm",), "max_grad_norm", float, "1.0", "gradients are clipped to this norm"),
    ("--dropout", (), "dropout", float, "the base model's", "of hidden states and attention"),
    ("--average-checkpoints", (), "average_checkpoints", int, "1", "last states whose weights are averaged"),
    ("--save-steps", ("--save_steps",), "save_steps", int, "2000", "steps between two resumable states"),
    ("--logging-steps", ("--logging_steps",), "logging_steps", int, "50", "steps between two reports of the loss"),
    ("--seed", (), "seed", int, "42", "of everything that is drawn"),
)


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default, which a recipe's own setting replaces."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.train",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    data = parser.add_argument_group("what to train, and on what")
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
        "--base-model",
        "--model_name_or_path",
        metavar="NAME",
        help="encoder or QA checkpoint to start from: a folder, a hub name, or package:NAME/FOLDER",
    )
    data.add_argument(
        "--out", "--output_dir", type=Path, required=True, metavar="DIR", help="folder that gets the checkpoint"
    )
    _add(parser.add_argument_group("windows"), _WINDOW_OPTIONS)
    _add(parser.add_argument_group("training"), _TRAINING_OPTIONS)
    machine = parser.add_argument_group("the machine")
    machine.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu or cuda; several GPUs need torchrun (default: auto)"
    )
    machine.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="auto takes bf16 where the device computes in it, else fp16 on a GPU and fp32 on a CPU (default: auto)",
    )
    machine.add_argument(
        "--fp16", dest="precision", action="store_const", const="fp16", help="same as --precision fp16"
    )
    machine.add_argument("--threads", type=int, metavar="N", help="tokenizer threads (default: one a core)")
    machine.add_argument("--no-prefect", action="store_true", help="run the same training without Prefect")
    machine.add_argument("--quiet", action="store_true", help="no progress; the result only")
    return parser


def _add(group: argparse._ArgumentGroup, options: Sequence[_Option]) -> None:
    for name, aliases, setting, kind, default, text in options:
        group.add_argument(
            name, *aliases, dest=setting, type=kind, metavar="X", help=f"{text} (default: {default})".replace("%", "%%")
        )


def parse_config(args: argparse.Namespace) -> TrainingConfig:
    """The recipe with the options that were given, as checked settings.

    Raises:
        ConfigError, InputError: something is missing or cannot be used, in words.
    """
    import tomllib

    from bioqa_pipeline.errors import ConfigError, InputError
    from bioqa_pipeline.training.recipe import check_training_config

    content: dict[str, Any] = {}
    if args.recipe:
        try:
            content = tomllib.loads(args.recipe.read_text("utf-8"))
        except OSError as exc:
            raise InputError(f"cannot be read: {exc.strerror}", args.recipe) from exc
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise InputError(f"is not TOML: {exc}", args.recipe) from exc
    elif not args.train_file:
        raise ConfigError("give --train-file or --recipe: there is nothing to train on")
    if args.train_file:
        content["data"] = [{"path": path.absolute()} for path in args.train_file]
    windows = {o[2]: getattr(args, o[2]) for o in _WINDOW_OPTIONS if getattr(args, o[2]) is not None}
    if windows:
        content["windows"] = content.get("windows", {}) | windows
    names = [o[2] for o in _TRAINING_OPTIONS] + ["base_model", "precision"]
    content |= {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if "base_model" not in content:
        raise ConfigError("give --base-model: a folder or a hub name of a BERT encoder")
    return check_training_config(content, args.recipe or Path("the command line"), data_root=args.data)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    # Under torchrun the first process alone speaks.
    quiet = args.quiet or int(os.environ.get("RANK", "0")) > 0
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if quiet else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    from bioqa_pipeline.errors import BioqaError, CheckpointError, ConfigError, InputError

    apply_defaults()
    if args.threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    try:
        return _train(args, quiet=quiet)
    except (ConfigError, InputError, CheckpointError) as exc:
        sys.stderr.write(f"error: {exc}\n")
        return EXIT_USAGE
    except BioqaError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; the same command goes on from the last state\n")
        return EXIT_INTERRUPTED


def _train(args: argparse.Namespace, *, quiet: bool) -> int:
    config = parse_config(args)
    if args.no_prefect or int(os.environ.get("RANK", "0")) > 0:
        from bioqa_pipeline.training.job import fine_tune as run
    else:
        from flows.train import train as run
    from bioqa_pipeline.evaluation.table import format_table

    say = None if quiet else _say
    result = run(config, args.out, calibrate_on=args.calibrate_on, device=args.device, on_progress=say)
    if int(os.environ.get("RANK", "0")) == 0:
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
