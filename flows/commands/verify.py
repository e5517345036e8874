"""`python -m flows.verify`: a data set into a list of what is wrong with it, one line a finding."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bioqa_pipeline.messages import counted, shown
from flows.commands.outcome import EXIT_DONE, EXIT_FAILED, command_parser, run_command

if TYPE_CHECKING:
    from bioqa_pipeline.dataset.verify import Report

DESCRIPTION = """\
Read everything in a data set and say what is wrong with it: every file's size and SHA-256, columns, keys, counts, the
pieces of text of each answer, the sums of the manifests, files that are gone or not of the data set.
Changes nothing."""

EPILOG = """\
With --quarantine what is not whole, and what lies among the tables and is not of the data set, is moved into
_quarantine/, and the log says so: readers and runs go on with the rest, and the next run scores anew what is missing.

exit codes: 0 whole; 1 something is wrong, or was until --quarantine set it aside, a line each: the file, what is wrong,
what mends it; 2 wrong usage, or no data set there

examples:
  python -m flows.verify --data-set answers
  python -m flows.verify --data-set s3://bucket/answers --json
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.verify", DESCRIPTION, EPILOG)
    parser.add_argument("--data-set", required=True, metavar="DIR", help="the data set, --out of a run")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    parser.add_argument("--quarantine", action="store_true", help="set aside what is wrong (default: only say it)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    return run_command(
        lambda: _verify(args.data_set, quarantine=args.quarantine, as_json=args.json), only_to_stdout=args.json
    )


def _verify(data_set: str, *, quarantine: bool, as_json: bool) -> int:
    from bioqa_pipeline.dataset.quarantine import quarantine as set_aside
    from bioqa_pipeline.dataset.verify import verify
    from bioqa_pipeline.storage.places import storage_at

    storage = storage_at(data_set)
    report, moved = set_aside(storage) if quarantine else (verify(storage), [])
    sys.stdout.write(
        _as_json(storage.location, report, moved) if as_json else _as_lines(storage.location, report, moved)
    )
    return EXIT_FAILED if report.findings else EXIT_DONE


def _in_options(message: str) -> str:
    return message.replace("`quarantine`", "--quarantine")


def _as_lines(location: str, report: Report, moved: Sequence[str]) -> str:
    lines = [f"{f.file}: {f.what}; {_in_options(f.mend)}" for f in report.findings]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"set aside: {path}" for path in moved]
    counts = (
        f"{counted(report.n_files, 'file')}, {counted(report.n_bytes, 'byte')}, {counted(report.n_runs, 'run')}, "
        f"{counted(report.n_answers, 'answer')}, {counted(report.n_chunks, 'piece')} of text"
    )
    end = counted(len(report.findings), "finding") if report.findings else "whole"
    return "".join(f"{' '.join(shown(line).splitlines())}\n" for line in [*lines, f"{location}: {end}; {counts}"])


def _as_json(location: str, report: Report, moved: Sequence[str]) -> str:
    found = {
        "data_set": location,
        "whole": not report.findings,
        "files": report.n_files,
        "bytes": report.n_bytes,
        "runs": report.n_runs,
        "answers": report.n_answers,
        "windows": report.n_chunks,
        "findings": [{"file": f.file, "what": f.what, "mend": _in_options(f.mend)} for f in report.findings],
        "notes": report.notes,
        "set_aside": list(moved),
    }
    return json.dumps(found, indent=1) + "\n"
