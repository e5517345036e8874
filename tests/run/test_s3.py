"""The main job with its data set in an object store, end to end, over the sample records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.workers import Pooled
from bioqa_pipeline.storage.uri import ObjectUri
from flows.commands.run import build_parser, main, parse_config
from flows.report import main as report
from support.paths import ROOT
from support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from support.small_runs import sample_config

QUESTIONS = "What causes scurvy?\nWhich gene is mutated in cystic fibrosis?\n"


@pytest.fixture
def config(s3: S3Server, tmp_path: Path, model: Path) -> RunConfig:
    return sample_config(tmp_path, model, QUESTIONS, most=6, out=s3.new_uri(), shard_pairs=4)


def arguments(config: RunConfig) -> list[str]:
    return [
        *("--questions", str(config.questions), "--out", str(config.out), "--model", config.model.name),
        *("--max-abstracts", "6", "--precision", "fp32", "--device", "cpu"),
    ]


def test_the_setting_keeps_a_uri_and_a_folder(config: RunConfig) -> None:
    assert isinstance(config.out, ObjectUri)
    assert config.out.absolute().name == "set"
    again = RunConfig.model_validate_json(config.model_dump_json())
    assert again == config and isinstance(again.out, ObjectUri)
    assert json.loads(config.model_dump_json())["out"] == str(config.out)
    assert RunConfig(questions=config.questions, out="x").out == Path("x")
    assert parse_config(build_parser().parse_args(arguments(config))).out == config.out
    assert RunConfig.model_json_schema()["properties"]["out"]["type"] == "string"


def test_a_run_and_one_after_it(s3: S3Server, config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    first = run_job(config)
    assert first.failures == ()
    assert first.manifest.n_scored == first.manifest.n_pairs == 12
    assert run_job(config).manifest.n_scored == 0
    dataset = Dataset(str(config.out))
    answers = dataset.answers().collect()
    assert answers["pair_id"].is_unique().all() and answers.height == 12
    assert first.manifest.files
    for record in first.manifest.files:
        assert len(dataset.storage.read(record.path)) == record.bytes
    keys = s3.keys(str(config.out))
    assert {key.partition("/")[0] for key in keys} == {
        ".lock",
        "_bioqa.json",
        "_log",
        "answers",
        "chunks",
        "current",
        "runs",
        "summary",
    }
    assert f"runs/{first.manifest.run_id}.html" in keys
    # What a run writes down says where the data set is, and no word of the keys to it.
    written = b"".join(dataset.storage.read(key) for key in keys)
    assert str(config.out).encode() in dataset.storage.read(f"runs/{first.manifest.run_id}.json")
    assert SECRET_KEY.encode() not in written and ACCESS_KEY.encode() not in written
    assert main([*arguments(config), "--no-prefect"]) == 0
    assert "scored 0 new pairs, reused 12" in (shown := capsys.readouterr().out)
    assert f"data set: {config.out}" in shown
    assert report(["--data-set", str(config.out), "--out", "-"]) == 0
    assert "scurvy" in capsys.readouterr().out


def test_wrong_places_are_told(s3: S3Server, config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(config)
    given[given.index("--out") + 1] = "gs://bucket/x"
    assert main([*given, "--no-prefect"]) == 2
    assert "--out: gs://bucket/x: gs is not supported" in capsys.readouterr().err
    given[given.index("--out") + 1] = "s3://no-such-bucket/x"
    assert main([*given, "--no-prefect"]) == 1
    assert "error: s3://no-such-bucket/x: there is no bucket no-such-bucket" in capsys.readouterr().err


@pytest.mark.slow
def test_worker_processes_see_nothing_but_the_store(config: RunConfig) -> None:
    result = run_job(config.model_copy(update={"workers": 2}), executor=Pooled(2))
    assert result.failures == ()
    assert Dataset(config.out).answers().collect().height == 12


@pytest.mark.slow
def test_the_command_with_prefect(config: RunConfig) -> None:
    command = [sys.executable, "-m", "flows.run", *arguments(config)]
    for scored in ("scored 12 new pairs", "scored 0 new pairs"):
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert scored in done.stdout
        assert "Traceback" not in done.stderr
