"""A wheel holds what it needs: with no checkout near, it asks the sample with the embedded model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.paths import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a wheel was installed into. It is made from a copy, for setuptools builds in place."""
    tmp = tmp_path_factory.mktemp("wheel")
    source, target = tmp / "source", tmp / "installed"
    for folder in ("bioqa_pipeline", "flows", "data"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    make_checkout(source)
    options = "--no-deps --no-build-isolation --no-index --config-settings=--build-option=--compression=stored".split()
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tmp, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def make_checkout(folder: Path) -> None:
    """A repository with one commit, of the licence."""
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in ("init --quiet", "add LICENSE", "commit --quiet --message=x"):
        subprocess.run([*git, *command.split()], check=True)


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in an empty folder; of the project it knows what is installed only."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(installed), "BIOQA_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=empty, env=environment, capture_output=True, text=True, check=False
    )


def test_every_module_and_the_data_lie_in_the_installed_package(installed: Path) -> None:
    for package in ("bioqa_pipeline", "flows"):
        there = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*") if path.is_file()}
        assert {path for path in there if path.suffix != ".pyc"} == {
            path.relative_to(installed)
            for path in (installed / package).rglob("*")
            if path.is_file() and "data" not in path.relative_to(installed).parts and path.name != "commit.txt"
        }
    data = {path.relative_to(ROOT) for path in (ROOT / "data").rglob("*") if path.is_file()}
    assert {path for path in data if not (installed / "bioqa_pipeline" / path).is_file()} == set()


FINDS = r"""
import bioqa_pipeline.qa.checkpoint as checkpoint
import flows
from bioqa_pipeline.paths import DATA
from bioqa_pipeline.records.texts import Question
from bioqa_pipeline.sources.sample import SampleSource

print(flows.__file__, checkpoint.__file__, DATA, sep="\n")
print(checkpoint.open_checkpoint("embedded").folder)
print(len(SampleSource().search(Question("q", "Who discovered insulin?"), 2).hits))
"""


def test_the_sample_and_the_model_are_found_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-c", FINDS)
    package = installed / "bioqa_pipeline"
    assert done.stdout.splitlines() == [
        str(installed / "flows" / "__init__.py"),
        str(package / "qa" / "checkpoint.py"),
        str(package / "data"),
        str(package / "data" / "model"),
        "2",
    ], done.stderr


# What pip writes into bin/.
COMMAND = """
from importlib.metadata import entry_points
[command] = entry_points(group="console_scripts", name="bioqa")
command.load()()
"""


def test_its_command_says_which_commit_it_was_built_of(installed: Path, tmp_path: Path) -> None:
    source = installed.parent / "source"
    done = run(installed, tmp_path, "-c", COMMAND, "--version")
    known = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"bioqa 0.1.0 (commit {known.stdout[:12]})\n"), done.stderr


def test_a_checkout_says_its_commit_and_whether_it_was_changed(installed: Path, tmp_path: Path) -> None:
    # The folder that the wheel was built in is a checkout, too.
    source = installed.parent / "source"
    (source / "LICENSE").write_text("another\n")
    done = run(source, tmp_path, "-c", "from flows.commands.front import main; main(['--version'])")
    assert re.fullmatch(r"bioqa 0\.1\.0 \(commit [0-9a-f]{12}-dirty\)\n", done.stdout), done.stderr
    shutil.rmtree(source / ".git")
    assert run(source, tmp_path, "-c", "from bioqa_pipeline.commit import commit; print(commit())").stdout == "None\n"


@pytest.mark.slow
def test_the_main_job_runs_from_it(installed: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_text("Who discovered insulin?\n")
    options = f"--no-prefect --questions {questions} --source sample --max-abstracts 2 --out ../answers"
    done = run(installed, tmp_path, "-c", COMMAND, "run", *options.split())
    assert done.returncode == 0, done.stderr
    assert "Who discovered insulin?" in done.stdout
    (manifest,) = (tmp_path / "answers" / "runs").glob("*.json")
    assert str(ROOT) not in manifest.read_text("utf-8")
