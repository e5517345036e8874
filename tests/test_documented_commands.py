"""Every command that the documents have one type: run on what comes with the project, or parsed by its own parser."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.paths import DATA
from flows.commands import front
from support.checkpoints import make_checkpoint
from support.eutils_records import read_records
from support.eutils_server import EutilsServer
from support.exported_files import NBIB
from support.paths import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
FOREIGN = {
    "docker": "there is no docker here; docs/docker.md says what was built by buildah",
    "buildah": "a quarter of an hour, and gets packages from registries; docs/docker.md says when it was done",
    "debootstrap": "as buildah",
    "install": "the system's own",
    "pip": "gets packages from a registry",
    "cp": "the system's own",
}
PREFECT = Path(str(find_spec("prefect").origin)).parent  # type: ignore[union-attr]
# Set up a shell for the commands after them.
SETTINGS = {"set", ".", "export"}


def blocks(page: str, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall((ROOT / page).read_text("utf-8")) if language in languages]


def commands(page: str) -> list[list[str]]:
    """Every command of a page as its words, without comments, variables before it and files that it is led into."""
    found = []
    for block in blocks(page, "", "sh", "bash", "shell"):
        if block.startswith("[Service]"):
            block = "\n".join(re.findall(r"^ExecStart=(.*)", block, flags=re.MULTILINE))
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|>")
            lexer.whitespace_split = True
            words = list(lexer)
            for part in " ".join(map(shlex.quote, words)).split(" ';' "):
                command = shlex.split(part)
                command = command[: command.index(">")] if ">" in command else command
                while command and re.match(r"[A-Z_]+=", command[0]):
                    command.pop(0)
                found += [command] if command else []
    return found


@cache
def parser(name: str) -> argparse.ArgumentParser:
    built: argparse.ArgumentParser = import_module(front.COMMANDS[name].module).build_parser()
    return built


def of_bioqa(command: list[str]) -> list[str] | None:
    """The words after `bioqa`, however it is called; None for another program."""
    program, *rest = command
    if program.rpartition("/")[2] == "bioqa":
        return rest
    if program.rpartition("/")[2] == "python" and rest[:1] == ["-m"] and rest[1].startswith("flows."):
        return [rest[1].removeprefix("flows."), *rest[2:]]
    return None


def check(command: list[str]) -> str:
    """Parses a command as its program would, and says whose it is."""
    program, *rest = command
    program = program.rpartition("/")[2]
    ours = of_bioqa(command)
    if ours is not None:
        name, *options = ours
        if options != ["--help"] and not name.startswith("-"):
            parser(name).parse_args(options)
        return "bioqa"
    match program:
        case "make":
            targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
            assert set(rest) <= targets, command
        case "prefect":
            # Its parser takes six seconds to be there; the slow test below has it.
            assert any((PREFECT / "cli" / rest[0].replace("-", "_")).with_suffix(kind).exists() for kind in ("", ".py"))
        case "python" if rest[:3] == ["-m", "pip", "install"]:
            return "pip"
        case "python":
            assert rest[:2] == ["-m", "pytest"] or rest[0].endswith(".py"), command
            paths = [word for word in rest if word.startswith("tests")]
            assert paths and all((ROOT / path).exists() for path in paths), command
        case _:
            assert program in FOREIGN | dict.fromkeys(SETTINGS), f"what {command} does is not known here"
    return program


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_every_command_is_one_that_its_program_takes(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page):
        try:
            check(command)
        except SystemExit:
            pytest.fail(f"{page}: {shlex.join(command)}\n{capsys.readouterr().err}")


def test_a_wrong_command_would_be_noticed() -> None:
    for wrong in (["bioqa", "run", "--question", "--nonsense"], ["bioqa", "export", "--data-set", "answers"]):
        with pytest.raises(SystemExit):
            check(wrong)
    for wrong in (["make", "a"], ["prefect", "a"], ["bioqa-run"], ["python", "-m", "pytest", "tests/a.py"]):
        with pytest.raises(AssertionError):
            check(wrong)


@pytest.mark.slow
def test_every_command_of_prefect_is_one_that_it_takes() -> None:
    from cyclopts import CycloptsError
    from prefect.cli._app import _app

    every = [command[1:] for page in PAGES for command in commands(page) if command[0].endswith("prefect")]
    assert len(every) > 5
    for words in every:
        _app.parse_args(words, exit_on_error=False, print_error=False)
    with pytest.raises(CycloptsError, match="nonsense"):
        _app.parse_args(["deploy", "--nonsense", "x"], exit_on_error=False, print_error=False)


def inline(page: str) -> list[str]:
    """What a page has in code type within its sentences."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", (ROOT / page).read_text("utf-8")))


