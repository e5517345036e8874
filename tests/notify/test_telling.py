"""Who is told of what, night after night, to a receiver on loopback; and what a receiver that fails comes to."""

from __future__ import annotations

import json
import logging
import socket
import uuid
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.quarantine import quarantine
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.verify import verify
from bioqa_pipeline.notify import webhook
from bioqa_pipeline.notify.news import read_news
from bioqa_pipeline.notify.telling import tell
from bioqa_pipeline.run.job import run_job
from flows.commands.run import main
from support.medline_folder import Article
from support.small_runs import ARTICLES, QUESTION, small_config, write_records
from support.told import SECRET, ToldServer

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(autouse=True)
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSES_SECONDS", (0.0, 0.0))
    write_records(tmp_path / "records")


def feed(config: RunConfig) -> tuple[bytes, list[tuple[str, str, list[str]]]]:
    """The bytes of the feed and, checked for what Atom asks of each, title, id and links of its entries."""
    raw = (config.out / "runs" / "feed.xml").read_bytes()
    tree = ElementTree.fromstring(raw)
    dated = [tree, *tree.findall(f"{ATOM}entry")]
    assert tree.tag == f"{ATOM}feed" and tree.find(f"{ATOM}author/{ATOM}name") is not None
    entries = []
    for node in dated:
        [title], [name], [updated] = (node.findall(f"{ATOM}{tag}") for tag in ("title", "id", "updated"))
        assert title.text and datetime.fromisoformat(str(updated.text)).tzinfo is not None
        assert uuid.UUID(name.text)
        links = [link.attrib["href"] for link in node.findall(f"{ATOM}link")]
        assert "://" in links[0] or (config.out / "runs" / links[0]).is_file()
        entries.append((title.text, str(name.text), links))
    assert len({name for _, name, _ in entries}) == len(entries)
    assert not verify(Dataset(config.out).storage).findings
    return raw, entries[1:]


def night(config: RunConfig) -> tuple[list[str], int]:
    """What the run says of it, and how many could not be told."""
    said: list[str] = []
    return said, tell(config, run_job(config).manifest, say=said.append)


def test_three_nights(tmp_path: Path, model: Path) -> None:
    config = small_config(tmp_path, model, threshold=1e9, public_url="https://answers.example.org/a")
    with ToldServer() as server:
        config = config.changed(notify=f"webhook:{server.url}")
        night(config)
        [first] = server.messages
        assert (first["schema"], first["data_set"], first["n_new"], first["n_changed"]) == ("bioqa.news/1", "out", 3, 0)
        by_pmid = {change["pmid"]: change for change in first["changes"]}
        assert set(by_pmid) == {11, 12, 13}
        told = by_pmid[11]
        assert (told["kind"], told["why"], told["question"]) == ("new", "a new question", QUESTION)
        assert told["evidence"] == ARTICLES[0].text and told["answer"] in ARTICLES[0].text
        assert told["url"] == "https://pubmed.ncbi.nlm.nih.gov/11/"
        assert first["page"] == f"https://answers.example.org/a/runs/{first['run_id']}.html"
        assert first["text"].startswith("3 new answers in data set out\n") and first["text"].endswith(first["page"])

        raw, entries = feed(config)
        assert {links[-1] for _, _, links in entries} == {f"https://pubmed.ncbi.nlm.nih.gov/{n}/" for n in (11, 12, 13)}

        assert night(config) == (["nothing new: nobody is told"], 0)
        assert len(server.bodies) == 1 and feed(config) == (raw, entries)

        retracted = replace(ARTICLES[0], is_retracted=True, revised="2024-02-02")
        new = Article(14, "Artemisinin is the drug that treats <malaria> & calls <!channel>.")
        write_records(tmp_path / "records", [retracted, new], number=2)
        said, n_missed = night(config)
        assert n_missed == 0 and said == ["1 of 1 receiver told of 1 new answer, 1 changed answer in data set out"]
        third = server.messages[-1]
        assert [(c["kind"], c["what"], c["why"], c["why_pmids"]) for c in third["changes"]] == [
            ("new", "new", "a new record", [14]),
            ("changed", "retracted support", "a retraction", [11]),
        ]
        assert "retracted support: " in third["text"] and "why: a retraction: 11" in third["text"]
        # What a record says is no command of the receiver's.
        assert "<" not in third["text"] and "&lt;!channel&gt;" in third["text"]
        assert len(server.bodies) == 2
        raw, latest = feed(config)
        assert latest[2:] == entries and [title.split(":")[0] for title, _, _ in latest[:2]] == [
            *("new", "retracted support"),
        ]
        assert b"&amp;lt;malaria" in raw


def test_what_a_killed_run_left_unsaid_the_next_one_says(tmp_path: Path, model: Path) -> None:
    config = small_config(tmp_path, model, threshold=1e9)
    run_job(config)
    raw, entries = feed(config)
    write_records(tmp_path / "records", [Article(14, "A drug that treats malaria.", "T" * 3)], number=2)
    with pytest.MonkeyPatch.context() as patch:
        # As where it is killed between the files that it replaces.
        patch.setattr("bioqa_pipeline.run.pages.make_feed", lambda *_: None)
        run_job(config)
    assert feed(config)[0] == raw
    run_job(config)
    latest = feed(config)[1]
    assert len(latest) == 4 and latest[1:] == entries
    (config.out / "runs" / "feed.xml").write_bytes(b"<feed>")
    quarantine(Dataset(config.out).storage)
    run_job(config)
    assert [name for _, name, _ in feed(config)[1]] == [latest[0][1]]


