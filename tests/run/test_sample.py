"""What a newcomer gets: the embedded model over the sample, as `make run` asks it."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.config import ModelConfig, RunConfig, SourceConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.paths import DATA
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.run.job import run_job
from support.paths import ROOT


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


@pytest.mark.timeout(600)
def test_the_embedded_model_answers_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOQA_CACHE", str(tmp_path / "cache"))
    config = RunConfig(
        questions=DATA / "sample" / "questions.txt",
        out=tmp_path / "out",
        # As in the README's figures.
        model=ModelConfig(device="cpu", precision="fp32"),
        source=SourceConfig(max_abstracts=5),
    )
    result = run_job(config)
    assert not result.failures
    best = {a.question: a.answer for a in result.answers if a.rank == 1}
    with (DATA / "sample" / "expected.tsv").open(encoding="utf-8", newline="") as handle:
        expected = list(csv.DictReader(handle, delimiter="\t"))
    assert len(expected) == len(best)
    answerable = {row["question"]: row["answers"].split("|") for row in expected if row["answerable"] == "true"}
    right = [q for q, accepted in answerable.items() if (given := best[q]) is not None and is_right(given, accepted)]
    wrong = [q for q in best if q not in answerable and best[q] is not None]
    missed = {q: best[q] for q in answerable if q not in right}
    found = len(right), len(answerable), len(wrong), len(best) - len(answerable)
    assert found == readme_figures(), {"missed": missed, "wrong": {q: best[q] for q in wrong}}
    answers = Dataset(config.out).answers().filter(pl.col("is_answerable")).collect()
    assert all(row["answer"] in row["evidence"] for row in answers.iter_rows(named=True))
    assert run_job(config).manifest.n_scored == 0


def test_the_measure_of_right_answers() -> None:
    assert is_right("the CFTR gene", ["CFTR"])
    assert is_right("Ronald Ross, a British army surgeon", ["Ronald Ross"])
    assert not is_right("a long answer that merely holds the word CFTR somewhere", ["CFTR"])
    assert not is_right("CFTR1", ["CFTR"])
