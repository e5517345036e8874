"""`python -m flows.report`: the page of a run, made again from the data set alone."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bioqa_pipeline.errors import BioqaError, ConfigError, DatasetError
from flows.commands.outcome import EXIT_DONE, command_parser, run_command

if TYPE_CHECKING:
    from bioqa_pipeline.dataset.reader import Dataset

DESCRIPTION = """\
Make the HTML page of a run from its data set. Every run leaves its page in the data set, as runs/RUN_ID.html; this
makes it again in its place, for example with a newer version of the program."""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.report", DESCRIPTION)
    parser.add_argument("--data-set", required=True, metavar="DIR", help="the data set, --out of a run")
    parser.add_argument(
        "--compare", nargs=2, metavar=("RUN_A", "RUN_B"), help="print what the second run answers otherwise, no page"
    )
    parser.add_argument("--run", metavar="RUN_ID", help="which run (default: the last one)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page (default: runs/RUN_ID.html in the data set; - is standard output)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    if args.compare:
        return run_command(lambda: _compare(args.data_set, *args.compare), only_to_stdout=True)
    return run_command(lambda: _write(args.data_set, args.run, args.out), only_to_stdout=args.out == Path("-"))


def _compare(data_set: str, earlier: str, later: str) -> int:
    from bioqa_pipeline.dataset.reader import Dataset
    from bioqa_pipeline.dataset.verify_tables import faults_named
    from bioqa_pipeline.messages import shown
    from bioqa_pipeline.report.compare import compare_runs

    dataset = Dataset(data_set)
    with faults_named(dataset.storage):
        lines = list(compare_runs(dataset, earlier, later))
    sys.stdout.write("".join(f"{shown(line)}\n" for line in lines))
    return EXIT_DONE


def _write(data_set: str, run_id: str | None, out: Path | None) -> int:
    from bioqa_pipeline.dataset.reader import Dataset
    from bioqa_pipeline.dataset.verify_tables import faults_named
    from bioqa_pipeline.report.page import make_run_page

    dataset = Dataset(data_set)
    if run_id is None:
        runs = dataset.runs()
        if not runs:
            raise DatasetError(f"{dataset.storage.location}: no run has come to its end here")
        run_id = runs[-1].run_id
    with faults_named(dataset.storage):
        page = make_run_page(dataset, run_id)
    if out == Path("-"):
        sys.stdout.write(page)
        return EXIT_DONE
    sys.stdout.write(f"{_renew(dataset, run_id, page) if out is None else _write_page(out, page.encode())}\n")
    return EXIT_DONE


def _renew(dataset: Dataset, run_id: str, page: str) -> str:
    """Writes it where the run left its own; gives the place."""
    from bioqa_pipeline.report.delta import is_left_behind

    if is_left_behind(dataset, run_id):
        raise ConfigError(
            f"run {run_id}: later runs have changed its answers, so its page says more than one made now; give --out"
        )
    try:
        with dataset.writer(f"page-{secrets.token_hex(8)}") as writer:
            return dataset.storage.uri(writer.renew_page(run_id, page))
    except DatasetError as exc:
        raise DatasetError(f"{exc}; --out FILE makes the page elsewhere") from exc


def _write_page(path: Path, page: bytes) -> Path:
    """Writes the page where nothing is, or over one that this program made."""
    from bioqa_pipeline.files import open_fd
    from bioqa_pipeline.html.page import is_page

    try:
        with os.fdopen(open_fd(path, os.O_RDWR | os.O_CREAT), "rb+") as file:
            head = file.read(1024)
            if head and not is_page(head):
                raise BioqaError(f"{path}: this file is no page of a run and is not written over; give another --out")
            file.seek(0)
            file.truncate()
            file.write(page)
    except OSError as exc:
        raise BioqaError(f"{path}: the page cannot be written: {exc.strerror}") from exc
    return path


if __name__ == "__main__":
    sys.exit(main())
