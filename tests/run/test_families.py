"""Checkpoints of the families beside BERT through all that takes one: run, data set, page, evaluation, calibration."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from html import escape
from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.config import ModelConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.evaluation.job import evaluate_checkpoint
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.training.calibrate import calibrate
from support.other_checkpoints import make_other_checkpoint
from support.paths import ROOT
from support.small_runs import ARTICLES, small_config, write_records
from support.squad_files import labelled


def check_rows(out: Path, n_pairs: int) -> pl.DataFrame:
    rows = Dataset(out).answers().collect()
    assert rows.height == n_pairs and rows["answer"].null_count() == 0
    for row in rows.iter_rows(named=True):
        start, end = (row[f"answer_{side}"] - row["evidence_start"] for side in ("start", "end"))
        assert row["evidence"][start:end] == row["answer"] != ""
    return rows


@pytest.mark.parametrize("family", ["roberta", "modernbert"])
def test_what_a_family_goes_through(family: str, tmp_path: Path) -> None:
    model = make_other_checkpoint(tmp_path / "model", family)
    write_records(tmp_path / "records")
    config = small_config(tmp_path, model, threshold=100.0)
    first, second = run_job(config), run_job(config)
    assert (first.manifest.n_scored, second.manifest.n_scored) == (len(ARTICLES), 0)
    rows = check_rows(tmp_path / "out", len(ARTICLES))
    assert rows["answerability"].null_count() == rows.height
    page = (tmp_path / "out" / "runs" / f"{second.manifest.run_id}.html").read_text("utf-8")
    assert second.answers and all(escape(a.answer) in page for a in second.answers if a.answer)
    kept = json.loads(first.manifest.model["files"])
    assert kept.keys() == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert kept["tokenizer.json"] == sha256((model / "tokenizer.json").read_bytes()).hexdigest()

    questions = labelled(tmp_path / "labelled.json", 120, 0.5, seed=1)
    own = ModelConfig(name=str(model), device="cpu", precision="fp32", engine="torch")
    before = evaluate_checkpoint(questions, own, out=tmp_path / "evaluation").metrics
    assert before["total"] == 120 and "ece" not in before and (tmp_path / "evaluation" / "metrics.json").exists()
    calibrate([questions], own, out=tmp_path / "calibrated")
    after = evaluate_checkpoint(questions, own.changed(name=str(tmp_path / "calibrated"))).metrics
    assert "ece" in after and after["f1"] == pytest.approx(before["best_f1"])
    assert after["auroc_margin"] == before["auroc_margin"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["distilbert", "deberta-v2"])
def test_the_sample_is_asked_by_the_command(family: str, tmp_path: Path) -> None:
    """Two worker processes and the engine that is chosen there."""
    model = make_other_checkpoint(tmp_path / "model", family)
    command = [sys.executable, "-m", "flows.run", "--no-prefect", "--workers", "2", "--model", str(model)]
    command += ["--source", "sample", "--questions", "data/sample/questions.txt", "--threshold", "100"]
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert result.returncode == 0, result.stderr
    rows = Dataset(tmp_path / "out").answers().collect()
    assert rows.height > 100
    check_rows(tmp_path / "out", rows.height)
