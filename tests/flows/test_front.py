"""`bioqa`: its help, its commands, how they are spelled, and what a real shell completes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands import front
from flows.commands.completion import SHELLS, script
from support.paths import ROOT

# What neither may bring along, for each takes longer than the rest together.
HEAVY = "torch prefect polars pyarrow transformers numpy httpx rich shtab Bio"


@pytest.mark.parametrize(
    ("arguments", "more"),
    [(["--help"], "pydantic argparse logging"), (["--version"], "pydantic argparse logging"), (["run", "--help"], "")],
    ids=" ".join,
)
def test_help_brings_nothing_heavy_along(arguments: list[str], more: str) -> None:
    program = (
        f"import sys\nsys.argv = ['bioqa', *{arguments}]\n"
        "from flows.commands.front import enter\n"
        "try: enter()\n"
        "except SystemExit as exc: assert exc.code == 0, exc.code\n"
        f"heavy = set('{HEAVY} {more}'.split()) & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "bioqa" in done.stdout


def test_help_has_a_line_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main([]) == 0
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert lines[: len(front.COMMANDS)] == list(front.COMMANDS)


@pytest.mark.parametrize("name", front.COMMANDS)
def test_every_command_is_spelled_as_it_was_given(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        front.main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: bioqa {name} ") and "python -m flows" not in text


def test_through_its_module_a_command_keeps_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    from flows.commands import run

    with pytest.raises(SystemExit):
        run.main(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m flows.run ") and "bioqa run" not in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [("runn", "bioqa run"), ("evalute", "bioqa evaluate"), ("Train", "bioqa train"), ("comple", "bioqa completion")],
)
def test_an_unknown_command_is_answered_with_the_nearest(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.main([name, "--out", "x"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"is {meant} meant?" in line


@pytest.mark.parametrize("arguments", [["xyzzy"], ["--config", "f", "run"], [""]])
def test_what_is_near_to_nothing_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "meant" not in line and "bioqa --help" in line


def test_help_for_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        front.main(["help", "verify"])
    assert capsys.readouterr().out.startswith("usage: bioqa verify")


def test_a_message_spells_its_commands_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "x.parquet").touch()
    assert front.main(["verify", "--data-set", str(tmp_path / "answers")]) == 2
    assert "python -m" not in capsys.readouterr().out


COMPLETE = r"""
eval "$(cat "$1")"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
handler=$(complete -p bioqa | sed -E 's/.*-F ([^ ]+).*/\1/')
"$handler" bioqa "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2> /dev/null
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        (folder / shell).write_text(script(shell))
    return {shell: folder / shell for shell in SHELLS}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["bioqa", ""], set(front.COMMANDS)),
        (["bioqa", "ev"], {"evaluate"}),
        (["bioqa", "run", "--max-a"], {"--max-abstracts", "--max-answers"}),
        (["bioqa", "run", "--sort", ""], {"relevance", "pub_date"}),
        (["bioqa", "serve", "--cr"], {"--cron"}),
        (["bioqa", "verify", "--cr"], set()),
        (["bioqa", "completion", "b"], {"bash"}),
        (["bioqa", "run", "--questions", "READ"], {"README.md"}),
        (["bioqa", "run", "--medline-dir", "flo"], {"flows"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bash_completes(scripts: dict[str, Path], typed: list[str], expected: set[str]) -> None:
    command = ["bash", "--norc", "-c", COMPLETE, "bash", str(scripts["bash"]), *typed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    found = {line.rstrip("/ ") for line in done.stdout.splitlines() if line}
    assert found - {"-h", "--help", "--version"} == expected, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_script(scripts: dict[str, Path], shell: str) -> None:
    text = scripts[shell].read_text()
    assert "bioqa" in text and "max-abstracts" in text and "python -m" not in text
    if shutil.which(shell):
        asked = f"source {scripts[shell]}; complete -C 'bioqa run --max-a'"
        arguments = ["--no-config", "-c", asked] if shell == "fish" else ["-n", str(scripts[shell])]
        done = subprocess.run([shell, *arguments], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert shell != "fish" or [line.split()[0] for line in done.stdout.splitlines()] == [
            "--max-abstracts",
            "--max-answers",
        ]


def test_completion_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == script("bash")
