"""Search answers read by Biopython's own parser and by ours, which needs no DTD and no folder to keep them in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from Bio import Entrez

from bioqa_pipeline.sources.entrez.responses import decode_count, decode_search
from support.eutils_records import make_records
from support.eutils_search import Corpus
from support.eutils_server import EutilsServer, LoggedRequest


@pytest.mark.parametrize(
    "term", ["aspirin", "the aspirin OR insulin", "zzyzx", 'aspirin OR zzyzx OR "no such phrase"', "hasabstract"]
)
def test_a_search_answer_says_what_biopython_reads_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setattr(Entrez, "local_cache", str(tmp_path))
    with EutilsServer([], limit=None, corpus=Corpus(make_records(60))) as server:
        body = server.answer(LoggedRequest("esearch", "POST", "", {"db": "pubmed", "term": term}, 0.0)).body
    read: dict[str, Any] = Entrez.read(io.BytesIO(body))
    ours = decode_search(body)
    assert ours.count == decode_count(body) == int(read["Count"])
    assert ours.pmids == tuple(map(int, read["IdList"]))
    assert ours.translation == read["QueryTranslation"]
    errors, warnings = read.get("ErrorList", {}), read.get("WarningList", {})
    assert ours.not_found == (*errors.get("PhraseNotFound", ()), *warnings.get("QuotedPhraseNotFound", ()))
    assert ours.ignored == tuple(warnings.get("PhraseIgnored", ()))
    assert ours.messages == tuple(warnings.get("OutputMessage", ()))
