"""How a command ends: its exit code, and one line that says why."""

from __future__ import annotations

import os
import signal
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


def test_what_is_no_error_of_ours_is_not_hidden() -> None:
    def work() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(work)
    assert run_command(lambda: 1) == 1
