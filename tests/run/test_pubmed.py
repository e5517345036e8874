"""Whole runs over live E-utilities, as the local server plays them, and over a list of PMIDs."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.config import ModelConfig, RunConfig, SourceConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.paths import DATA
from bioqa_pipeline.records.texts import FetchStatus
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.records import RunResult
from bioqa_pipeline.sources.pmids import read_list
from support.checkpoints import make_checkpoint
from support.eutils_faults import QUICK, Faults
from support.eutils_records import ServerRecord, read_records
from support.eutils_server import EutilsServer, most_in_a_second
from support.outside import OutsideMaterial
from support.retrieval import read_asked_records

KEY = "good-key"
QUESTIONS = "Which gene is mutated in cystic fibrosis?\nA lack of which vitamin causes scurvy?\nWhat is zzyzx?\n"


def sample_records() -> list[ServerRecord]:
    return read_records([DATA / "sample" / "pubmed-sample.xml"])


def run(
    folder: Path,
    server: EutilsServer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    asked: str = QUESTIONS,
    **source: object,
) -> RunResult:
    monkeypatch.setenv("BIOQA_CACHE", str(folder / "cache"))
    monkeypatch.setenv("BIOQA_EUTILS_URL", server.base_url)
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    folder.mkdir(exist_ok=True)
    questions = folder / "q.txt"
    questions.write_text(asked)
    settings = {"kind": "pubmed", "email": "someone@example.org", "max_abstracts": 4, **source}
    return run_job(
        RunConfig(
            questions=questions,
            out=folder / "out",
            model=ModelConfig(name=str(make_checkpoint(folder / "model")), device="cpu", precision="fp32"),
            source=SourceConfig.model_validate(settings),
        )
    )


def rows(folder: Path) -> pl.DataFrame:
    return Dataset(folder / "out").answers().collect().drop("run_id", "scored_at", "model").sort("pair_id")


def test_a_run_through_faults_gives_the_same_data_set_and_never_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    records = sample_records()
    with EutilsServer(records, limit=None, key_limit=None) as server:
        good = run(tmp_path / "good", server, monkeypatch)
        assert all(KEY not in request.path for request in server.log)
    with EutilsServer(
        records, Faults(0.2, QUICK, seed=3, retry_after_seconds=0, most_a_request=5), limit=None, key_limit=None
    ) as bad:
        through_faults = run(tmp_path / "bad", bad, monkeypatch)
        assert any(request.fault for request in bad.log)
    assert not through_faults.failures
    assert rows(tmp_path / "good").equals(rows(tmp_path / "bad"))
    assert [r.hits for r in good.manifest.retrievals] == [r.hits for r in through_faults.manifest.retrievals]
    assert good.manifest.retrievals[0].hits > 0
    assert good.manifest.retrievals[0].attempts[0].term
    assert sum(good.manifest.statuses.values()) == rows(tmp_path / "good")["pmid"].n_unique()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
    assert KEY not in caplog.text


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_200_questions_through_faults_give_the_same_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test_data: OutsideMaterial
) -> None:
    records = read_records(test_data.files("pubmed/records/*.xml.gz"))
    asked = [record.question.text for record in read_asked_records()]
    asked += [f"What is known about {record.title.rstrip('.?]').lstrip('[')}?" for record in records if record.title]
    asked = list(dict.fromkeys(" ".join(question.split()) for question in asked))[:200]
    text = "".join(f"{question}\n" for question in asked)
    with EutilsServer(records, limit=None, key_limit=None) as server:
        good = run(tmp_path / "good", server, monkeypatch, asked=text)
    with EutilsServer(
        records, Faults(0.2, QUICK, seed=5, retry_after_seconds=0, most_a_request=5), limit=None, key_limit=None
    ) as server:
        bad = run(tmp_path / "bad", server, monkeypatch, asked=text)
        assert sum(request.fault is not None for request in server.log) > 100
        assert most_in_a_second([request.seconds for request in server.log]) <= 10
    assert not good.failures and not bad.failures
    assert good.manifest.n_questions == 200
    assert rows(tmp_path / "good").equals(rows(tmp_path / "bad"))
    assert [r.hits for r in good.manifest.retrievals] == [r.hits for r in bad.manifest.retrievals]
    assert good.manifest.statuses == bad.manifest.statuses


def test_a_service_that_stays_down_is_a_failure_and_not_an_empty_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EutilsServer(sample_records(), Faults(1.0, ("http_400",)), limit=None, key_limit=None) as server:
        result = run(tmp_path, server, monkeypatch)
    assert result.manifest.status == "failed"
    assert len(result.failures) == 3
    assert {r.outcome for r in result.manifest.retrievals} == {"failed"}


def test_a_list_of_pmids_is_asked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "pmids.txt"
    listed.write_text("90000002\n# a comment\n\n90000001  # this one\n90000002\n1\n")
    with EutilsServer(sample_records(), limit=None, key_limit=None) as server:
        result = run(tmp_path, server, monkeypatch, kind="pmids", pmids_file=listed, max_abstracts=1)
    assert result.manifest.statuses == {FetchStatus.SCORED: 2, FetchStatus.NOT_FOUND: 1}
    answers = rows(tmp_path)
    assert len(answers) == 3 * 2
    ranks = dict(zip(answers["pmid"], answers["rank"], strict=True))
    assert ranks == {90000002: 1, 90000001: 2}


def test_since_the_last_run_only_what_is_new_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EutilsServer(sample_records(), limit=None, key_limit=None) as server:
        first = run(tmp_path, server, monkeypatch, since_last_run=True)
        second = run(tmp_path, server, monkeypatch, since_last_run=True)
    assert first.manifest.source["since"] == ""
    assert first.manifest.n_scored > 0
    started = first.manifest.started_at.date()
    assert date.fromisoformat(second.manifest.source["since"]) == started - timedelta(days=2)
    assert {r.outcome for r in second.manifest.retrievals} == {"no_hits"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "no PMID"),
        (b"123\nabc\n", "pmids.txt:2: 'abc' is (no|not a) PMID"),
        (b"0\n", "is (no|not a) PMID"),
        (b"-5\n", "is (no|not a) PMID"),
        (b"99999999999\n", "is (no|not a) PMID"),
        ("１２\n".encode(), "is (no|not a) PMID"),
    ],
)
def test_a_bad_list_of_pmids_names_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "pmids.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_list(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_list(tmp_path / "nowhere.txt")
