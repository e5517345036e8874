"""`bioqa completion SHELL`: the parsers of all commands into a script by which a shell completes them.

The script is whole: nothing of this project is started when somebody presses the tabulator key.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from flows.commands.front import COMMANDS, PROGRAM
from flows.commands.outcome import EXIT_DONE, command_parser, run_command

SHELLS = ("bash", "zsh", "fish")

DESCRIPTION = """\
Print a script that makes a shell complete commands, options, their choices and files. Make it again after an update."""

EPILOG = """\
for this shell alone:
  eval "$(bioqa completion bash)"

for good:
  bioqa completion bash > ~/.local/share/bash-completion/completions/bioqa
  bioqa completion zsh > ~/.zfunc/_bioqa        # and in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit; compinit
  bioqa completion fish > ~/.config/fish/completions/bioqa.fish
"""

# What stands for a value in --help, and whether the shell completes a file or a folder there.
_FILES = {"FILE": "file", "FILE[=WEIGHT]": "file", "DIR": "folder", "PLACE": "folder"}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser("bioqa completion", DESCRIPTION, EPILOG)
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: _write(args.shell), only_to_stdout=True)


def _write(shell: str) -> int:
    sys.stdout.write(script(shell))
    return EXIT_DONE


def script(shell: str) -> str:
    """The script for one of `SHELLS`."""
    import shtab

    whole = argparse.ArgumentParser(PROGRAM)
    whole.add_argument("--version", action="store_true", help="show the version")
    commands = whole.add_subparsers()
    for name, command in COMMANDS.items():
        parser: argparse.ArgumentParser = import_module(command.module).build_parser()
        inner = commands.add_parser(name, help=command.what, parents=[parser], add_help=False)
        for action in inner._actions:
            if kind := _FILES.get(str(action.metavar)):
                action.complete = shtab.FILE if kind == "file" else shtab.DIRECTORY  # type: ignore[attr-defined]
    return str(shtab.complete(whole, shell))
