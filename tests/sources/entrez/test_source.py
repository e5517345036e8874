from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Self

import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.records.texts import Abstract, FetchStatus, Question, Retrieval
from bioqa_pipeline.sources import open_source
from bioqa_pipeline.sources.base import Source
from bioqa_pipeline.sources.entrez import source as entrez
from bioqa_pipeline.sources.entrez.source import EntrezSource
from support.entrez_sources import EMAIL, asked, contents, make_source
from support.eutils_faults import HARMLESS, HOSTILE, QUICK, REFUSED, SILENT, Faults
from support.eutils_records import ServerRecord, made_question, make_records, split_records
from support.eutils_search import Corpus
from support.eutils_server import EutilsServer
from support.outside import OutsideMaterial
from support.paths import TESTS
from support.store_processes import held_pmids

RECORDS = make_records(120)
CORPUS = Corpus(RECORDS)
PMIDS = [r.pmid for r in RECORDS]


@pytest.fixture
def server() -> Iterator[EutilsServer]:
    with EutilsServer([], Faults(retry_after_seconds=0), limit=None, key_limit=None, corpus=CORPUS) as running:
        yield running


def spoiled(record: ServerRecord, old: bytes, new: bytes) -> ServerRecord:
    assert old in record.xml
    return replace(record, xml=record.xml.replace(old, new))


def test_it_is_a_source(server: EutilsServer, tmp_path: Path) -> None:
    source: Source = make_source(server, tmp_path, api_key="s3cr3t")
    assert source.name == "pubmed"
    told = source.describe()
    assert told["base_url"] == server.base_url
    assert told["api_key"] == "yes"
    assert "s3cr3t" not in str(told)
    assert EMAIL not in str(told)


def test_an_email_address_is_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCBI_EMAIL", raising=False)
    with pytest.raises(ConfigError, match="NCBI_EMAIL"):
        EntrezSource(AbstractStore(tmp_path), SourceConfig(kind="pubmed"))


