"""`python -m flows.evaluate`: arguments into an evaluation, and its table on standard output.

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
    from bioqa_pipeline.evaluation.evaluate import Evaluation

# By name: the flow's module starts this command, and importing it is importing Prefect.
FLOW = "flows.evaluate:evaluate"

SETTINGS = SettingOptions(ModelConfig, {"a model": "name casing device precision engine"}, names={"name": "--model"})

DESCRIPTION = """\
Score a checkpoint on a SQuAD v2.0 file with the windows, the inference and the spans of the main job, and give the
official metrics. Or score somebody's official prediction files."""

EPILOG = """\
what --out gets: metrics.txt, metrics.json, metrics.parquet, report.html (plots), predictions.json, and
best_predictions.json with null_odds.json for the official script's --na-prob-file; questions.parquet with all scores

exit codes: 0 done; 1 something failed; 2 wrong usage or input

examples:
  python -m flows.evaluate --dataset dev-v2.0.json --out evaluation
  python -m flows.evaluate --dataset dev-v2.0.json --model ktrapeznikov/biobert_v1.1_pubmed_squad_v2 --device cuda
  python -m flows.evaluate --dataset dev-v2.0.json --predictions predictions.json --na-prob null_odds.json
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.evaluate", DESCRIPTION, EPILOG)
    parser.add_argument("--dataset", type=Path, required=True, metavar="FILE", help="SQuAD v1.1 or v2.0 JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for table, predictions, plots (default: none)")
    SETTINGS.add_to(parser)
    add_file_options(parser.add_argument_group("settings from a file"))
    files = parser.add_argument_group("somebody's predictions, instead of a model")
    files.add_argument("--predictions", type=Path, metavar="FILE", help="JSON, question id to answer text")
    files.add_argument("--na-prob", type=Path, metavar="FILE", help="JSON, question id to no-answer score")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="no answer where the no-answer score exceeds X (default: the checkpoint's own for a model, 1.0 for "
        "somebody's predictions)",
    )
    parser.add_argument("--no-prefect", action="store_true", help="run the same evaluation without Prefect")
    parser.add_argument("--quiet", action="store_true", help="no progress; the table only")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    score = _score_files if args.predictions else _score_model
    return run_command(lambda: score(args), in_options=partial(in_words, SETTINGS, args))


def _score_files(args: argparse.Namespace) -> int:
    from bioqa_pipeline.evaluation.job import evaluate_prediction_files
    from bioqa_pipeline.evaluation.table import format_table

    threshold = 1.0 if args.threshold is None else args.threshold
    evaluation = evaluate_prediction_files(
        args.dataset, args.predictions, args.na_prob, threshold=threshold, out=args.out
    )
    sys.stdout.write(format_table(evaluation))
    return EXIT_DONE


def _score_model(args: argparse.Namespace) -> int:
    if args.na_prob:
        raise ConfigError("--na-prob belongs to --predictions")
    args.given = found = given(SETTINGS, args, section="model")
    say_file(found, quiet=args.quiet)
    model = ModelConfig.checked(found.tree())
    from bioqa_pipeline.evaluation.files import check_out

    if args.out:
        check_out(args.out)
    from bioqa_pipeline.evaluation.job import evaluate_checkpoint
    from bioqa_pipeline.evaluation.squad import read_squad
    from bioqa_pipeline.evaluation.table import format_table
    from flows.commands.console import TerminalReporter

    evaluate: Callable[..., Evaluation] = evaluate_checkpoint if args.no_prefect else pkgutil.resolve_name(FLOW)
    total = sum(len(p.questions) for p in read_squad(args.dataset))
    with TerminalReporter(quiet=args.quiet).stage("scoring", total, "questions") as stage:
        evaluation = evaluate(args.dataset, model, threshold=args.threshold, out=args.out, on_questions=stage)
    sys.stdout.write(format_table(evaluation))
    return EXIT_DONE
