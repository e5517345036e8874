"""`python -m flows.reproduce`: a run of a data set into whether its scores come out again, and what differs."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bioqa_pipeline.errors import BioqaError, ConfigError
from bioqa_pipeline.messages import counted, shown
from flows.commands.outcome import EXIT_DONE, EXIT_FAILED, command_parser, run_command

if TYPE_CHECKING:
    from bioqa_pipeline.run.differences import Difference, Differences
    from bioqa_pipeline.run.reproduce import Reproduction

DESCRIPTION = """\
Score the pairs of a run again, as its manifest says, and compare every column of answers, chunks and, without --limit,
the summary but run_id and scored_at: the same bits, or a table of what differs and why. Nothing is written into the
data set."""

EPILOG = """\
Questions, ranks and your own columns are taken from the rows; records from the source of the run, by their content,
which the store of abstracts may still hold where a record was revised since.

exit codes: 0 the same bits, or the run scored nothing itself; 1 something differs; 2 no comparison: wrong usage, no
such run, a data set that is not whole, a model or source that is not to be had

examples:
  python -m flows.reproduce --data-set answers --run 20261127T020000Z-1a2b3c
  python -m flows.reproduce --data-set answers --run 20261127T020000Z-1a2b3c --limit 200 --json
"""

_NAMED = re.compile(r"`(run|model|limit)( [^`]*)?`")
_VALUE_CHARS = 80


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() and len(text) < 20 else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 on, not {text!r}")
    return number


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.reproduce", DESCRIPTION, EPILOG)
    parser.add_argument("--data-set", required=True, metavar="DIR", help="the data set, --out of flows.run")
    parser.add_argument("--run", required=True, metavar="ID", help="the run, as runs/ID.json names it")
    parser.add_argument(
        "--model", metavar="PLACE", help="where the model is now: a folder or a hub name (default: where it was)"
    )
    parser.add_argument(
        "--limit", type=_count, metavar="N", help="so many pairs of the run, and no summary (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which, with --limit (default: 0)")
    parser.add_argument(
        "--show", type=_count, default=20, metavar="N", help="differences that are shown one by one (default: 20)"
    )
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress; the outcome only")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: _reproduce(args), in_options=_in_options, only_to_stdout=args.json)


def _in_options(message: str) -> str:
    return _NAMED.sub(lambda named: f"--{named[1]}{named[2] or ''}", message)


def _reproduce(args: argparse.Namespace) -> int:
    from bioqa_pipeline.dataset.reader import Dataset
    from bioqa_pipeline.dataset.verify_tables import faults_named
    from bioqa_pipeline.run.asked_again import NothingScoredError
    from bioqa_pipeline.run.reproduce import reproduce
    from flows.commands.console import TerminalReporter

    dataset = Dataset(args.data_set)
    try:
        with faults_named(dataset.storage):
            found = reproduce(
                dataset,
                args.run,
                model=args.model,
                limit=args.limit,
                seed=args.seed,
                most_named=args.show,
                reporter=TerminalReporter(quiet=args.quiet),
            )
    except NothingScoredError as exc:
        said = {"data_set": dataset.storage.location, "run_id": args.run, "same": True, "pairs": 0, "note": str(exc)}
        sys.stdout.write((json.dumps(said, ensure_ascii=False) if args.json else shown(str(exc))) + "\n")
        return EXIT_DONE
    except BioqaError as exc:
        # Not compared is not the same as different, whatever it was for.
        raise ConfigError(str(exc)) from exc
    place = dataset.storage.location
    sys.stdout.write(_as_json(place, found) if args.json else _as_lines(place, found))
    return EXIT_DONE if found.is_same else EXIT_FAILED


def _as_lines(place: str, found: Reproduction) -> str:
    return "".join(f"{' '.join(shown(line).splitlines())}\n" for line in _lines(place, found))


def _lines(place: str, found: Reproduction) -> Iterator[str]:
    from bioqa_pipeline.run.differences import WHY

    model = found.asked_again.model
    yield (
        f"{place}, run {found.run_id}: {found.n_scored:,} of {counted(found.n_pairs, 'pair')} scored again "
        f"({counted(found.n_windows, 'piece')} of text) with {model.engine} in {model.precision} on "
        f"{found.asked_again.processor}"
    )
    yield from (f"note: {_in_options(note)}" for note in found.notes)
    yield from (f"other than then: {WHY[cause.why]}: {cause.then}, now {cause.now}" for cause in found.causes)
    differences = found.differences
    if found.is_same:
        yield f"the same bits in every column{'' if found.with_summary else ' of answers and chunks'}"
        return
    total = differences.counts.total()
    yield ""
    yield f"{'table':8}{'column':24}{'values':>8}  why"
    for (table, column, why), n in sorted(differences.counts.items()):
        yield f"{table:8}{column:24}{n:8,}  {', '.join(WHY[name] for name in why)}"
    yield ""
    yield from map(_line, differences.first)
    if (more := total - len(differences.first)) > 0:
        yield f"… and {more:,} more"
    yield f"differs: {', '.join(_where(differences))}"


def _where(differences: Differences) -> Iterator[str]:
    """How many values of what."""
    of_rows = Counter[str]()
    for (table, column, _), n in differences.counts.items():
        of_rows["run" if column == "rows" else "summary" if table == "summary" else "pair"] += n
    if n := of_rows["pair"]:
        yield f"{counted(n, 'value')} of {counted(len(differences.pair_ids), 'pair')}"
    if n := of_rows["summary"]:
        yield f"{counted(n, 'value')} of the summary"
    if of_rows["run"]:
        yield "the number of the run's pairs"


def _line(difference: Difference) -> str:
    piece = "" if difference.window_index is None else f", piece {difference.window_index} of its text"
    pmid = f", PMID {difference.pmid}" if difference.pmid else ""
    of = f"{difference.question_id}{pmid}{piece}" if difference.question_id else "the run"
    then, now = _value(difference.then), _value(difference.now)
    return f"{of}: {difference.table}.{difference.column}: {then} then, {now} now ({', '.join(difference.why)})"


def _value(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_CHARS else text[: _VALUE_CHARS - 1] + "…"


def _as_json(place: str, found: Reproduction) -> str:
    model, differences = found.asked_again.model, found.differences
    said = {
        "data_set": place,
        "run_id": found.run_id,
        "same": found.is_same,
        "pairs": found.n_pairs,
        "compared": found.n_chosen,
        "scored": found.n_scored,
        "windows": found.n_windows,
        "differing_pairs": len(differences.pair_ids),
        "with": {
            **model.model_dump(include={"name", "device", "precision", "engine"}),
            "processor": found.asked_again.processor,
        },
        "causes": [asdict(cause) for cause in found.causes],
        "counts": [
            {"table": table, "column": column, "why": why, "values": n}
            for (table, column, why), n in sorted(differences.counts.items())
        ],
        "differences": [asdict(difference) for difference in differences.first],
        "notes": list(map(_in_options, found.notes)),
    }
    return json.dumps(_finite(said), indent=1) + "\n"


def _finite(value: Any) -> Any:
    """JSON knows no infinity, which a threshold can be."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
