"""`bioqa COMMAND ...`: the name of a command into its module, which is not imported before it is asked for.

A new command is a line of `COMMANDS`; its module has `build_parser()` and `main(argv)`, as every command's has.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

PROGRAM = "bioqa"


class Command(NamedTuple):
    """Where a command lives, and what it does."""

    module: str
    what: str


COMMANDS = {
    "run": Command("flows.commands.run", "ask PubMed a file of questions and keep the answers"),
    "serve": Command("flows.serve", "do that on a schedule, on this machine"),
    "server": Command("flows.server", "start Prefect's server for runs on a schedule, closed to others"),
    "report": Command("flows.report", "make the page of a run again from its data set"),
    "export": Command(
        "flows.commands.export", "take answers, evidence and citations out: CSV, Excel, JSON Lines, RIS, BibTeX"
    ),
    "compact": Command("flows.commands.compact", "merge the many small files of a data set into few"),
    "verify": Command("flows.commands.verify", "say whether a data set is whole, or what is wrong with it"),
    "reproduce": Command("flows.commands.reproduce", "score a run again and say whether the same bits come out"),
    "evaluate": Command("flows.commands.evaluate", "measure a model on questions with known answers: SQuAD, BioASQ"),
    "calibrate": Command("flows.commands.calibrate", "fit a model's threshold and probabilities on labelled questions"),
    "train": Command("flows.commands.train", "fine-tune a model on SQuAD files"),
    "completion": Command("flows.commands.completion", "print what makes a shell complete all this"),
}

_WIDTH = max(map(len, COMMANDS)) + 2
HELP = f"""\
usage: {PROGRAM} COMMAND [OPTION ...]

Ask PubMed many questions at once; every answer carries its evidence and the score of "there is no answer here".

commands:
{"".join(f"  {name:{_WIDTH}}{command.what}" + chr(10) for name, command in COMMANDS.items())}
options:
  {"-h, --help":{_WIDTH}}show this, or with a command its options
  {"--version":{_WIDTH}}show the version, and the commit where it is known

to begin with: {PROGRAM} run --questions q.txt --files export.nbib --out answers
settings are taken from bioqa.toml in this folder, where there is one: {PROGRAM} run --show-config prints one
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that is named and returns its exit code."""
    name, *rest = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    match name:
        case "-h" | "--help":
            return _said(HELP)
        case "--version":
            from bioqa_pipeline import __version__
            from bioqa_pipeline.commit import commit

            known = commit()
            return _said(f"{PROGRAM} {__version__}" + (f" (commit {known})" if known else "") + "\n")
        case "help":
            return main([*rest[:1], "--help"])
    if name not in COMMANDS:
        sys.stderr.write(f"error: {_unknown(name)}; {PROGRAM} --help lists what there is\n")
        return 2
    from importlib import import_module

    from flows.commands.spelling import spelled_as_bioqa

    with spelled_as_bioqa():
        code: int = import_module(COMMANDS[name].module).main(rest)
    return code


def _said(text: str) -> int:
    if sys.stdout is None:  # closed by the caller
        return 1
    sys.stdout.write(text)
    return 0


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    if name.startswith("-"):
        return f"{PROGRAM} has no option {name!r} before a command"
    # A prefix is nearer than any other word.
    close = [known for known in COMMANDS if known.startswith(name)] or get_close_matches(name.lower(), COMMANDS, 1)
    return f"there is no command {name!r}" + (f"; is {PROGRAM} {close[0]} meant?" if name and close else "")


def enter() -> NoReturn:
    """The console script."""
    code = main()
    if "flows.prefect_server" in sys.modules:
        from flows.commands.run import leave

        leave(code)
    sys.exit(code)
