"""`python -m flows.calibrate`: arguments into a calibration, and its figures on standard output.

Imports neither torch nor Prefect until there is something to score, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bioqa_pipeline.config import ModelConfig
from bioqa_pipeline.errors import ConfigError
from flows.commands.options import SettingOptions
from flows.commands.outcome import EXIT_DONE, command_parser, run_command
from flows.commands.resolved import add_file_options, given, in_words, say_file

if TYPE_CHECKING:
    from bioqa_pipeline.training.calibrate import Calibrated

# By name: the flow's module starts this command, and importing it is importing Prefect.
FLOW = "flows.calibrate:calibrate"

SETTINGS = SettingOptions(ModelConfig, {"a model": "name casing device precision engine"}, names={"name": "--model"})

DESCRIPTION = """\
Fit a checkpoint's threshold and its map from margin to probability on labelled questions, and store both in its
bioqa.json. Take questions that the model was not trained on, of the kind of text that it shall read. The calibration
error before and after is printed; that after it is by cross-fitting."""

EPILOG = """\
exit codes: 0 done; 1 something failed; 2 wrong usage or input

examples:
  python -m flows.calibrate --model my-model --dataset heldout.json --in-place
  python -m flows.calibrate --model lab/model --dataset abstracts.json=0.9 --dataset squad.json=0.1 --out calibrated
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.calibrate", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--dataset",
        action="append",
        required=True,
        metavar="FILE[=WEIGHT]",
        help="SQuAD v2.0 JSON; may be given several times, each with what it counts for, whatever its size (default: "
        "all questions count alike)",
    )
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="X", help="the same weights in one place, in the order of --dataset"
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, metavar="DIR", help="new folder for a copy of the checkpoint")
    place.add_argument("--in-place", action="store_true", help="change bioqa.json in the model's own folder")
    SETTINGS.add_to(parser)
    add_file_options(parser.add_argument_group("settings from a file"))
    parser.add_argument("--no-prefect", action="store_true", help="run the same calibration without Prefect")
    parser.add_argument("--quiet", action="store_true", help="no progress; the figures only")
    return parser


def weighed(datasets: Sequence[str], weights: Sequence[float] | None) -> tuple[list[Path], list[float] | None]:
    """Files and their weights, which stand behind the files or in a list of their own.

    Raises:
        ConfigError: some files have a weight and others none, or there are two kinds of weights.
    """
    paths, own = [], []
    for text in datasets:
        name, sign, number = text.rpartition("=")
        weight = _number(number) if sign and not Path(text).exists() else None
        paths.append(Path(text if weight is None else name))
        own += [] if weight is None else [weight]
    if own and weights is not None:
        raise ConfigError("give weights behind the files or by --weights, not both")
    if own and len(own) < len(paths):
        raise ConfigError("give each --dataset a weight, as in --dataset FILE=0.9, or none of them")
    return paths, own or (None if weights is None else list(weights))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: _calibrate(args), in_options=partial(in_words, SETTINGS, args))


def _calibrate(args: argparse.Namespace) -> int:
    args.given = settings = given(SETTINGS, args, section="model")
    say_file(settings, quiet=args.quiet)
    model = ModelConfig.checked(settings.tree())
    paths, weights = weighed(args.dataset, args.weights)
    from bioqa_pipeline.evaluation.squad import read_squad
    from bioqa_pipeline.training.calibrate import calibrate, format_calibration
    from flows.commands.console import TerminalReporter

    run: Callable[..., Calibrated] = calibrate if args.no_prefect else pkgutil.resolve_name(FLOW)
    total = sum(len(p.questions) for path in paths for p in read_squad(path))
    with TerminalReporter(quiet=args.quiet).stage("scoring", total, "questions") as stage:
        found = run(paths, model, weights=weights, out=args.out, on_questions=stage)
    sys.stdout.write(format_calibration(found))
    return EXIT_DONE
