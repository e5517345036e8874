"""A wheel holds what it needs: with no checkout near, it asks the sample with the embedded model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    options = "--no-deps --no-build-isolation --no-index --config-settings=--build-option=--compression=stored".split()
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tmp, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp.glob("*.whl")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        target,
        wheel,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in an empty folder; of the project it knows what is installed only."""
    empty = folder / "empty"
    empty.mkdir()
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
            if path.is_file() and "data" not in path.relative_to(installed).parts
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


def test_it_brings_one_command(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, str(installed / "bin" / "bioqa"), "--version")
    assert (done.returncode, done.stdout) == (0, "bioqa 0.1.0\n"), done.stderr


@pytest.mark.slow
def test_the_main_job_runs_from_it(installed: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_text("Who discovered insulin?\n")
    options = f"--no-prefect --questions {questions} --source sample --max-abstracts 2 --out ../answers"
    done = run(installed, tmp_path, str(installed / "bin" / "bioqa"), "run", *options.split())
    assert done.returncode == 0, done.stderr
    assert "Who discovered insulin?" in done.stdout
    (manifest,) = (tmp_path / "answers" / "runs").glob("*.json")
    assert str(ROOT) not in manifest.read_text("utf-8")