def test_old_entries_go_and_invented_records_are_not_linked(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bioqa_pipeline.notify.feed.MOST_ENTRIES", 4)
    config = small_config(tmp_path, model, threshold=1e9)
    run_job(config)
    first = feed(config)[1]
    new = [Article(n, f"Drug {n} is the drug that treats malaria.") for n in (90_000_001, 90_000_002)]
    write_records(tmp_path / "records", new[:2], number=2)
    run_job(config)
    latest = feed(config)[1]
    assert latest[2:] == first[:2]
    assert all(not any("pubmed" in link for link in links) for _, _, links in latest[:2])
    news = read_news(config, Dataset(config.out).runs()[-1])
    assert "PMID 90000001, not in PubMed" in news.text() and {c["url"] for c in news.fields()["changes"]} == {None}


def test_a_receiver_that_fails_costs_the_run_nothing(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_config(tmp_path, model, threshold=1e9)
    caplog.set_level(logging.DEBUG)
    with ToldServer(503, "", 204) as passing, ToldServer(404) as gone, ToldServer(302) as elsewhere:
        urls = [passing.url, gone.url, elsewhere.url, "http://127.0.0.1:1/services/" + SECRET]
        config = config.changed(notify=[f"webhook:{url}" for url in urls])
        said, n_missed = night(config)
        # What may pass is tried again, what does not is not; nobody is followed elsewhere.
        assert [len(server.bodies) for server in (passing, gone, elsewhere)] == [3, 1, 1]
    assert n_missed == 3 and said[-1].startswith("1 of 4 receivers told of ") and "3 could not be told" in said[-1]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sum("could not be told" in line for line in warnings) == 3
    assert any("HTTP 404" in line for line in warnings) and any("HTTP 302" in line for line in warnings)
    assert [run.status for run in Dataset(config.out).runs()] == ["completed"]
    assert "SECRETSECRET" not in caplog.text


def test_a_public_name_of_a_private_address_is_not_told_unless_it_was_declared(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with ToldServer() as server:
        url = server.url.replace("127.0.0.1", "hooks.example.org")
        config = small_config(tmp_path, model, threshold=1e9, notify=f"webhook:{url}")
        manifest = run_job(config).manifest
        addresses: list[str] = []
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda _, port, *__, **___: [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port)) for found in addresses
            ],
        )
        for private in ("127.0.0.1", "::ffff:127.0.0.1", "10.0.0.8", "fe80::1%lo", "224.0.0.1"):
            addresses[:] = [private]
            assert tell(config, manifest, say=print, declared=()) == 1
            assert "leads to an address of this machine or its network" in caplog.records[-1].getMessage()
        addresses[:] = ["127.0.0.1"]
        assert server.messages == [] and tell(config, manifest, say=print, declared={url}) == 0
        assert len(server.messages) == 1


def test_the_address_is_in_nothing_that_is_written_or_said(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ToldServer(500) as server:
        config = small_config(tmp_path, model, threshold=1e9)
        options = f"--questions {config.questions} --out {config.out} --model {model} --device cpu --precision fp32"
        options += f" --medline-dir {tmp_path / 'records'} --threshold inf --notify webhook:{server.url}"
        assert main([*options.split(), "--dry-run"]) == 0
        assert "are told to webhook:http://127.0.0.1" in capsys.readouterr().out
        assert main([*options.split(), "--show-config"]) == 0
        assert main([*options.split(), "--no-prefect", "--verbose"]) == 0
        assert len(server.bodies) == 3
    said = capsys.readouterr()
    assert "0 of 1 receiver told" in said.err and "HTTP 500" in caplog.text
    written = b"".join(path.read_bytes() for path in config.out.rglob("*") if path.is_file())
    for text in (said.out, said.err, caplog.text, written.decode("latin-1"), repr(config), str(config.notify)):
        assert "SECRETSECRET" not in text
    [manifest] = Dataset(config.out).runs()
    [stored] = manifest.config["notify"]  # type: ignore[misc, union-attr]
    assert "/[redacted:" in str(stored)


def test_what_is_stored_is_known_again(tmp_path: Path) -> None:
    config = RunConfig.checked({"questions": "q", "out": "o", "notify": "webhook:https://h.example.org/s/abcdefgh?t=1"})
    stored = RunConfig.model_validate_json(config.model_dump_json())
    assert json.loads(stored.model_dump_json())["notify"] == json.loads(config.model_dump_json())["notify"]
    assert stored.notify[0].is_hidden and stored.notify[0].whole(["https://h.example.org/s/other"]).is_hidden
    assert stored.notify[0].whole(["head:6379", "https://h.example.org/s/abcdefgh?t=1"]) == config.notify[0]


@pytest.mark.parametrize(
    "written",
    [
        *("", "webhook:", "webhook:ftp://h/SECRET", "webhook:https://u:SECRET@h/x", "webhook:https:///SECRET"),
        *(
            "webhook:https://h/SECRET SECRET",
            "webhook:https://h/SECRET,",
            "https://h/SECRET",
            "webhook:https://h\n/SECRET",
        ),
        *("block:slack-webhook", "block:slack-webhook/../x", "mail:SECRET@h", "webhook:https://h/" + "SECRET" * 400),
    ],
)
def test_what_is_no_receiver_is_refused_and_not_repeated(written: str) -> None:
    with pytest.raises(Exception, match=r"webhook:https://HOST/PATH") as caught:
        RunConfig.checked({"questions": "q", "out": "o", "notify": [written]})
    assert "SECRET" not in str(caught.value) and "\n" not in str(caught.value)
