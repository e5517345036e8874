"""`python -m flows.export`: a data set into a file that people go on working with."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.messages import counted, shown
from bioqa_pipeline.records.scores import STRONG
from flows.commands.outcome import EXIT_DONE, command_parser, run_command

if TYPE_CHECKING:
    from bioqa_pipeline.export.export import Format
    from bioqa_pipeline.export.selection import Selection

FORMATS = ("csv", "xlsx", "ris", "bibtex", "jsonl")
WHAT = ("merged", "current", "answers", "evidence", "abstracts")
_NAMED = re.compile(r"`(out|overwrite|format|what|columns|run|question)( [^`]*)?`")

DESCRIPTION = """\
Write answers of a data set as a table, a spreadsheet, references or JSON Lines; see docs/files.md for the columns."""

EPILOG = f"""\
what is written (--what):
  merged     the merged answers of each question's newest run, the best first
  current    the merged answers over all runs, with when each came, what changed last and why
  answers    a row for each question and abstract, whether it answers or not
  evidence   a row for each abstract that gives a merged answer, with its sentence and citation
  abstracts  each of these abstracts once, with its answers; what ris and bibtex write

In csv and xlsx lists are joined by "; ", structs are columns of their own, and texts that a spreadsheet would compute
(they begin with = + - @) have an apostrophe before them or are marked as text. A cell of xlsx takes 32,767 characters,
a sheet 1,048,576 rows.

exit codes: 0 written; 1 the data set cannot be read, or the file not be written; 2 wrong usage, or no data set there

examples:
  python -m flows.export --data-set answers --out answers.csv
  python -m flows.export --data-set answers --what evidence --strong-only --out evidence.xlsx
  python -m flows.export --data-set answers --out references.ris
  python -m flows.export --data-set s3://bucket/answers --format jsonl --what answers --pmid 90000001 --out -

strong: a probability of at least {STRONG:.2f}
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.export", DESCRIPTION, EPILOG)
    parser.add_argument("--data-set", required=True, metavar="DIR", help="the data set, --out of a run")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write; - is standard output")
    parser.add_argument("--format", choices=FORMATS, help="how it is written (default: by the name of --out, else csv)")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there (default: refuse)")
    parser.add_argument("--no-bom", action="store_true", help="csv without the byte-order mark that Excel wants")
    group = parser.add_argument_group("what is written")
    group.add_argument("--what", choices=WHAT, default="merged", help="which rows, see below (default: merged)")
    group.add_argument("--columns", metavar="A,B,C", default="", help="these columns, in this order (default: all)")
    group.add_argument("--run", metavar="ID", help="of this run (default: each question's newest)")
    group.add_argument(
        "--question",
        metavar="TEXT",
        action="append",
        default=[],
        help="the questions of this id or with these words; may be given again (default: all)",
    )
    group.add_argument(
        "--pmid", metavar="N", type=int, action="append", default=[], help="of these abstracts (default: all)"
    )
    weight = group.add_mutually_exclusive_group()
    weight.add_argument("--min-probability", metavar="X", type=float, help="at least so probable (default: all)")
    weight.add_argument("--strong-only", action="store_true", help=f"at least {STRONG:.2f} probable (default: all)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: _export(args), in_options=_in_options, only_to_stdout=args.out == "-")


def _in_options(message: str) -> str:
    return _NAMED.sub(lambda named: f"--{named[1]}{named[2] or ''}", message)


def _export(args: argparse.Namespace) -> int:
    from bioqa_pipeline.dataset.reader import Dataset
    from bioqa_pipeline.dataset.verify_tables import faults_named
    from bioqa_pipeline.export.export import export
    from bioqa_pipeline.export.writing import check_target, write_target

    is_stream = args.out == "-"
    form, wanted = _format(args), _selection(args)
    if is_stream and form == "xlsx":
        raise ConfigError("`out -`: a spreadsheet is no text; name a file")
    if not is_stream:
        check_target(Path(args.out), overwrite=args.overwrite)
    dataset = Dataset(args.data_set)
    with faults_named(dataset.storage):
        exported = export(dataset, wanted, form, bom=not (args.no_bom or is_stream))
        text = exported.data.decode("utf-8") if is_stream else ""
    if is_stream:
        _write_out(text)
    else:
        write_target(Path(args.out), exported.data, overwrite=args.overwrite)
    for note in exported.notes:
        sys.stderr.write(f"{note}\n")
    noun = "record" if form in ("ris", "bibtex") else "row"
    where = "" if is_stream else f", {args.out}"
    of = "" if noun == "record" else f" of {wanted.what}"
    sys.stderr.write(shown(f"{counted(exported.n_rows, noun)}{of} as {form}{where}\n"))
    return EXIT_DONE


def _format(args: argparse.Namespace) -> Format:
    from bioqa_pipeline.export.export import FORMATS as BY_SUFFIX
    from bioqa_pipeline.export.export import Format

    if args.format is not None:
        assert args.format in get_args(Format)
        form: Format = args.format
        return form
    suffix = Path(args.out).suffix.lower()
    if args.out != "-" and suffix not in BY_SUFFIX:
        raise ConfigError(f"`out {args.out}`: its name ends with none of {', '.join(BY_SUFFIX)}; give `format`")
    return BY_SUFFIX.get(suffix, "csv")


def _selection(args: argparse.Namespace) -> Selection:
    from bioqa_pipeline.export.selection import Selection

    probability = STRONG if args.strong_only else args.min_probability
    if probability is not None and not 0 <= probability <= 1:
        raise ConfigError(f"--min-probability {probability}: give a number from 0 to 1")
    return Selection(
        what=args.what,
        columns=tuple(filter(None, map(str.strip, args.columns.split(",")))),
        run_id=args.run,
        questions=tuple(args.question),
        min_probability=probability,
        pmids=tuple(args.pmid),
    )


def _write_out(text: str) -> None:
    """In UTF-8 whatever the terminal's encoding, line ends as they are."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(encoding="utf-8", newline="")
    sys.stdout.write(text)
