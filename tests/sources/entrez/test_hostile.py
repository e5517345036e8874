"""A service that lies, drips, bursts or repeats the key: every request ends soon, small and with a clear message."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.redaction import REDACTED
from bioqa_pipeline.sources.entrez import rate_limit
from bioqa_pipeline.sources.entrez.client import EntrezClient, FetchAnswer
from bioqa_pipeline.sources.entrez.responses import SearchAnswer
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from support.hostile_answers import ENDLESS, MODES
from support.hostile_echoes import ECHOES
from support.hostile_service import FIRST_PMID, Asked, HostileServer
from support.source_failures import word_of

KEY = "SECRETKEY0123456789abcdef0123456789"
# What a search comes to by its mode: how it fails, or "" where it does not; and how often it is sent, of two tries.
OUTCOMES = {
    "good": ("", 1),
    "length abc": ("connection", 2),
    "length too long": ("truncated", 2),
    "length too short": ("not_xml", 2),
    "two lengths": ("connection", 2),
    "no http": ("connection", 2),
    "nothing": ("connection", 2),
    "five hundred headers": ("bad_headers", 2),
    "a long header": ("bad_headers", 2),
    "refused with a thousand headers": ("http_404", 1),
    "error that drips": ("http_404", 1),
    "redirection": ("redirect", 1),
    "packed lie": ("truncated", 2),
    "packed bomb": ("body_too_large", 1),
    "doctype": ("unsafe_xml", 1),
    "laughs": ("unsafe_xml", 1),
    "file entity": ("unsafe_xml", 1),
    "huge id": ("bad_xml", 2),
    "negative id": ("bad_xml", 2),
    "huge count": ("bad_xml", 2),
    "two million ids": ("body_too_large", 1),
    "million deep": ("body_too_large", 1),
    "deep": ("bad_xml", 2),
    "translation of 20 MB": ("body_too_large", 1),
    "terminal": ("query_error", 1),
    "pause NaN": ("http_429", 2),
    "pause -5": ("http_429", 2),
    "pause \uff15": ("http_429", 2),
    "pause 1e99": ("http_429", 2),
    "pause 999999999999999999": ("http_429", 1),
    "pause Fri, 31 Dec 9999 23:59:59 GMT": ("http_429", 1),
    "echoed error": ("query_error", 1),
    "echoed error that is cut": ("query_error", 1),
    "echoed error in lower case": ("query_error", 1),
    "echoed root": ("wrong_root", 2),
    "echoed id": ("bad_xml", 2),
    "echoed json": ("query_error", 1),
    "echoed in no xml": ("not_xml", 2),
    "echoed encoding": ("unsafe_xml", 1),
    "echoed with 403": ("http_403", 1),
    "echoed with 429": ("http_429", 2),
    **dict.fromkeys((mode for mode in MODES if mode.startswith("refused with length")), ("http_404", 1)),
}
# Here the search goes well and the fetch does not.
FETCHES = {
    "deep records": "bad_xml",
    "fetched entity": "unsafe_xml",
    "echoed tags": "bad_xml",
    "echoed root of records": "wrong_root",
}


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer(MODES | ECHOES) as running:
        yield running


@pytest.fixture(autouse=True)
def short_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of one request a second costs a twentieth of one."""
    monkeypatch.setattr(rate_limit, "WINDOW_SECONDS", 0.05)


def client(server: HostileServer, mode: str, folder: Path, **changes: object) -> EntrezClient:
    settings: dict[str, object] = {
        "base_url": server.url(mode),
        "lock_dir": folder,
        "requests_per_second": 100,
        "backoff_seconds": 0.001,
        "max_tries": 2,
        "try_seconds": 30,
    }
    server.n_requests.clear()
    return EntrezClient(
        EntrezSettings.model_validate(settings | changes), email="a@example.org", api_key=SecretStr(KEY)
    )


def search(asked: EntrezClient) -> SearchAnswer:
    return asked.search("q", 20, sort="relevance", dates={})


def check_nothing_of_the_key(shown: str) -> None:
    pieces = {KEY[i : i + 12].lower() for i in range(len(KEY) - 11)}
    assert not [piece for piece in pieces if piece in shown.lower()]