def test_it_can_be_opened_from_the_environment(
    server: EutilsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOQA_CACHE", str(tmp_path))
    monkeypatch.setenv("BIOQA_EUTILS_URL", server.base_url)
    monkeypatch.setenv("NCBI_EMAIL", EMAIL)
    monkeypatch.setenv("NCBI_API_KEY", "good-key")
    source = open_source(SourceConfig(kind="pubmed"))
    hits = source.search(Question(id="q", text="What does aspirin do?"), 3).hits
    assert source.ensure([hit.pmid for hit in hits]) == []
    assert source.store.path == tmp_path / "pubmed"
    assert {(r.params["api_key"], r.params["email"]) for r in server.log} == {("good-key", EMAIL)}
    monkeypatch.setenv("BIOQA_EUTILS_URL", "http://eutils.example.org/")
    with pytest.raises(ConfigError, match=r"BIOQA_EUTILS_URL.*https"):
        open_source(SourceConfig(kind="pubmed"))


def test_what_the_store_lacks_is_fetched_once(server: EutilsServer, tmp_path: Path) -> None:
    source = make_source(server, tmp_path)
    settled: list[int] = []
    assert source.ensure(PMIDS[:30]) == []
    assert source.ensure([*PMIDS, *PMIDS[:7]], progress=settled.append) == []
    assert sorted(contents(source.store)) == PMIDS
    assert contents(source.store)[PMIDS[0]].title == RECORDS[0].title
    assert sum(settled) == len(PMIDS) + 7
    requests = server.requests("efetch")
    assert [len(r.ids) for r in requests] == [30, 90]
    assert {(r.method, r.params["db"], r.params["retmode"], r.params["email"]) for r in requests} == {
        ("POST", "pubmed", "xml", EMAIL)
    }
    assert source.ensure(PMIDS) == []
    assert len(server.requests("efetch")) == 2


def test_batches_have_at_most_200_pmids(tmp_path: Path) -> None:
    records = make_records(450)
    with EutilsServer(records, limit=None) as server:
        source = make_source(server, tmp_path)
        assert source.ensure([r.pmid for r in records]) == []
        assert [len(r.ids) for r in server.log] == [200, 200, 50]
    assert len(contents(source.store)) == 450


def test_old_records_are_fetched_again_and_revisions_arrive(tmp_path: Path) -> None:
    revised = spoiled(RECORDS[0], RECORDS[0].title.encode(), b"A new title.")
    with EutilsServer(RECORDS[:5], limit=None) as server:
        source = make_source(server, tmp_path, ttl_days=0)
        assert source.ensure(PMIDS[:5]) == []
        server.corpus.records[revised.pmid] = revised
        assert source.ensure(PMIDS[:5]) == []
        assert asked(server.log) == PMIDS[:5] * 2
    assert contents(source.store)[PMIDS[0]].title == "A new title."


def test_records_that_came_before_the_clock_was_set_back_are_fetched_again(
    server: EutilsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source(server, tmp_path)
    assert source.ensure(PMIDS[:5]) == []
    monkeypatch.setattr(entrez, "datetime", Yesterday)
    assert source.ensure(PMIDS[:5]) == []
    assert asked(server.log) == PMIDS[:5] * 2


class Yesterday(datetime):
    """A clock that is a day late."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) - timedelta(days=1)


def test_what_pubmed_does_not_have_is_not_found(server: EutilsServer, tmp_path: Path) -> None:
    missing = make_source(server, tmp_path).ensure([PMIDS[0], 5, PMIDS[1], 99_999_999, 0, -3, 5, 10**12])
    assert [(m.pmid, m.status) for m in sorted(missing, key=lambda m: m.pmid)] == [
        (pmid, FetchStatus.NOT_FOUND) for pmid in (-3, 0, 5, 99_999_999, 10**12)
    ]
    assert all(m.reason for m in missing)


def test_what_pubmed_has_withdrawn_goes(server: EutilsServer, tmp_path: Path) -> None:
    source = make_source(server, tmp_path, ttl_days=0)
    source.ensure(PMIDS[:5])
    server.deleted = {PMIDS[2]}
    (missing,) = source.ensure(PMIDS[:5])
    assert (missing.pmid, missing.status) == (PMIDS[2], FetchStatus.DELETED)
    assert sorted(contents(source.store)) == [PMIDS[0], PMIDS[1], PMIDS[3], PMIDS[4]]
    server.deleted = set()
    assert source.ensure(PMIDS[:5]) == []
    assert sorted(contents(source.store)) == PMIDS[:5]


@pytest.mark.parametrize("kind", [*QUICK, *SILENT, *HARMLESS])
def test_a_passing_fault_loses_and_adds_nothing(server: EutilsServer, tmp_path: Path, kind: str) -> None:
    source = make_source(server, tmp_path, batch_size=25)
    server.fail("efetch", kind, times=2)
    assert source.ensure(PMIDS[:50]) == []
    assert sorted(contents(source.store)) == PMIDS[:50]


@pytest.mark.parametrize("kind", [*QUICK, *HOSTILE, *REFUSED])
def test_every_pmid_ends_in_the_store_or_as_missing(server: EutilsServer, tmp_path: Path, kind: str) -> None:
    source = make_source(server, tmp_path, batch_size=5, max_tries=2, max_body_bytes=1_000_000)
    server.fail("efetch", kind, times=999, after=2)
    missing = source.ensure(PMIDS[:20])
    assert sorted(contents(source.store)) == PMIDS[:10]
    assert sorted(m.pmid for m in missing) == PMIDS[10:20]
    assert {m.status for m in missing} <= {FetchStatus.FETCH_ERROR, FetchStatus.PARSE_ERROR}
    assert all(m.reason for m in missing)
    assert len(server.log) < 200


def test_a_failed_refresh_leaves_the_old_record_in_use(server: EutilsServer, tmp_path: Path) -> None:
    source = make_source(server, tmp_path, ttl_days=0, max_tries=1)
    source.ensure(PMIDS[:5])
    server.fail("efetch", "http_503", times=99)
    missing = source.ensure(PMIDS[:8])
    assert sorted(m.pmid for m in missing) == PMIDS[5:8]
    assert sorted(contents(source.store)) == PMIDS[:5]


def test_one_record_that_is_no_xml_costs_itself_only(tmp_path: Path) -> None:
    records = [spoiled(r, b"</Article>", b"</Artikel>") if i == 17 else r for i, r in enumerate(RECORDS)]
    with EutilsServer(records, limit=None) as server:
        source = make_source(server, tmp_path, max_tries=2)
        (missing,) = source.ensure(PMIDS)
        assert len(server.log) < 60
    assert (missing.pmid, missing.status) == (PMIDS[17], FetchStatus.PARSE_ERROR)
    assert sorted(contents(source.store)) == [p for p in PMIDS if p != PMIDS[17]]


def test_records_without_a_readable_pmid_are_found_out(tmp_path: Path) -> None:
    bad = {17, 40}
    records = [
        spoiled(r, f'<PMID Version="1">{r.pmid}</PMID>'.encode(), b'<PMID Version="1">none</PMID>') if i in bad else r
        for i, r in enumerate(RECORDS)
    ]
    with EutilsServer(records, limit=None) as server:
        source = make_source(server, tmp_path, max_tries=2)
        missing = source.ensure([*PMIDS, 5])
    assert {(m.pmid, m.status) for m in missing} == {
        (PMIDS[17], FetchStatus.PARSE_ERROR), (PMIDS[40], FetchStatus.PARSE_ERROR), (5, FetchStatus.NOT_FOUND),
    }  # fmt: skip
    assert len(missing) == 3
    assert len(contents(source.store)) == len(PMIDS) - 2


def test_of_two_versions_the_higher_is_kept(tmp_path: Path) -> None:
    second = RECORDS[0].xml.replace(b'Version="1"', b'Version="2"').replace(b"<ArticleTitle>", b"<ArticleTitle>Second ")
    for pair in (second + RECORDS[0].xml, RECORDS[0].xml + second):
        with EutilsServer([replace(RECORDS[0], xml=pair)], limit=None) as server:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            source = make_source(server, folder)
            assert source.ensure([PMIDS[0]]) == []
        (record,) = contents(source.store).values()
        assert (record.version, record.title) == (2, f"Second {RECORDS[0].title}")


def test_a_killed_fetch_goes_on_where_it_was(tmp_path: Path) -> None:
    script = f"""
import pathlib, sys, types
sys.path.insert(0, {str(TESTS)!r})
from support.entrez_sources import make_source
server = types.SimpleNamespace(base_url=sys.argv[1])
make_source(server, pathlib.Path(sys.argv[2]), batch_size=10).ensure(list(range({PMIDS[0]}, {PMIDS[-1]} + 1)))
"""
    with EutilsServer([], limit=None, corpus=CORPUS, latency_seconds=0.05) as server:
        process = subprocess.Popen([sys.executable, "-c", script, server.base_url, str(tmp_path)])
        deadline = time.monotonic() + 60
        while len(server.requests("efetch")) < 4 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        store = AbstractStore(tmp_path / "store")
        store.repair()
        kept = held_pmids(store)
        assert 20 <= len(kept) < len(PMIDS)
        before = len(server.log)
        source = make_source(server, tmp_path)
        assert source.ensure(PMIDS) == []
        assert sorted(asked(server.log[before:])) == sorted(set(PMIDS) - set(kept))
    assert sorted(contents(source.store)) == PMIDS


def test_a_batch_that_a_kill_left_between_file_and_index_is_not_fetched_again(
    server: EutilsServer, tmp_path: Path
) -> None:
    source = make_source(server, tmp_path)
    folder = source.store.path
    source.ensure(PMIDS[:10])
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    source.ensure(PMIDS[:20])
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    n_requests = len(server.log)
    assert source.ensure(PMIDS[:20]) == []
    assert len(server.log) == n_requests
    assert sorted(contents(source.store)) == PMIDS[:20]


def run_all(
    server: EutilsServer, folder: Path, n: int, **changes: object
) -> tuple[list[Retrieval], dict[int, Abstract]]:
    """Searches and fetches for `n` questions, as a run does."""
    source = make_source(server, folder, **changes)
    questions = [Question(id=f"q{i}", text=made_question(RECORDS[i % len(RECORDS)]), line=i) for i in range(n)]
    retrievals = [source.search(question, 10) for question in questions]
    assert source.ensure([hit.pmid for r in retrievals for hit in r.hits]) == []
    return retrievals, contents(source.store)


@pytest.mark.parametrize("n", [16, pytest.param(200, marks=pytest.mark.slow)])
def test_questions_come_to_the_same_with_faults_and_without(tmp_path: Path, n: int) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    with EutilsServer([], limit=None, corpus=CORPUS) as server:
        good = run_all(server, tmp_path / "good", n)
    faults = Faults(0.2, QUICK + SILENT + HARMLESS, seed=n, retry_after_seconds=0)
    with EutilsServer([], faults, limit=None, corpus=CORPUS) as server:
        bad = run_all(server, tmp_path / "bad", n)
        assert sum(r.fault is not None for r in server.log) > n / 5
    assert good == bad
    assert all(retrieval.hits for retrieval in good[0])


def test_threads_can_share_a_source(server: EutilsServer, tmp_path: Path) -> None:
    source = make_source(server, tmp_path)
    questions = [Question(id=f"q{i}", text=made_question(record)) for i, record in enumerate(RECORDS[:16])]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda question: source.search(question, 10), questions))
    assert together == [source.search(question, 10) for question in questions]


def test_the_key_is_in_no_file(server: EutilsServer, tmp_path: Path) -> None:
    server.keys = ("s3cr3t0123456789",)
    server.faults.probability = 0.2
    run_all(server, tmp_path, 3, api_key="s3cr3t0123456789")
    assert {r.params.get("api_key") for r in server.log} == {"s3cr3t0123456789"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    assert not [path for path in files if b"s3cr3t" in path.read_bytes() or "s3cr3t" in path.name]


def test_nothing_is_written_to_the_home_and_no_dtd_is_asked_for(server: EutilsServer, tmp_path: Path) -> None:
    script = f"""
import pathlib, socket, sys, types
sys.path.insert(0, {str(TESTS)!r})
from support.entrez_sources import make_source
from bioqa_pipeline.records.texts import Question
connect = socket.create_connection
def local_only(address, *args, **kwargs):
    assert address[0] == "127.0.0.1", address
    return connect(address, *args, **kwargs)
socket.create_connection = local_only
source = make_source(types.SimpleNamespace(base_url=sys.argv[1]), pathlib.Path(sys.argv[2]))
hits = source.search(Question(id="q", text="What does aspirin do?"), 3).hits
assert hits and not source.ensure([hit.pmid for hit in hits])
assert "Bio.Entrez.Parser" not in sys.modules
"""
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    (tmp_path / "work").mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
    command = [sys.executable, "-c", script, server.base_url, str(tmp_path / "work")]
    subprocess.run(command, check=True, env=environment)
    assert list(home.iterdir()) == []


def test_real_records_arrive_through_faults_as_they_are_in_their_file(
    test_data: OutsideMaterial, tmp_path: Path
) -> None:
    file = test_data.files("pubmed/records/*.xml.gz")[0]
    records = list(islice(split_records(gzip.decompress(file.read_bytes())), 250))
    whole = io.BytesIO(b"<PubmedArticleSet>" + b"".join(r.xml for r in records) + b"</PubmedArticleSet>")
    expected = {a.pmid: a for a in parse_records(whole, name=file.name) if isinstance(a, Abstract)}
    assert len(expected) == 250
    kinds = ("http_503", "cut_record", "short_body", "chunked_cut", *SILENT)
    corpus = Corpus([])
    corpus.records = {r.pmid: r for r in records}
    with EutilsServer([], Faults(0.4, kinds, seed=3), limit=None, corpus=corpus) as server:
        source = make_source(server, tmp_path, batch_size=40)
        assert source.ensure(list(expected)) == []
    assert contents(source.store) == expected
