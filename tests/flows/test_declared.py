"""What a deployed run may name: only what was declared, by its real path; a run from the user's own shell, anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow, State, flow

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.training.recipe import DataConfig, TrainingConfig
from flows.declared import (
    ADDRESSES,
    ROOTS,
    Declared,
    addresses_in_environment,
    check_deployed,
    is_public_url,
    roots_in_environment,
)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings that were served, from a folder with much beside them."""
    for name in ("home", "home/out", "home/medline", "home/model", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "home" / "q.txt").write_text("Who?\n")
    (tmp_path / "home" / "passwords.txt").write_text("secret\n")
    (tmp_path / "home" / "out" / "way-out").symlink_to(tmp_path / "other")
    (tmp_path / "home" / "q-link.txt").symlink_to(tmp_path / "home" / "q.txt")
    (tmp_path / "home" / "out-link").symlink_to(tmp_path / "home" / "out")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.delenv(ROOTS, raising=False)
    monkeypatch.delenv(ADDRESSES, raising=False)
    return {
        "questions": "q.txt",
        "out": "out",
        "source": {"kind": "medline", "medline_dir": "medline"},
        "model": {"name": "model"},
        "runner": "ray",
        "ray_address": "head:6379",
        "public_url": "http://127.0.0.1:8000/out",
        "notify": ["webhook:http://127.0.0.1:8000/SECRET", "block:slack-webhook/alerts"],
    }


def config(served: dict[str, Any], changes: dict[str, Any]) -> RunConfig:
    return RunConfig.checked(served | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"out": "out/tonight"},
        {"out": "./out/../out"},
        {"questions": "q-link.txt", "out": "out-link"},
        {"model": {"name": "embedded"}},
        {"model": {"name": "organisation/model@abc"}},
        {"source": {"kind": "sample"}, "max_answers": 3, "threshold": 1.0},
        {"ray_address": None, "public_url": None},
        {"public_url": "https://answers.example.org/out"},
        {"notify": ["webhook:https://hooks.example.org/any"]},
    ],
)
def test_what_was_served_can_be_run(served: dict[str, Any], changes: dict[str, Any]) -> None:
    Declared.by(RunConfig.checked(served)).check(config(served, changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"questions": "/etc/passwd"}, "questions /etc/passwd"),
        ({"questions": "passwords.txt"}, "questions passwords.txt"),
        ({"questions": "out/../passwords.txt"}, "questions out/../passwords.txt"),
        ({"questions": "/proc/self/environ"}, "questions /proc/self/environ"),
        ({"out": "."}, "out ."),
        ({"out": "out-other"}, "out out-other"),
        ({"out": "out/way-out"}, "out out/way-out"),
        ({"out": "out/way-out/deeper"}, "out out/way-out/deeper"),
        ({"out": "~/answers"}, f"out {Path.home()}/answers"),
        ({"out": "s3://bucket/answers"}, "out s3://bucket/answers"),
        ({"source": {"kind": "medline", "medline_dir": "/etc"}}, "source.medline_dir /etc"),
        ({"source": {"kind": "pmids", "pmids_file": "/etc/shadow"}}, "source.pmids_file /etc/shadow"),
        ({"model": {"name": "/elsewhere/model"}}, "model.name /elsewhere/model"),
        ({"model": {"name": "../other"}}, "model.name ../other"),
        ({"model": {"name": "out-link/../../other"}}, "model.name out-link/../../other"),
        ({"ray_address": "10.0.0.1:6379"}, "ray_address 10.0.0.1:6379"),
        ({"ray_address": "auto"}, "ray_address auto"),
        (
            {"notify": ["webhook:http://127.0.0.1:8000/other"]},
            "notify webhook:http://127.0.0.1:8000/[redacted:2ddd915d]",
        ),
        ({"notify": ["webhook:http://169.254.169.254/"]}, "notify webhook:http://169.254.169.254/[redacted:e5602f1d]"),
        ({"notify": ["webhook:https://h.org/[redacted:00000000]"]}, "notify webhook:https://h.org/[redacted:00000000]"),
        ({"notify": ["block:slack-webhook/other"]}, "notify block:slack-webhook/other"),
        ({"public_url": "javascript:alert(1)"}, "public_url javascript:alert(1)"),
        ({"public_url": "http://169.254.169.254/latest"}, "public_url http://169.254.169.254/latest"),
    ],
)
def test_what_was_not_is_one_line(served: dict[str, Any], changes: dict[str, Any], named: str) -> None:
    declared = Declared.by(RunConfig.checked(served))
    with pytest.raises(ConfigError) as caught:
        declared.check(config(served, changes))
    assert f"`{named}`" in str(caught.value) and "\n" not in str(caught.value)


def test_a_tilde_is_what_it_is_for_whoever_reads_it(served: dict[str, Any], tmp_path: Path) -> None:
    Path("~").mkdir()
    declared = Declared((tmp_path / "home",))
    with pytest.raises(ConfigError, match=f"out {Path.home()}/x"):
        declared.check(config({"questions": "q.txt", "out": "~/x"}, {}))
    # Other settings than a run's may come here as they were written.
    unread = RunConfig.model_construct(questions=tmp_path / "home" / "q.txt", out=Path("~/x"))
    with pytest.raises(ConfigError, match="out ~/x"):
        declared.check(unread)


