"""What `flows.serve` and a deployment make of a run, without a server: their arguments and their errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.settings import PREFECT_API_URL, temporary_settings

from bioqa_pipeline.config import RunConfig
from flows import serve
from support.checkpoints import make_checkpoint


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    questions = tmp_path / "q.txt"
    questions.write_text("What causes scurvy?\n")
    model = make_checkpoint(tmp_path / "model", layers=1)
    return ["--questions", str(questions), "--model", str(model), "--out", str(tmp_path / "out"), "--device", "cpu"]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The deployments that would be served, by a server that is set and never spoken to."""
    deployments: list[Any] = []
    monkeypatch.setattr("prefect.serve", deployments.append)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        yield deployments


def test_runs_that_meet_are_not_queued(options: list[str], served: list[Any]) -> None:
    schedule = ["--cron", "30 5 * * 1-5", "--timezone", "Europe/Zurich", "--name", "weekdays"]
    assert serve.main([*options, *schedule]) == 0
    [deployment] = served
    assert deployment.concurrency_limit == 1
    assert deployment.concurrency_options.collision_strategy == ConcurrencyLimitStrategy.CANCEL_NEW
    assert (deployment.name, deployment.flow_name, deployment.entrypoint) == ("weekdays", "bioqa", "flows.run.run")
    [when] = deployment.schedules
    assert (when.schedule.cron, when.schedule.timezone) == ("30 5 * * 1-5", "Europe/Zurich")
    config = RunConfig.model_validate(json.loads(json.dumps(deployment.parameters))["config"])
    assert [str(config.questions), str(config.out), config.model.name] == [options[1], options[5], options[3]]


def test_without_a_schedule_it_is_started_by_hand(options: list[str], served: list[Any]) -> None:
    assert serve.main(options) == 0
    [deployment] = served
    assert not deployment.schedules and deployment.concurrency_limit == 1


@pytest.mark.parametrize("wrong", [["--model", "./nowhere"], ["--questions", "none.txt"], ["--max-abstracts", "0"]])
def test_what_cannot_run_is_not_served(
    options: list[str], served: list[Any], wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.main([*options, *wrong]) == 2
    assert "error: " in capsys.readouterr().err
    assert served == []
