"""How a command ends: its exit code, and one line that says why."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bioqa_pipeline.errors import CheckpointError, ConfigError, DatasetError, InputError, ShardError, SourceError
from flows.commands.outcome import run_command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("`x`"), 2, "error: --x"),
        (InputError("`x`", Path("q.txt"), 3), 2, "error: q.txt:3: --x"),
        (CheckpointError("no model"), 2, "error: no model"),
        (SourceError("no answer"), 1, "error: no answer"),
        (DatasetError("disk full"), 1, "error: disk full"),
        (ShardError("lost", shard_id="s"), 1, "error: shard s: lost"),
        (KeyboardInterrupt(), 130, "\ninterrupted; all is kept"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert run_command(work, in_options=lambda text: text.replace("`x`", "--x"), kept="all is kept") == code
    assert capsys.readouterr() == ("", line + "\n")


def test_sigterm_has_a_code_of_its_own_and_its_handler_goes(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert run_command(work) == 143
    assert capsys.readouterr().err == "terminated\n"
    assert signal.getsignal(signal.SIGTERM) == before


@contextmanager
def fresh_logging() -> Iterator[None]:
    """The root logger as a command finds it: without handlers."""
    root, httpx = logging.getLogger(), logging.getLogger("httpx")
    handlers, levels = root.handlers[:], (root.level, httpx.level)
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        httpx.setLevel(levels[1])


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO, logging.DEBUG])
def test_the_terminal_shows_the_log_from_its_level_on(level: int, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        # As Prefect's: with a level of its own, which the root logger's does not change.
        logger = logging.getLogger("tests.of_others")
        logger.setLevel(logging.DEBUG)
        for n in (logging.DEBUG, logging.INFO, logging.WARNING):
            logger.log(n, "said at %d", n)
        return 0

    with fresh_logging():
        run_command(work, log_level=level)
    shown = capsys.readouterr().err
    said = [n for n in (logging.DEBUG, logging.INFO, logging.WARNING) if f"said at {n}" in shown]
    assert said == [n for n in (logging.DEBUG, logging.INFO, logging.WARNING) if n >= level]


def test_the_terminal_shows_no_credentials_and_nothing_that_it_obeys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden/0123456789/hidden")

    def work() -> int:
        logging.getLogger("httpx").info('HTTP Request: GET http://me:hidden@127.0.0.1/api "HTTP/1.1 200 OK"')
        logging.getLogger("prefect").warning("no %s\x1b[31m\u202e", "http://me:hidden@h/api")
        try:
            raise ValueError("<Code>hidden/0123456789/hidden</Code>")
        except ValueError:
            logging.getLogger("bioqa_pipeline").exception("broken")
        raise DatasetError("https://b/x?X-Amz-Signature=hidden \x9b2J")

    with fresh_logging():
        assert run_command(work, log_level=logging.DEBUG) == 1
    shown = capsys.readouterr().err
    assert "hidden" not in shown and "HTTP Request" not in shown
    assert "http://[redacted]@h/api" in shown and "Traceback" in shown and "<Code>[redacted]</Code>" in shown
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)


def test_what_is_no_error_of_ours_is_not_hidden() -> None:
    def work() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(work)
    assert run_command(lambda: 1) == 1
