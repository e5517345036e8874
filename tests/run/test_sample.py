"""What a newcomer gets: the embedded model over the sample, as `make run` asks it."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.config import ModelConfig, RunConfig, SourceConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.paths import DATA
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.run.job import run_job
from support.paths import ROOT

QUESTIONS = DATA / "sample" / "questions.txt"


def contains(words: str, part: str) -> bool:
    return f" {part} " in f" {words} "


def is_right(answer: str, accepted: list[str]) -> bool:
    """The same key, or one of the two names the other and at most three words more."""
    key = answer_key(answer)
    return any(
        (contains(key, other) or contains(other, key)) and abs(len(key.split()) - len(other.split())) <= 3
        for other in map(answer_key, accepted)
    )


def readme_figures() -> tuple[int, int, int, int]:
    """(right, answerable, wrongly answered, unanswerable) as the README says."""
    words = " ".join((ROOT / "README.md").read_text("utf-8").split())
    found = re.search(
        r"(\d+) of the sample's (\d+) answerable questions get the right best answer "
        r"and (none|\d+) of the (\d+) unanswerable ones gets? one",
        words,
    )
    assert found is not None, "README.md no longer says how many questions of the sample are answered"
    right, answerable, wrong, unanswerable = (0 if word == "none" else int(word) for word in found.groups())
    return right, answerable, wrong, unanswerable


# An audit hook sees every connection and look-up of names that goes through Python's sockets, whoever asks for it.
GUARDED = """
import sys

def guard(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        place = arguments[1] if event in {"socket.connect", "socket.sendto"} else arguments[0]
        host = place[0] if isinstance(place, tuple) else place
        if host not in {"127.0.0.1", "::1", "localhost", None} and not isinstance(place, bytes):
            sys.stderr.write(f"REACHED OUT: {event} {place}\\n")
            raise PermissionError(f"no network here: {event} {place}")

sys.addaudithook(guard)
"""
JOB = """
from flows.commands.run import main

sys.exit(main(sys.argv[1:]))
"""
REACHING = """
import socket

socket.create_connection(("192.0.2.1", 80), timeout=1)
"""


def guarded(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    offline = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    env = {name: value for name, value in os.environ.items() if name not in offline}
    env |= {"BIOQA_CACHE": str(folder / "cache"), "HOME": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, "-c", GUARDED + program, *arguments],
        cwd=ROOT,
        env={
            **env,
            "COLUMNS": "160",
            "BIOQA_CACHE": str(folder / "cache"),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=580,
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The job of `make run` in a process that may not reach out, and its data set."""
    folder = tmp_path_factory.mktemp("sample")
    # Precision and device as in the README's figures.
    options = ["--source", "sample", "--max-abstracts", "5", "--precision", "fp32", "--device", "cpu"]
    out = folder / "out"
    done = guarded(JOB, folder, "--questions", str(QUESTIONS), *options, "--no-prefect", "--quiet", "--out", str(out))
    return done, out


@pytest.mark.timeout(600)
def test_the_sample_is_asked_without_a_network(asked: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """Neither names nor connections but those of this machine."""
    done, out = asked
    assert "REACHED OUT" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    assert Dataset(out).runs()[0].n_scored > 50


def test_the_readme_shows_what_came_out(asked: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    block = (ROOT / "README.md").read_text("utf-8").split("```text\n")[1].split("```")[0]
    # Ids and folders differ from run to run.
    shown = [" ".join(line.split()) for line in block.splitlines() if line and "answers-sample" not in line]
    printed = {" ".join(line.split()) for line in asked[0].stdout.splitlines()}
    assert len(shown) == 8 and set(shown) <= printed, asked[0].stdout


def test_the_guard_would_have_noticed(tmp_path: Path) -> None:
    done = guarded(REACHING, tmp_path)
    assert done.returncode == 1 and "REACHED OUT" in done.stderr


@pytest.mark.timeout(600)
def test_the_embedded_model_answers_the_sample(
    asked: tuple[subprocess.CompletedProcess[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    done, out = asked
    assert done.returncode == 0, done.stderr
    summary = Dataset(out).summary().filter(rank=1).collect()
    best = dict(summary.select("question", "answer").iter_rows())
    with (DATA / "sample" / "expected.tsv").open(encoding="utf-8", newline="") as handle:
        expected = list(csv.DictReader(handle, delimiter="\t"))
    assert len(expected) == len(best)
    answerable = {row["question"]: row["answers"].split("|") for row in expected if row["answerable"] == "true"}
    right = [q for q, accepted in answerable.items() if (given := best[q]) is not None and is_right(given, accepted)]
    wrong = [q for q in best if q not in answerable and best[q] is not None]
    missed = {q: best[q] for q in answerable if q not in right}
    found = len(right), len(answerable), len(wrong), len(best) - len(answerable)
    n_answers = Dataset(out).summary().filter(pl.col("answer").is_not_null()).collect().height
    cells = re.findall(r'<td class="num">([\d,]+)</td>', (out / "runs/index.html").read_text("utf-8"))
    assert cells[-1] == str(n_answers)
    page = next((out / "runs").glob("2*.html")).read_text("utf-8")
    shown = done.stdout + done.stderr + re.sub(r"(?s)<(script|style).*?</\1>|<[^>]+>", "", page)
    assert not re.search(r"null score|\bspans?\b|\bwindows?\b|\bshards?\b|(?<!\()\b(?:fp32|bf16)\b", shown)
    assert found == readme_figures(), {"missed": missed, "wrong": {q: best[q] for q in wrong}}
    answers = Dataset(out).answers().filter(pl.col("is_answerable")).collect()
    assert all(row["answer"] in row["evidence"] for row in answers.iter_rows(named=True))
    monkeypatch.setenv("BIOQA_CACHE", str(out.parent / "cache"))
    config = RunConfig(
        questions=QUESTIONS,
        out=out,
        model=ModelConfig(device="cpu", precision="fp32"),
        source=SourceConfig(max_abstracts=5),
    )
    assert run_job(config).manifest.n_scored == 0


def test_the_measure_of_right_answers() -> None:
    assert is_right("the CFTR gene", ["CFTR"])
    assert is_right("Ronald Ross, a British army surgeon", ["Ronald Ross"])
    assert not is_right("a long answer that merely holds the word CFTR somewhere", ["CFTR"])
    assert not is_right("CFTR1", ["CFTR"])
