"""A run that tells a notification block of a real Prefect server, and what Prefect keeps of a webhook's address."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.notify import webhook
from flows.blocks import Mail
from flows.run import run
from support.checkpoints import make_checkpoint
from support.mail import MailServer
from support.small_runs import QUESTION, small_config, write_records
from support.told import SECRET, ToldServer


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> RunConfig:
    monkeypatch.setattr(webhook, "PAUSES_SECONDS", ())
    write_records(tmp_path / "records")
    return small_config(tmp_path, make_checkpoint(tmp_path / "model", layers=1), threshold=1e9)


def test_blocks_and_webhooks_are_told_and_nobody_learns_the_address(
    config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ToldServer() as server, ToldServer(500) as broken, MailServer() as mail:
        told = {"text": "{{subject}}\n{{body}}"}
        for name, receiver in {"good": server, "broken": broken}.items():
            block = CustomWebhookNotificationBlock(name="bioqa", url=receiver.url, json_data=told)
            block.save(f"bioqa-{name}", overwrite=True)
        SlackWebhook(url=f"http://127.0.0.1:1/{SECRET}").save("bioqa-away", overwrite=True)
        Secret(value="no receiver").save("bioqa-secret", overwrite=True)
        Mail(url=f"mailto://127.0.0.1:{mail.port}?from=a@example.org&to=b@example.org&mode=insecure").save(
            "bioqa-team", overwrite=True
        )
        named = (
            "bioqa-mail/bioqa-team",
            "custom-webhook/bioqa-good",
            "custom-webhook/bioqa-broken",
            "custom-webhook/none",
        )
        named = (*named, "slack-webhook/bioqa-away", "secret/bioqa-secret")
        # Whoever makes a block has its address logged.
        caplog.clear()
        config = config.changed(notify=[f"webhook:{server.url}", *(f"block:{name}" for name in named)])
        manifest = run(config)
        run(config)
    assert manifest.status == "completed"
    by_webhook, by_block = server.messages
    assert by_webhook["n_new"] == 3 and len(broken.bodies) == 1
    subject, body = by_block["text"].split("\n", 1)
    assert subject == "3 new answers in data set out"
    assert QUESTION in body and "https://pubmed.ncbi.nlm.nih.gov/11/" in body
    [sent] = mail.mails
    assert (sent["Subject"], sent["To"]) == ("3 new answers in data set out", "b@example.org")
    texts = [part.get_content() for part in sent.walk() if part.get_content_maintype() == "text"]
    assert any("https://pubmed.ncbi.nlm.nih.gov/11/" in text for text in texts)
    lines = [record.getMessage() for record in caplog.records]
    assert any("3 of 7 receivers told" in line and "4 could not be told" in line for line in lines)
    assert sum("could not be told: " in line and line.startswith("block:") for line in lines) == 4
    assert any(line == "nothing new: nobody is told" for line in lines)
    with get_client(sync_client=True) as client:
        stored = json.dumps([found.model_dump(mode="json") for found in client.read_flow_runs()])
    assert "[redacted:" in stored
    found = [(r.name, r.threadName) for r in caplog.records if "SECRETSECRET" in r.getMessage()]
    assert not found and "SECRETSECRET" not in stored
