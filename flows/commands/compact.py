"""`python -m flows.compact`: the many small files of a data set into few large ones."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from bioqa_pipeline.messages import counted
from flows.commands.outcome import EXIT_DONE, command_parser, run_command

DESCRIPTION = """\
Merge the small files of answers, pieces of text and summaries that many runs left into few large ones: the same rows,
sorted, and known to every later run. Nothing is scored again. Whoever reads the data set with bioqa's Dataset sees
each row once all the while; whoever reads the folders with another tool can find rows twice, or a file gone, while a
merge goes on. A run that writes the data set is waited for."""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.compact", DESCRIPTION)
    parser.add_argument("--data-set", required=True, metavar="DIR", help="the data set, --out of a run")
    parser.add_argument("--dry-run", action="store_true", help="say what would be merged, and change nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    kept = "no row was lost; the next run or compaction puts the rest right"
    return run_command(lambda: _compact(args.data_set, dry_run=args.dry_run), log_level=logging.INFO, kept=kept)


def _compact(data_set: str, *, dry_run: bool) -> int:
    from bioqa_pipeline.dataset.compaction import MOST_BYTES, compact, plan_compaction
    from bioqa_pipeline.dataset.reader import Dataset
    from bioqa_pipeline.dataset.schemas import SUMMARY
    from bioqa_pipeline.dataset.verify_tables import faults_named

    storage = Dataset(data_set).storage
    with faults_named(storage):
        groups = plan_compaction(storage) if dry_run else compact(storage)
    did = "would merge" if dry_run else "merged"
    for group in groups:
        what = f"{counted(group.rows, 'answer')}, and their pieces of text"
        if group.tables[-1] is SUMMARY:
            what = f"{counted(group.rows, 'merged answer')} of {counted(len(group.files), 'run')}"
        sys.stdout.write(f"{did} {counted(len(group.files), 'file')} of {what}\n")
    if not groups:
        sys.stdout.write(
            f"nothing to merge: no two files under {MOST_BYTES // 2 >> 20} MiB are of runs with the same settings\n"
        )
    return EXIT_DONE