def test_prefixes_of_an_object_store_are_roots() -> None:
    declared = Declared.by(RunConfig.checked({"questions": "q.txt", "out": "s3://bucket/answers"}))
    for out, is_allowed in {"answers": True, "answers/tonight": True, "answers-other": False, "other": False}.items():
        settings = RunConfig.checked({"questions": "q.txt", "out": f"s3://bucket/{out}"})
        if is_allowed:
            declared.check(settings)
        else:
            with pytest.raises(ConfigError, match="is outside"):
                declared.check(settings)


def test_processes_elsewhere_are_told_the_same(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    declared = Declared.by(RunConfig.checked(served | {"out": "s3://bucket/answers"}))
    for name, value in declared.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    home = tmp_path / "home"
    assert roots_in_environment() == (home / "q.txt", "s3://bucket/answers", home / "model", home / "medline")
    assert addresses_in_environment() == {
        *("head:6379", "http://127.0.0.1:8000/out"),
        *("http://127.0.0.1:8000/SECRET", "block:slack-webhook/alerts"),
    }
    # Stored without its secret, it is known by what the environment says.
    Declared((home, Path("/")), addresses_in_environment() or frozenset()).check(
        RunConfig.model_validate_json(RunConfig.checked(served).model_dump_json())
    )


@pytest.mark.parametrize(
    ("url", "is_public"),
    [
        ("https://answers.example.org/out", True),
        ("http://8.8.8.8/", True),
        ("http://[2606:4700::1111]/", True),
        ("ftp://answers.example.org", False),
        ("file:///etc/passwd", False),
        ("JavaScript:alert(1)", False),
        ("//answers.example.org", False),
        ("http://", False),
        ("http://localhost:8000", False),
        ("http://LOCALHOST./", False),
        ("http://a.localhost/", False),
        ("http://printer.local/", False),
        ("http://metadata.google.internal/", False),
        ("http://intranet/", False),
        ("http://127.0.0.1/", False),
        ("http://127.1/", False),
        ("http://2130706433/", False),
        ("http://0x7f.1/", False),
        ("http://10.0.0.1/", False),
        ("http://169.254.169.254/", False),
        ("http://0.0.0.0/", False),
        ("http://[::1]/", False),
        ("http://[::ffff:127.0.0.1]/", False),
        ("http://[::127.0.0.1]/", False),
        ("http://[2002:7f00:1::]/", False),
        ("http://[64:ff9b::7f00:1]/", False),
        ("http://[fe80::1%25eth0]/", False),
        ("http://user:password@answers.example.org/", False),
        ("http://answers.example.org:port/", False),
        ("http://[::1", False),
        ("http://127.0.0.1./", False),
        ("http://2130706433./", False),
        ("http://\u2460\u2461\u2466.0.0.1/", False),
        ("http://router.lan/", False),
        ("http://router.home.arpa/", False),
        ('http://answers"><b>.example.org/', False),
        ("http://answers .example.org/", False),
    ],
)
def test_public_urls(url: str, is_public: bool) -> None:
    assert is_public_url(url) == is_public


def test_training_is_bound_in_the_same_way(tmp_path: Path) -> None:
    declared = Declared((tmp_path,))
    inside = TrainingConfig(base_model="organisation/bert", data=(DataConfig(path=tmp_path / "train.json"),))
    declared.check(inside, out=tmp_path / "model", calibrate_on=None)
    for outside in (
        inside.changed(data=(DataConfig(path=Path("/etc/passwd")),)),
        inside.changed(base_model="/elsewhere/bert"),
        inside.changed(base_recipe=inside.changed(base_model="../bert")),
    ):
        with pytest.raises(ConfigError, match="is outside"):
            declared.check(outside, out=tmp_path / "model")
    with pytest.raises(ConfigError, match=r"out /srv/model` is outside"):
        declared.check(inside, out=Path("/srv/model"))


def test_a_run_from_a_script_is_not_bound() -> None:
    check_deployed(RunConfig.checked({"questions": "/etc/passwd", "out": "/anywhere"}))


@pytest.fixture
def deployed(prefect_server: None, served: dict[str, Any]) -> Iterator[Callable[..., str]]:
    """The outcome of a flow run of a deployment, as a worker runs it, on a real server."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow

    from flows.run import run

    with get_client(sync_client=True) as client:
        small = {"questions": "q.txt", "out": "out"}
        deployment_id = client.create_deployment(client.create_flow(run), "bound", parameters={"config": small})

        def outcome(flow: Flow[..., Any] = run, **changes: Any) -> str:
            parameters = {"config": small | changes}
            flow_run = client.create_flow_run_from_deployment(deployment_id, parameters=parameters)
            state = run_flow(flow, flow_run=flow_run, parameters=parameters, return_type="state")
            assert isinstance(state, State)
            return f"{state.name}: {state.message}"

        yield outcome


def test_a_deployed_run_names_what_its_deployment_names_unless_the_worker_allows_more(
    deployed: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @flow(name="bioqa")
    def check_alone(config: RunConfig) -> str:
        check_deployed(config)
        return "done"

    assert "Failed: " in (said := deployed(questions="/etc/passwd")) and "`questions /etc/passwd` is outside" in said
    assert "Completed" in deployed(check_alone)
    monkeypatch.setenv(ROOTS, str(tmp_path))
    assert "Completed" in deployed(check_alone, questions="passwords.txt")
