"""How every command begins and ends: its parser, its log; errors into one line on standard error and an exit code."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from bioqa_pipeline.errors import BioqaError, CheckpointError, ConfigError, InputError, NoDatasetError
from bioqa_pipeline.messages import shown
from flows.commands.spelling import spelled
from flows.commands.streams import forgiving_streams
from flows.environment import apply_defaults
from flows.signals import Terminated, sigterm_raises

WRONG_INPUT = (ConfigError, InputError, CheckpointError, NoDatasetError)
EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 2, 130, 143


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines, with the nearest option; the list of all is what --help is for."""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        from bioqa_pipeline.setting_values import EMPTY, is_empty

        is_checked_later = action.type == "setting" or action.choices or action.default == arg_string
        if is_empty(arg_string) and not is_checked_later:
            raise argparse.ArgumentError(action, EMPTY)
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        from difflib import get_close_matches

        unknown = re.search(r"unrecognized arguments: (.*)", message)
        words = unknown[1].split() if unknown else []
        options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        meant = []
        names = [word.partition("=")[0] for word in words if word.startswith("--")]
        for name in names:
            # A prefix is nearer than any other word.
            close = [known for known in options if known.startswith(name)] or get_close_matches(name, options, 1)
            of = f"{name}: " if len(names) > 1 else ""
            meant += [f"{of}is {close[0]} meant?"] if close else []
        if words and not words[0].startswith("-"):
            named = " or ".join(name for name in ("--questions", "--files") if name in options)
            meant.append(f"name a file by its option{named and f', {named}'}, and quote a name with spaces")
        message = "; ".join((message, *meant))
        self.exit(EXIT_USAGE, f"usage: {self.prog} [OPTION ...], see {self.prog} --help\nerror: {shown(message)}\n")


def command_parser(prog: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser that leaves texts as they are and takes no option by half its name."""
    return _Parser(
        prog=spelled(prog),
        description=spelled(description),
        epilog=spelled(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def run_command(
    work: Callable[[], int],
    *,
    in_options: Callable[[str], str] = str,
    log_level: int = logging.WARNING,
    kept: str = "",
    only_to_stdout: bool = False,
) -> int:
    """Does the work of a command and returns its exit code.

    Args:
        in_options: a message of the library into the command's own words, `SettingOptions.in_options`.
        kept: what is left of work that was broken off.
        only_to_stdout: what is asked for is written there and kept nowhere.
    """
    is_lost = only_to_stdout and sys.stdout is None
    with forgiving_streams():
        _log_to_terminal(log_level)
        return _done(_refused if is_lost else work, in_options, kept)


def _refused() -> NoReturn:
    raise BioqaError("standard output is closed, and what was asked for would be written there alone")


def _done(work: Callable[[], int], in_options: Callable[[str], str], kept: str) -> int:
    try:
        apply_defaults()
        with sigterm_raises():
            code = work()
        sys.stdout.flush()
        return code
    except BioqaError as exc:
        sys.stderr.write(f"error: {spelled(shown(in_options(str(exc))))}\n")
        return EXIT_USAGE if isinstance(exc, WRONG_INPUT) else EXIT_FAILED
    except KeyboardInterrupt:
        # Behind the terminal's ^C.
        sys.stderr.write(f"\ninterrupted{kept and '; '}{kept}\n")
        return EXIT_INTERRUPTED
    except Terminated:
        sys.stderr.write(f"terminated{kept and '; '}{kept}\n")
        return EXIT_TERMINATED


def _log_to_terminal(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    # Prefect's loggers have levels of their own and ask the root logger's handlers only.
    handler.setLevel(level)
    handler.setFormatter(_TerminalFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)
    # It logs every address with all that is in it, a password of Prefect's server, too.
    logging.getLogger("httpx").setLevel(logging.WARNING)


class _TerminalFormatter(logging.Formatter):
    """Shows nothing that a terminal obeys, and no credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return spelled(shown(super().format(record)))