@pytest.mark.parametrize("mode", ENDLESS)
def test_what_does_not_end_is_ended(server: HostileServer, tmp_path: Path, mode: str) -> None:
    for try_seconds in (0.2, 2.0):
        asked = client(server, mode, tmp_path, try_seconds=try_seconds, max_tries=1)
        began = time.monotonic()
        with pytest.raises(SourceError) as caught:
            search(asked)
        # Silence alone would be waited for for 30 s.
        assert time.monotonic() - began < try_seconds + 5
        # On a busy machine the first wait can end before anything is sent.
        if server.n_requests:
            break
    assert word_of(caught.value) in {"timeout", "connection", "truncated"}
    assert server.n_requests == {mode: 1}


@pytest.mark.parametrize("mode", [mode for mode in ENDLESS if mode.startswith("flood")])
def test_what_pours_in_is_counted(server: HostileServer, tmp_path: Path, mode: str) -> None:
    """The bytes end it long before the deadline does."""
    asked = client(server, mode, tmp_path, try_seconds=120, max_tries=1, max_body_bytes=100_000)
    began = time.monotonic()
    with pytest.raises(SourceError) as caught:
        search(asked)
    assert time.monotonic() - began < 30
    assert word_of(caught.value) in {"connection", "truncated"}


@pytest.mark.parametrize("mode", sorted((MODES | ECHOES).keys() - ENDLESS.keys()))
def test_every_other_answer_is_read_or_refused(server: HostileServer, tmp_path: Path, mode: str) -> None:
    seen: list[object] = []
    # A body that drips ends soon; the others are slow to make, not to come.
    asked = client(server, mode, tmp_path, **({"timeout_seconds": 0.2} if "long" in mode else {}))
    expected, n_tries = OUTCOMES.get(mode, ("", 1))
    if expected:
        with pytest.raises(SourceError) as caught:
            search(asked)
        assert (word_of(caught.value), sum(server.n_requests.values())) == (expected, n_tries)
        seen.append(str(caught.value))
        assert len(str(caught.value)) < 500
    else:
        answer, fetched = search(asked), fetch(asked)
        assert 0 < len(answer.pmids) <= 20
        assert len(repr(answer)) < 150_000
        assert (word_of(fetched) if isinstance(fetched, SourceError) else "") == FETCHES.get(mode, "")
        seen += [answer, fetched]
    check_nothing_of_the_key("\n".join(f"{part}{part!r}" for part in seen))
    assert not [part for part in seen for char in str(part) if ord(char) in {0x9B, 0x9D, 0x202E, 0x2066, 0x200E}]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 20_000


def fetch(asked: EntrezClient) -> FetchAnswer | SourceError:
    try:
        return asked.fetch([FIRST_PMID])
    except SourceError as exc:
        return exc


def test_what_was_refused_for_its_spelling_is_there_without_the_key(server: HostileServer, tmp_path: Path) -> None:
    asked = client(server, "echo", tmp_path)
    answer, fetched = search(asked), fetch(asked)
    assert answer.translation.startswith(f"vitamin AND {REDACTED} {REDACTED}")
    assert all(REDACTED in remark for remark in (*answer.ignored, *answer.messages, *answer.not_found))
    assert isinstance(fetched, FetchAnswer)
    record = fetched.records[0]
    assert record.title.startswith(f"Scurvy and {REDACTED}")
    assert record.text.startswith("A lack of vitamin C") and record.text.endswith("Oranges heal it.")
    assert (record.journal, record.doi) == (f"Journal of {REDACTED}", f"10.1234/{REDACTED}")
    assert [bad.reason for bad in fetched.bad] == [f"its PMID is '{REDACTED}'"]


def test_a_packed_bomb_is_not_unpacked(server: HostileServer, tmp_path: Path) -> None:
    """32 MB of zeros in 140 kB, and a limit of 4 MB."""
    asked = client(server, "packed bomb", tmp_path)
    next(MODES["packed bomb"](Asked("esearch", {})))  # else the making of it would be counted
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="more than"):
            search(asked)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20
