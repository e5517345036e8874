"""Deployments on a real Prefect server with a real worker: by hand, by schedule, cancelled, failed, retried, served."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from bioqa_pipeline.dataset.reader import Dataset
from support.checkpoints import make_checkpoint
from support.prefect_box import ROOT, PrefectBox, free_port, wait_for

QUESTIONS = "What causes scurvy?\nWhich gene is mutated in cystic fibrosis?\nWho discovered insulin?\n"
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []


def test_what_the_deployments_name_is_there_and_their_parameters_are_taken() -> None:
    from bioqa_pipeline.config import RunConfig

    content = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))
    assert [d["name"] for d in content["deployments"]] == ["nightly", "nightly-docker", "nightly-kubernetes"]
    for deployment in content["deployments"]:
        assert deployment["entrypoint"] == "flows/run.py:run"
        RunConfig.model_validate(deployment["parameters"]["config"])
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
        [schedule] = deployment["schedules"]
        assert schedule["timezone"] and schedule["cron"]
    assert (ROOT / content["deployments"][0]["parameters"]["config"]["questions"]).is_file()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployments")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectBox]:
    """Server, process pool, deployment and worker."""
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    box = PrefectBox(tmp_path_factory.mktemp(request.param), database_url=url)
    # Each test has folders of its own, made later.
    box.env["BIOQA_ROOTS"] = str(tmp_path_factory.getbasetemp())
    try:
        box.start_server()
        box.prefect("work-pool", "create", "bioqa", "--type", "process")
        box.prefect("deploy", "--name", "nightly")
        box.start("worker", "-m", "prefect", "worker", "start", "--pool", "bioqa")
        yield box
    finally:
        box.close()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database cluster of the test's own."""
    if not POSTGRES:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    programs, data, port = POSTGRES[-1], tmp_path_factory.mktemp("postgres") / "data", free_port()
    # PostgreSQL does not run as root.
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    data.mkdir()
    if user:
        shutil.chown(data, "postgres")
        for parent in list(data.parents)[:3]:
            parent.chmod(0o755)
    name = user.get("user") or pwd.getpwuid(os.geteuid()).pw_name
    subprocess.run([programs / "initdb", "-D", data, "--auth=trust"], check=True, capture_output=True, cwd=data, **user)  # type: ignore[call-overload]
    server = subprocess.Popen(  # type: ignore[call-overload]
        [programs / "postgres", "-D", data, "-p", str(port), "-k", data, "-h", "127.0.0.1"],
        cwd=data,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,
    )
    ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
    wait_for(lambda: subprocess.run(ready, capture_output=True).returncode == 0, "PostgreSQL does not start")
    yield f"postgresql+asyncpg://{name}@127.0.0.1:{port}/postgres"
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return make_checkpoint(folder / "model")


@pytest.fixture
def config(tmp_path: Path, model: Path) -> dict[str, Any]:
    questions = tmp_path / "q.txt"
    questions.write_text(QUESTIONS)
    return {
        "questions": str(questions),
        "out": str(tmp_path / "out"),
        "model": {"name": str(model), "device": "cpu", "precision": "fp32"},
        "source": {"max_abstracts": 8},
        "shard_pairs": 5,
        "workers": 2,
        "public_url": "https://answers.example.org/out",
    }


def start(box: PrefectBox, config: dict[str, Any]) -> str:
    deployment = deployment_id(box)
    run: dict[str, Any] = box.post(f"deployments/{deployment}/create_flow_run", parameters={"config": config})
    return str(run["id"])


def deployment_id(box: PrefectBox) -> str:
    [deployment] = box.post("deployments/filter", deployments={"name": {"any_": ["nightly"]}})
    return str(deployment["id"])


def logs(box: PrefectBox, run_id: str) -> list[str]:
    found = box.post("logs/filter", logs={"flow_run_id": {"any_": [run_id]}}, limit=200)
    return [entry["message"] for entry in found]


@pytest.mark.slow
def test_a_run_by_hand_shows_what_it_did(box: PrefectBox, config: dict[str, Any]) -> None:
    run_id = start(box, config)
    run = box.wait_until(run_id, "Completed", "Failed", "Crashed")
    assert run["state_name"] == "Completed", "\n".join(logs(box, run_id))
    assert run["name"] == "q.txt asked of sample, to out"
    [manifest] = Dataset(config["out"]).runs()
    assert manifest.n_scored == Dataset(config["out"]).answers().collect().height > 10

    found = box.post("artifacts/filter", artifacts={"flow_run_id": {"any_": [run_id]}})
    # A sign of the data set stands behind its name.
    artifacts = {a["key"].rpartition("-out-")[0]: a for a in found}
    assert set(artifacts) == {"bioqa-progress", "bioqa-answers", "bioqa-summary", "bioqa-page"}
    assert artifacts["bioqa-progress"]["data"] == 100.0
    assert f"{manifest.n_scored} of {manifest.n_scored} pairs" in artifacts["bioqa-progress"]["description"]
    table = json.loads(artifacts["bioqa-answers"]["data"])
    assert [row["question"] for row in table] == QUESTIONS.splitlines()
    page = f"https://answers.example.org/out/runs/{manifest.run_id}.html"
    assert page in artifacts["bioqa-page"]["data"] and page in artifacts["bioqa-summary"]["data"]
    assert f"{manifest.n_scored:,} new pairs" in artifacts["bioqa-summary"]["data"]

    said = wait_for(lambda: [m for m in logs(box, run_id) if m.startswith("worker-")], "no worker's log arrived")
    assert any("windows/s" in message for message in said)
    asset = f"file://{config['out']}"
    wait_for(lambda: asset in materialized(box), "the data set is not among the assets")


