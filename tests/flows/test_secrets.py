"""NCBI's API key out of a Prefect Secret block: it is used and shows up nowhere, though the service repeats it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bioqa_pipeline.config import ModelConfig, RunConfig, SourceConfig
from bioqa_pipeline.redaction import REDACTED
from support.checkpoints import make_checkpoint
from support.hostile_echoes import ECHOES
from support.hostile_service import HostileServer

KEY = "0123456789abcdef-only-in-a-block"

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from prefect.blocks.system import Secret

    from flows.credentials import API_KEY_BLOCK

    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    Secret(value=SecretStr(KEY)).save(API_KEY_BLOCK, overwrite=True)
    yield
    Secret.delete(API_KEY_BLOCK)


def test_the_environment_goes_before_the_block(block: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.credentials import ncbi_api_key

    key = ncbi_api_key()
    assert key is not None and key.get_secret_value() == KEY
    assert KEY not in repr(key)
    monkeypatch.setenv("NCBI_API_KEY", "from-the-environment")
    key = ncbi_api_key()
    assert key is not None and key.get_secret_value() == "from-the-environment"
    monkeypatch.setenv("NCBI_API_KEY", " \n")
    key = ncbi_api_key()
    assert key is not None and key.get_secret_value() == KEY


def test_without_a_block_there_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.credentials import ncbi_api_key

    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    assert ncbi_api_key() is None


def test_a_block_that_all_can_read_is_said(block: None, caplog: pytest.LogCaptureFixture) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    from flows.credentials import ncbi_api_key

    assert ncbi_api_key() is not None
    assert "can be read by all who reach the Prefect server at http://127.0.0.1:" in caplog.text
    assert KEY not in caplog.text
    caplog.clear()
    with temporary_settings({PREFECT_API_AUTH_STRING: "bioqa:a login"}):
        assert ncbi_api_key() is not None
    assert caplog.text == ""


def test_a_deployed_flow_sends_the_key_and_leaves_no_trace_of_it(
    block: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from flows.run import run

    questions = tmp_path / "q.txt"
    questions.write_text("A lack of which vitamin causes scurvy?\n")
    monkeypatch.setenv("BIOQA_CACHE", str(tmp_path / "cache"))
    with HostileServer(ECHOES) as server:
        monkeypatch.setenv("BIOQA_EUTILS_URL", server.url("echo"))
        manifest = run(
            RunConfig(
                questions=questions,
                out=tmp_path / "out",
                model=ModelConfig(name=str(make_checkpoint(tmp_path / "model")), device="cpu", precision="fp32"),
                source=SourceConfig(kind="pubmed", email="someone@example.org", max_abstracts=2),
            )
        )
    assert server.keys == {KEY}
    assert manifest.status == "completed" and manifest.n_scored > 0
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
    assert KEY not in caplog.text
    stored = asyncio.run(everything_in_prefect())
    assert "scurvy" in stored or str(questions) in stored
    assert REDACTED in stored
    assert not [piece for piece in (KEY[i : i + 12] for i in range(len(KEY) - 11)) if piece.lower() in stored.lower()]


async def everything_in_prefect() -> str:
    """What Prefect's server kept of all runs, as JSON."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        kept = [
            *await client.read_flow_runs(limit=200),
            *await client.read_task_runs(limit=200),
            *await client.read_logs(limit=200),
            *await client.read_artifacts(limit=200),
        ]
    return json.dumps([item.model_dump(mode="json") for item in kept], default=str)
