"""A whole run against a service that repeats the API key everywhere, and lies and drips besides: no output holds it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.redaction import REDACTED
from bioqa_pipeline.sources.entrez import rate_limit
from bioqa_pipeline.sources.entrez import settings as entrez_settings
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from flows.commands.run import main
from support.checkpoints import make_checkpoint
from support.hostile_answers import ENDLESS, MODES
from support.hostile_echoes import ECHOES
from support.hostile_service import HostileServer
from support.store_processes import held_pmids

KEY = "5Ecret0123456789abcdef0123456789qrstuv"
# Those that take seconds, and those that ask for silence for the rest of the run.
LEFT_OUT = {"deep", "million deep", "packed bomb", "two million ids", "translation of 20 MB", *ENDLESS}
LEFT_OUT |= {"pause 999999999999999999", "pause Fri, 31 Dec 9999 23:59:59 GMT"}
ASKED = [mode for mode in (*ECHOES, *MODES) if mode not in LEFT_OUT]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HostileServer]:
    with HostileServer(MODES | ECHOES) as server:
        settings = EntrezSettings(
            base_url=server.url("echo"),
            requests_per_second=100,
            # On a busy machine less can end before anything is sent.
            try_seconds=1.0,
            max_tries=1,
            backoff_seconds=0,
            lock_dir=tmp_path / "rate",
        )
        monkeypatch.setattr(rate_limit, "WINDOW_SECONDS", 0.02)  # one of them lowers the rate to one a second
        monkeypatch.setattr(entrez_settings, "settings_from_environment", lambda: settings)
        monkeypatch.setenv("NCBI_API_KEY", KEY)
        monkeypatch.setenv("BIOQA_CACHE", str(tmp_path / "cache"))
        yield server


def run(folder: Path, queries: list[str]) -> int:
    rows = "".join(f"What causes scurvy {i}?\t{query}\n" for i, query in enumerate(queries))
    (folder / "q.tsv").write_text(f"question\tquery\n{rows}")
    model = make_checkpoint(folder / "model")
    options = f"--questions {folder / 'q.tsv'} --out {folder / 'out'} --source pubmed --email a@example.org"
    return main([*options.split(), "--model", str(model), "--device", "cpu", "--no-prefect", "--verbose"])


def everything_written(folder: Path) -> str:
    """All files as they are and, where they are packed, as they are read."""
    shown = []
    for path in folder.rglob("*"):
        if path.is_file():
            shown.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            shown.append(f"{pq.read_table(path).to_pylist()}{pq.read_schema(path).metadata}")
    store = AbstractStore(folder / "cache" / "pubmed")
    return "\n".join([*shown, *map(repr, store.get(held_pmids(store)))])


def check_no_key(shown: str) -> None:
    pieces = {KEY[i : i + 12].lower() for i in range(len(KEY) - 11)}
    packed = base64.b64encode(f"user:{KEY}".encode()).decode()[8:-4].lower()
    folded = shown.lower()
    assert not [piece for piece in (*pieces, packed, KEY.encode().hex()) if piece in folded]


def test_the_key_is_in_no_output_of_a_run(
    service: HostileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    code = run(tmp_path, [f"scurvy: {mode}" for mode in (*ASKED, "endless headers")])
    assert code == 1, "some searches fail"
    assert service.n_requests.keys() == {*ASKED, "endless headers"}
    told = capfd.readouterr()
    written = everything_written(tmp_path)
    check_no_key("\n".join([told.out, told.err, caplog.text, *map(repr, caplog.records), written]))
    assert REDACTED in told.out and REDACTED in caplog.text and REDACTED in written
    assert not {"httpx", "httpcore", "botocore", "urllib3"} & {r.name.partition(".")[0] for r in caplog.records}
    assert not {0x1B, 0x9B, 0x202E, 0x2066} & set(map(ord, told.out + told.err + caplog.text))
    check_answers(tmp_path)


def check_answers(folder: Path) -> None:
    """The abstracts that repeated the key are asked like any others, and offsets are those of the text as stored."""
    answers = Dataset(folder / "out").answers().filter(pl.col("title").str.contains(REDACTED, literal=True)).collect()
    assert len(answers) >= 3
    store = AbstractStore(folder / "cache" / "pubmed")
    texts = {abstract.pmid: abstract.text for abstract in store.get(held_pmids(store))}
    for row in answers.iter_rows(named=True):
        text = texts[row["pmid"]]
        assert REDACTED in text and "Oranges heal it." in text
        assert text[row["evidence_start"] : row["evidence_end"]] == row["evidence"]
        assert all(text[span["start"] : span["end"]] == span["text"] for span in row["n_best"])
