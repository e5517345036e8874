"""What `flows.serve` and a deployment make of a run, without a server: their arguments and their errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.settings import PREFECT_API_URL, temporary_settings

from bioqa_pipeline.config import RunConfig
from flows import serve
from flows.commands import run
from flows.declared import ADDRESSES, ROOTS
from support.checkpoints import make_checkpoint


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    questions = tmp_path / "q.txt"
    questions.write_text("What causes scurvy?\n")
    model = make_checkpoint(tmp_path / "model", layers=1)
    return ["--questions", str(questions), "--model", str(model), "--out", str(tmp_path / "out"), "--device", "cpu"]


class Api(BaseHTTPRequestHandler):
    """As much of a Prefect server as is asked before anything is served: its version, for those who may know."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b'"3.8.8"')

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def api() -> Iterator[type[Api]]:
    """A server that is set; what it answers can be changed."""

    class Own(Api):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
            yield Own
        server.shutdown()


@pytest.fixture
def served(api: type[Api], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The deployments that would be served."""
    deployments: list[Any] = []
    monkeypatch.delenv(ROOTS, raising=False)
    monkeypatch.delenv(ADDRESSES, raising=False)
    monkeypatch.setattr("prefect.serve", lambda deployment, **_: deployments.append(deployment))
    return deployments


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


def test_without_a_schedule_it_is_started_by_hand(
    options: list[str], served: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.main(options) == 0
    [deployment] = served
    assert "serving bioqa/served until it is stopped (Ctrl-C)" in capsys.readouterr().err
    assert not deployment.schedules and deployment.concurrency_limit == 1


def test_runs_are_told_what_they_may_name(
    options: list[str], served: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr("prefect.serve", lambda deployment, **_: told.update(os.environ))
    monkeypatch.setenv(ROOTS, "/srv/before")
    monkeypatch.chdir(tmp_path)
    assert serve.main([*options, "--root", "more", "--root", "s3://bucket/more"]) == 0
    named = (options[1], options[5], options[3], str(tmp_path / "more"), "s3://bucket/more", "/srv/before")
    assert told[ROOTS] == ":".join(named) and told[ADDRESSES] == ""
    assert os.environ[ROOTS] == "/srv/before" and ADDRESSES not in os.environ


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--cron", "61 * * * *"], '--cron "61 * * * *": '),
        (["--cron", "* * *"], '--cron "* * *": '),
        (["--cron", "tomorrow"], '--cron "tomorrow": '),
        (["--cron", "0 2 31 2 *"], '--cron "0 2 31 2 *": failed to find next date'),
        (["--cron", "0 2 * * *", "--timezone", "Mars/Olympus"], "--timezone Mars/Olympus: no such time zone"),
        (["--cron", "0 2 * * *", "--timezone", "../../etc/passwd"], "--timezone ../../etc/passwd: no such"),
        (["--cron", "0 2 * * *", "--timezone", "Europe"], "--timezone Europe: no such time zone"),
        (["--name", "a/b"], "--name a/b: "),
        (["--root", "ftp://host/x"], "--root: ftp://host/x: ftp is not supported"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_one_line(
    options: list[str], served: list[Any], wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.main([*options, *wrong]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")
    assert served == []


@pytest.mark.parametrize(("status", "said"), [(401, "refuses the login"), (403, "refuses the login"), (500, "500")])
def test_a_server_that_refuses_is_one_line(
    options: list[str],
    served: list[Any],
    api: type[Api],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.status = status
    assert serve.main(options) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the Prefect server at http://127.0.0.1:") and said in line
    assert served == []


def test_a_run_that_a_server_refuses_is_one_line(
    options: list[str], api: type[Api], capsys: pytest.CaptureFixture[str]
) -> None:
    api.status = 401
    assert run.main([*options, "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the Prefect server at http://127.0.0.1:") and "refuses the login" in line


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/api", "http://host.invalid:4200/api", "not a url", "ftp://127.0.0.1/api"]
)
def test_a_server_that_is_away_is_one_line(
    options: list[str], served: list[Any], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        assert serve.main(options) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: the Prefect server at {url} cannot be reached (")
    assert served == []


@pytest.mark.parametrize("wrong", [["--model", "./nowhere"], ["--questions", "none.txt"], ["--max-abstracts", "0"]])
def test_what_cannot_run_is_not_served(
    options: list[str], served: list[Any], wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.main([*options, *wrong]) == 2
    assert "error: " in capsys.readouterr().err
    assert served == []