def materialized(box: PrefectBox) -> set[str]:
    found = box.post("events/filter", filter={"event": {"name": ["prefect.asset.materialization.succeeded"]}}, limit=50)
    return {event["resource"]["prefect.resource.id"] for event in found["events"]}


@pytest.mark.slow
def test_wrong_parameters_are_refused_before_anything_runs(box: PrefectBox, config: dict[str, Any]) -> None:
    before = len(box.flow_runs())
    with pytest.raises(Exception, match=r"409|422"):
        start(box, config | {"max_answers": "many"})
    assert len(box.flow_runs()) == before


@pytest.mark.slow
def test_scheduled_runs_do_not_overlap(box: PrefectBox, config: dict[str, Any]) -> None:
    schedules = f"deployments/{deployment_id(box)}/schedules"
    body = [{"schedule": {"interval": 4.0}, "active": True, "parameters": {"config": config}}]
    [schedule] = box.call("POST", schedules, body)

    def of_schedule() -> list[dict[str, Any]]:
        return [r for r in box.flow_runs() if r["auto_scheduled"] and r["parameters"]["config"]["out"] == config["out"]]

    wait_for(
        lambda: [r["state_name"] for r in of_schedule()].count("Completed") >= 2,
        "no two scheduled runs were completed",
    )
    box.call("DELETE", f"{schedules}/{schedule['id']}")
    runs = of_schedule()
    assert "Cancelled" in {r["state_name"] for r in runs}
    ran = sorted((r["start_time"], r["end_time"]) for r in runs if r["state_name"] == "Completed")
    assert all(first_end <= second_start for (_, first_end), (second_start, _) in pairwise(ran))
    answers = Dataset(config["out"]).answers().collect()
    assert answers["pair_id"].is_unique().all()


@pytest.mark.slow
def test_a_cancelled_run_ends_and_the_next_one_goes_on(box: PrefectBox, config: dict[str, Any]) -> None:
    slow = config | {"model": {"device": "cpu"}, "shard_pairs": 1, "workers": 1}
    slow["source"] = {"max_abstracts": 40}
    run_id = start(box, slow)
    answers = Path(config["out"]) / "answers"

    def is_committed() -> bool:
        state = box.flow_run(run_id)["state"]
        assert state["type"] in ("SCHEDULED", "PENDING", "RUNNING"), state
        return answers.is_dir() and any(answers.iterdir())

    wait_for(is_committed, "nothing was committed")
    box.post(f"flow_runs/{run_id}/set_state", state={"type": "CANCELLING"})
    box.wait_until(run_id, "Cancelled")
    wait_for(
        lambda: [m.status for m in Dataset(config["out"]).runs()] == ["failed"], "no manifest of the cancelled run"
    )
    kept = Dataset(config["out"]).answers().collect()
    next_id = start(box, slow)
    box.wait_until(next_id, "Completed")
    [_, manifest] = Dataset(config["out"]).runs()
    assert manifest.n_reused == kept.height and manifest.n_scored > 0
    assert Dataset(config["out"]).answers().collect()["pair_id"].is_unique().all()


@pytest.mark.slow
def test_a_failed_run_says_why_and_can_be_retried(box: PrefectBox, config: dict[str, Any]) -> None:
    questions = Path(config["questions"])
    questions.rename(questions.with_suffix(".away"))
    run_id = start(box, config)
    failed = box.wait_until(run_id, "Failed", "Crashed", "Completed")
    assert failed["state_name"] == "Failed" and str(questions) in failed["state"]["message"]
    assert not [message for message in logs(box, run_id) if "Traceback" in message]
    questions.with_suffix(".away").rename(questions)
    # What "Retry" in the UI does.
    box.post(f"flow_runs/{run_id}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True)
    box.wait_until(run_id, "Completed", "Crashed")
    assert [m.status for m in Dataset(config["out"]).runs()] == ["completed"]


@pytest.mark.slow
def test_a_run_that_names_what_was_not_declared_is_refused(box: PrefectBox, config: dict[str, Any]) -> None:
    run_id = start(box, config | {"questions": "/etc/passwd"})
    failed = box.wait_until(run_id, "Failed", "Crashed", "Completed")
    assert failed["state_name"] == "Failed" and "`questions /etc/passwd` is outside" in failed["state"]["message"]
    assert not Path(config["out"]).exists()


@pytest.mark.slow
def test_a_single_machine_needs_one_command(tmp_path: Path, config: dict[str, Any]) -> None:
    box = PrefectBox(tmp_path)
    del box.env["PREFECT_API_URL"]
    options = ["--questions", config["questions"], "--out", config["out"], "--model", config["model"]["name"]]
    schedule = ["--cron", "* * * * *", "--port", str(box.port)]
    try:
        served = box.start("served", "-m", "flows.serve", *options, "--device", "cpu", "--precision", "fp32", *schedule)
        runs = Path(config["out"]) / "runs"
        wait_for(lambda: runs.is_dir() and any(runs.glob("*.json")), "no scheduled run came to its end")
        served.terminate()
        served.wait(timeout=60)
    finally:
        box.close()
    assert Dataset(config["out"]).runs()[0].status == "completed"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", box.port), timeout=2)


def test_serving_checks_its_options_first(tmp_path: Path) -> None:
    from flows.serve import main

    assert main(["--questions", str(tmp_path / "none.txt"), "--cron", "0 2 * * *"]) == 2
