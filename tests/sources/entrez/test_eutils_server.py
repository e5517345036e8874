"""The local server behaves as the service does where tests rely on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from support.eutils_records import make_records
from support.eutils_search import Corpus, QueryError
from support.eutils_server import EutilsServer

RECORDS = make_records(60)
CORPUS = Corpus(RECORDS)


@pytest.fixture
def server() -> Iterator[EutilsServer]:
    with EutilsServer([], corpus=CORPUS, limit=None, max_hits=20) as running:
        yield running


def get(server: EutilsServer, utility: str, **params: object) -> str:
    with urlopen(f"{server.base_url}{utility}.fcgi", urlencode({"db": "pubmed", **params}).encode()) as response:
        return str(response.read().decode())


def having(*words: str) -> set[int]:
    """Generated records with all of the words as they stand."""
    texts = {r.pmid: " ".join((r.title, r.abstract, *r.mesh)).lower().replace(".", " ").split() for r in RECORDS}
    return {pmid for pmid, text in texts.items() if all(word in text for word in words)}


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("aspirin", having("aspirin")),
        ("the Aspirin and liver", having("aspirin", "liver")),
        ("aspirin OR insulin AND liver", (having("aspirin") | having("insulin")) & having("liver")),
        ("aspirin OR (insulin AND liver)", having("aspirin") | having("insulin", "liver")),
        ("liver NOT aspirin", having("liver") - having("aspirin")),
        ("asp*[tiab] liver", set()),  # too short to be truncated
        ("aspi*[tiab]", having("aspirin")),
        ("aspirin[tiabb]", having("aspirin")),
        ("liver AND hasabstract", {r.pmid for r in RECORDS if r.pmid in having("liver") and r.abstract}),
        ("liver AND french[la]", set()),
        ("liver zzyzx", set()),
        ('"in the liver"[tiab]', {r.pmid for r in RECORDS if "in the liver" in f"{r.title} {r.abstract.lower()}"}),
        ('"liver the in"', set()),
        ('"2001/01/02"[edat] : "2001/01/04"[edat]', {r.pmid for r in RECORDS[1:4]}),
        ("2001/02[dp]", {r.pmid for r in RECORDS[31:59]}),
        (str(RECORDS[5].pmid), {RECORDS[5].pmid}),
    ],
)
def test_queries(term: str, expected: set[int]) -> None:
    assert set(CORPUS.search(term).pmids) == expected


@pytest.mark.parametrize("term", ["(aspirin", "aspirin)", '"aspirin', "aspirin[ti", "the"])
def test_queries_that_cannot_be_read(term: str) -> None:
    with pytest.raises(QueryError):
        CORPUS.search(term)


def test_what_it_reports_beside_the_hits() -> None:
    found = CORPUS.search('the aspirin OR zzyzx OR "no such phrase"')
    assert (found.phrases_ignored, found.phrases_not_found) == (["the"], ["zzyzx"])
    assert found.quoted_not_found == ['"no such phrase"[All Fields]']
    assert set(found.pmids) == having("aspirin")


def test_paging_ends_at_the_cap(server: EutilsServer) -> None:
    assert get(server, "esearch", term="hasabstract", retmax=1000).count("<Id>") == 20
    straddling = get(server, "esearch", term="hasabstract", retstart=19, retmax=10)
    assert straddling.count("<Id>") == 1
    assert "start and count adjusted to 19, 1" in straddling
    assert "'retstart' cannot be larger than 19" in get(server, "esearch", term="hasabstract", retstart=20)


def test_efetch_answers_by_omission(server: EutilsServer) -> None:
    asked = f"{RECORDS[0].pmid},7,{RECORDS[0].pmid}"
    assert get(server, "efetch", id=asked).count("<PubmedArticle>") == 1
    assert "<PubmedArticleSet></PubmedArticleSet>" in get(server, "efetch", id="7")
    with pytest.raises(HTTPError) as caught:
        get(server, "efetch", id="x,0")
    with caught.value as response:
        assert (response.status, b"ID list is empty" in response.read()) == (400, True)


def test_limits_and_keys() -> None:
    with EutilsServer([], corpus=CORPUS, limit=2) as server:
        get(server, "esearch", term="aspirin")
        get(server, "esearch", term="aspirin")
        with pytest.raises(HTTPError) as caught:
            get(server, "esearch", term="aspirin")
        with caught.value as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "2")
        assert get(server, "esearch", term="aspirin", api_key="good-key")
        with pytest.raises(HTTPError) as caught:
            get(server, "esearch", term="aspirin", api_key="bad-key")
        with caught.value as response:
            assert (response.status, json.loads(response.read())["api-key"]) == (400, "bad-key")
