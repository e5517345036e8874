"""`python -m flows.evaluate`: arguments into an evaluation, and its table on standard output.

Imports neither torch nor Prefect until there is something to score, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.commands.run import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from flows.environment import apply_defaults

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
    parser = argparse.ArgumentParser(
        prog="python -m flows.evaluate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--dataset", type=Path, required=True, metavar="FILE", help="SQuAD v1.1 or v2.0 JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for table, predictions, plots (default: none)")
    model = parser.add_argument_group("a model")
    model.add_argument(
        "--model",
        default="embedded",
        metavar="NAME",
        help="folder of a checkpoint, or hub name with optional @revision (default: the model that comes with the "
        "project)",
    )
    model.add_argument("--casing", choices=("cased", "uncased"), help="default: as the checkpoint says")
    model.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps (default: auto)"
    )
    model.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="see flows.run (default: auto)"
    )
    model.add_argument(
        "--engine", choices=("auto", "torch", "openvino"), default="auto", help="see flows.run (default: auto)"
    )
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
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    from bioqa_pipeline.errors import BioqaError, CheckpointError, ConfigError, InputError

    apply_defaults()
    try:
        return _score_files(args) if args.predictions else _score_model(args)
    except (ConfigError, InputError, CheckpointError) as exc:
        sys.stderr.write(f"error: {exc}\n")
        return EXIT_USAGE
    except BioqaError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return EXIT_INTERRUPTED


def _score_files(args: argparse.Namespace) -> int:
    from bioqa_pipeline.evaluation.job import evaluate_prediction_files
    from bioqa_pipeline.evaluation.table import format_table

    threshold = 1.0 if args.threshold is None else args.threshold
    found = evaluate_prediction_files(args.dataset, args.predictions, args.na_prob, threshold=threshold, out=args.out)
    sys.stdout.write(format_table(found))
    return EXIT_DONE


def _score_model(args: argparse.Namespace) -> int:
    from bioqa_pipeline.config import ModelConfig
    from bioqa_pipeline.errors import ConfigError

    if args.na_prob:
        raise ConfigError("--na-prob belongs to --predictions")
    model = ModelConfig(
        name=args.model, casing=args.casing, device=args.device, precision=args.precision, engine=args.engine
    )
    from bioqa_pipeline.evaluation.squad import read_squad
    from bioqa_pipeline.evaluation.table import format_table
    from flows.commands.console import Reporter

    if args.no_prefect:
        from bioqa_pipeline.evaluation.job import evaluate_checkpoint as run
    else:
        from flows.evaluate import evaluate as run
    total = sum(len(p.questions) for p in read_squad(args.dataset))
    with Reporter(quiet=args.quiet).stage("scoring", total, "questions") as stage:
        found = run(args.dataset, model, threshold=args.threshold, out=args.out, on_questions=stage)
    sys.stdout.write(format_table(found))
    return EXIT_DONE