def options_of(name: str) -> set[str]:
    return {option for action in parser(name)._actions for option in action.option_strings}


# Of other programs, and of the old recipe where what became of them is told.
OTHERS = {"--build-arg", "--gpus", "--isolation", "--flow-run-name", "--volume", "--require-hashes", "--requirement"}


@pytest.mark.parametrize("page", PAGES)
def test_every_option_and_command_in_a_sentence_exists(page: str) -> None:
    every = set().union(*map(options_of, front.COMMANDS)) | OTHERS | {"--help", "--version"}
    for code in inline(page):
        words = code.split()
        ours = of_bioqa(words)
        if ours and ours[0].islower() and ours[0].isalpha():
            assert ours[0] in front.COMMANDS, code
            named = {word for word in ours if word.startswith("--")} - {"--help"}
            assert named <= options_of(ours[0]), code
        elif code.startswith("--"):
            assert {word for word in words if word.startswith("--")} <= every, code


# The pages whose commands and Python are run, one after the other, as somebody would who reads them.
RUN = ["README.md", *(f"docs/{name}.md" for name in ("files", "running", "data-set", "configuration", "reproduce"))]
NOT_RUN = {
    "serve": "goes on until it is stopped: tests/flows/test_deployments.py runs it",
    "make": "this test is part of what it runs",
    "pip": "gets packages from a registry",
}
# What stands for what in a command that is run, with the reason.
STANDS_FOR = {
    "ktrapeznikov/biobert_v1.1_pubmed_squad_v2": "model",  # no network
    "questions.txt": "q.txt",  # the same questions
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's folder, with the files that the pages name, and E-utilities that have the sample's first records."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "q.txt").write_text("Which gene is mutated in cystic fibrosis?\nWhich tick transmits Lyme disease?\n")
    (folder / "export.nbib").write_text(NBIB)
    answer = {"text": "CFTR", "answer_start": 12}
    question = {"id": "a", "question": "Which gene is it?", "is_impossible": False, "answers": [answer]}
    paragraphs = [{"context": "The gene is CFTR.", "qas": [question]}]
    squad = {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
    (folder / "dev-v2.0.json").write_text(json.dumps(squad))
    make_checkpoint(folder / "model", layers=1)
    records = read_records([DATA / "sample" / "pubmed-sample.xml"])[:4]
    with EutilsServer(records, limit=None, key_limit=None) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BIOQA_EUTILS_URL", server.base_url)
        patch.setenv("BIOQA_CACHE", str(folder / "cache"))
        patch.setenv("NCBI_API_KEY", "good-key")  # ten requests a second, not three
        yield folder


def run(command: list[str], out: Path) -> None:
    """Runs a command of a page in the reader's folder; Prefect, whose start takes ten seconds, is left out of it."""
    ours = of_bioqa(command)
    assert ours is not None
    words = [STANDS_FOR.get(word, word) for word in ours]
    if words[0] in ("run", "evaluate"):
        words += ["--no-prefect", "--device", "cpu"]
    ids = iter(Dataset(out).run_ids() if {"--compare", "--run"} & set(words) else ())
    words = [next(ids) if re.fullmatch(r"\d{8}T\w+-\w+|RUN_ID", word) else word for word in words]
    assert front.main(words) == 0, shlex.join(words)


def test_what_the_pages_have_one_type_does_what_they_say(reader: Path) -> None:
    for page in RUN:
        typed = [command for command in commands(page) if check(command) == "bioqa" and command[1] not in NOT_RUN]
        assert typed, page
        for command in typed:
            (reader / "answers.csv").unlink(missing_ok=True)
            run(command, reader / "answers")
        for block in blocks(page, "python"):
            exec(compile(block, page, "exec"), {})
    assert Dataset(reader / "answers").current().collect().height >= 2
