"""`python -m flows.evaluate`: arguments into an evaluation, and its table on standard output.

Imports neither torch nor Prefect until there is something to score, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bioqa_pipeline.config import ModelConfig, SourceConfig
from bioqa_pipeline.errors import ConfigError
from flows.commands.options import SettingOptions, finite
from flows.commands.outcome import EXIT_DONE, command_parser, run_command
from flows.commands.resolved import add_file_options, given, in_words, say_file

if TYPE_CHECKING:
    from bioqa_pipeline.evaluation.bioasq_evaluate import BioasqEvaluation
    from bioqa_pipeline.evaluation.evaluate import Evaluation

# By name: the flow's module starts this command, and importing it is importing Prefect.
FLOW = "flows.evaluate:evaluate"

SETTINGS = SettingOptions(ModelConfig, {"a model": "name casing device precision engine"}, names={"name": "--model"})
SOURCES = SettingOptions(
    SourceConfig,
    {"where abstracts come from": "max_abstracts medline_dir pmids_file mindate maxdate datetype email"},
    names={"pmids_file": "--pmids"},
    others={"over": "--over", "kind": "--over"},
)
# What BioASQ's questions are asked of: texts of the file, abstracts that it names, or what a source finds.
OVER = ("snippets", "documents", "sample", "pubmed", "medline", "pmids")

DESCRIPTION = """\
Measure a model on questions whose answers are known, in SQuAD's or BioASQ's own JSON, by the very steps of the main
job, and give the official metrics. Or score somebody's official prediction files. Questions without known answers are
answered, and not scored."""

EPILOG = """\
what --out gets: metrics.txt, metrics.json, metrics.parquet, report.html (plots), predictions.json, and
best_predictions.json with null_odds.json for the official script's --na-prob-file; questions.parquet with all scores;
of a BioASQ file submission.json in the challenge's form

exit codes: 0 done; 1 something failed; 2 wrong usage or input

examples:
  python -m flows.evaluate --dataset dev-v2.0.json --out evaluation
  python -m flows.evaluate --dataset dev-v2.0.json --model ktrapeznikov/biobert_v1.1_pubmed_squad_v2 --device cuda
  python -m flows.evaluate --dataset dev-v2.0.json --predictions predictions.json --na-prob null_odds.json
  python -m flows.evaluate --dataset 12B1_golden.json --out bioasq
  python -m flows.evaluate --dataset BioASQ-task13bPhaseB-testset1 --over documents --email you@example.org --out bioasq
  python -m flows.evaluate --dataset dev-v2.0.json --beside biobert-card
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.evaluate", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--dataset", type=Path, required=True, metavar="FILE", help="JSON of SQuAD v1.1, v2.0 or BioASQ"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for table, predictions, plots (default: none)")
    parser.add_argument(
        "--beside",
        metavar="NAME",
        help="another evaluation's folder, or biobert-card, the published table of the seed's model: both columns and "
        "their differences (default: none)",
    )
    parser.add_argument(
        "--over",
        choices=OVER,
        help="what BioASQ's questions are asked of: the file's snippets, the abstracts of the documents that it names, "
        "or those that a source finds (default: snippets)",
    )
    SETTINGS.add_to(parser)
    SOURCES.add_to(parser)
    add_file_options(parser.add_argument_group("settings from a file"))
    files = parser.add_argument_group("somebody's predictions, instead of a model")
    files.add_argument("--predictions", type=Path, metavar="FILE", help="JSON, question id to answer text")
    files.add_argument("--na-prob", type=Path, metavar="FILE", help="JSON, question id to no-answer score")
    parser.add_argument(
        "--threshold",
        type=finite,
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

    def in_options(message: str) -> str:
        return SOURCES.in_options(in_words(SETTINGS, args, message))

    return run_command(lambda: score(args), in_options=in_options, only_to_stdout=args.out is None)


def _score_files(args: argparse.Namespace) -> int:
    if args.over or SOURCES.values(args):
        raise ConfigError("--over and sources of abstracts are for a model, not for --predictions")
    from bioqa_pipeline.evaluation.job import evaluate_prediction_files

    threshold = 1.0 if args.threshold is None else args.threshold
    evaluation = evaluate_prediction_files(
        args.dataset, args.predictions, args.na_prob, threshold=threshold, beside=args.beside, out=args.out
    )
    return _told(evaluation, args.beside)


def _score_model(args: argparse.Namespace) -> int:
    if args.na_prob:
        raise ConfigError("--na-prob belongs to --predictions")
    args.given = found = given(SETTINGS, args, section="model")
    say_file(found, quiet=args.quiet)
    model = ModelConfig.checked(found.tree())
    over, source = _over(args)
    from bioqa_pipeline.evaluation.files import check_out

    if args.out:
        check_out(args.out)
    from bioqa_pipeline.evaluation.dataset import read_evaluation_set
    from bioqa_pipeline.evaluation.job import evaluate_checkpoint
    from flows.commands.console import TerminalReporter

    evaluate: Callable[..., Evaluation | BioasqEvaluation]
    evaluate = evaluate_checkpoint if args.no_prefect else pkgutil.resolve_name(FLOW)
    total = read_evaluation_set(args.dataset).n_asked
    with TerminalReporter(quiet=args.quiet).stage("scoring", total, "questions") as stage:
        evaluation = evaluate(
            args.dataset,
            model,
            threshold=args.threshold,
            over=over,
            source=source,
            beside=args.beside,
            out=args.out,
            on_questions=stage,
        )
    return _told(evaluation, args.beside)


def _over(args: argparse.Namespace) -> tuple[str | None, SourceConfig | None]:
    """What is asked, in the job's words, and where abstracts come from."""
    given = SOURCES.values(args)
    if args.over in (None, "snippets"):
        if given:
            raise ConfigError("a source of abstracts needs --over documents, or --over with the name of the source")
        return args.over, None
    if args.over == "documents":
        # Without a folder the abstracts are PubMed's own.
        kind = "medline" if "medline_dir" in given else "pubmed"
        return "documents", SourceConfig.checked({"kind": kind} | given)
    return "source", SourceConfig.checked({"kind": args.over} | given)


def _told(evaluation: Evaluation | BioasqEvaluation, beside: str | None) -> int:
    from bioqa_pipeline.evaluation.job import comparison
    from bioqa_pipeline.evaluation.table import format_table

    sys.stdout.write(format_table(evaluation, comparison(evaluation, beside)))
    return EXIT_DONE
