from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.errors import RetryableSourceError, SourceError
from bioqa_pipeline.sources.entrez.responses import SearchAnswer, check_body, check_status, decode_count, decode_search
from support.outside import OutsideMaterial
from support.source_failures import word_of

ROOTS = ("eSearchResult",)
DOCTYPE = (
    b'<!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN" "https://eutils.ncbi.nlm.nih.gov/esearch.dtd">'
)


def kind_of(body: bytes, roots: tuple[str, ...] = ROOTS) -> tuple[str, bool]:
    """Kind of the error that a body raises, and whether another try may help."""
    try:
        check_body(body, roots)
        decode_search(body)
    except SourceError as exc:
        return word_of(exc), isinstance(exc, RetryableSourceError)
    pytest.fail("it passed for an answer")


@pytest.mark.parametrize(
    ("body", "kind", "passing"),
    [
        (b"", "empty_body", True),
        (b" \n", "empty_body", True),
        (b"<html><body>busy</body></html>", "html", True),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html><html/>', "html", True),
        (b'{"error":"API rate limit exceeded","api-key":"1.2.3.4","count":"4","limit":"3"}', "rate_limited", True),
        (b'{"esearchresult":{"ERROR":"Search Backend failed:\n exception"}}', "backend_failed", True),
        (b'{"esearchresult":{"ERROR":"Invalid db name specified: x"}}', "query_error", False),
        (b"OK", "not_xml", True),
        (b" " * 8000 + b"x", "not_xml", True),
        (b"<!-- " * 1500, "not_xml", True),
        (b"\xff\xfe<\0a\0>\0", "not_xml", True),
        (b"<eInfoResult/>", "wrong_root", True),
        (b"<eSearchResultX/>", "wrong_root", True),
        (b"<eSearchResult><Count>3</Count>", "bad_xml", True),
        (b"<eSearchResult/>", "bad_xml", True),
        (b"<eSearchResult><Count>three</Count></eSearchResult>", "bad_xml", True),
        (b"<eSearchResult><Count>1</Count><RetMax>1</RetMax><IdList/></eSearchResult>", "short_answer", True),
        (b"<eSearchResult><Count>1</Count></eSearchResult>", "short_answer", True),
        ("<eSearchResult><Count>\u00b2</Count></eSearchResult>".encode(), "bad_xml", True),
        (b"<eSearchResult><Count>" + b"9" * 5000 + b"</Count></eSearchResult>", "bad_xml", True),
        (b"<eSearchResult><Count>1</Count><IdList><Id>x</Id></IdList></eSearchResult>", "bad_xml", True),
        (b"<eSearchResult><ERROR>Invalid db name specified: x</ERROR></eSearchResult>", "query_error", False),
        (
            b"<eSearchResult><ERROR>Search Backend failed: Database is not supported: pubmed</ERROR></eSearchResult>",
            "backend_failed",
            True,
        ),
        (
            b"<eSearchResult><ERROR>Search Backend failed: 'retstart' cannot be over 9998</ERROR></eSearchResult>",
            "query_error",
            False,
        ),
        (b"<eFetchResult><ERROR>Unable to obtain query #1</ERROR></eFetchResult>", "query_error", False),
        (b"<eFetchResult><ERROR>ID list is empty! Possibly</ERROR></eFetchResult>", "no_ids", False),
        (b'<!DOCTYPE eSearchResult [<!ENTITY a "b">]><eSearchResult/>', "unsafe_xml", False),
        (b'<!-- x --><!doctype eSearchResult SYSTEM "y" [\n]><eSearchResult/>', "unsafe_xml", False),
        (b'<?xml version="1.0" encoding="UTF-7"?><eSearchResult/>', "unsafe_xml", False),
        (b'<?xml version="1.0" encoding="utf-16"?><eSearchResult/>', "unsafe_xml", False),
    ],
)
def test_what_is_not_an_answer_says_what_it_is(body: bytes, kind: str, passing: bool) -> None:
    assert kind_of(body) == (kind, passing)


@given(st.binary(max_size=300) | st.text(alphabet='<>!-[]{}"= eSarchRultDOCTYPxm?', max_size=80).map(str.encode))
def test_no_bytes_pass_for_an_answer_by_accident(body: bytes) -> None:
    try:
        check_body(body, ROOTS)
    except SourceError:
        return
    assert b"<eSearchResult" in body


@pytest.mark.parametrize(
    "prolog", [b"", b'<?xml version="1.0" encoding="UTF-8" ?>\n' + DOCTYPE + b"\n", b"\xef\xbb\xbf"]
)
def test_fields_of_a_search_answer(prolog: bytes) -> None:
    body = prolog + (
        b"<eSearchResult><Count>12</Count><RetMax>2</RetMax><RetStart>0</RetStart><IdList><Id>7</Id><Id>5</Id>"
        b"<Id>7</Id></IdList><TranslationSet/><QueryTranslation>a[All Fields]</QueryTranslation><ErrorList>"
        b"<PhraseNotFound>zzz</PhraseNotFound><FieldNotFound>qq</FieldNotFound></ErrorList><WarningList>"
        b'<PhraseIgnored>the</PhraseIgnored><QuotedPhraseNotFound>"b c"</QuotedPhraseNotFound>'
        b"<OutputMessage>No items.</OutputMessage></WarningList></eSearchResult>"
    )
    check_body(body, ROOTS)
    answer = decode_search(body)
    assert answer == SearchAnswer(
        count=12,
        pmids=(7, 5),
        translation="a[All Fields]",
        not_found=("zzz", '"b c"'),
        ignored=("the",),
        messages=("unknown field: qq", "No items."),
    )
    assert answer.warnings == ("not found: zzz", 'not found: "b c"', "ignored: the", "unknown field: qq", "No items.")


def test_counts() -> None:
    assert decode_count(b"<eSearchResult><Count>12</Count></eSearchResult>") == 12
    with pytest.raises(RetryableSourceError, match="without a count"):
        decode_count(b"<eSearchResult/>")


@pytest.mark.parametrize(
    ("status", "body", "kind", "passing"),
    [
        (429, b"", "http_429", True),
        (500, b"<html/>", "http_500", True),
        (504, b"", "http_504", True),
        (408, b"", "http_408", True),
        (307, b"", "redirect", False),
        (204, b"", "http_204", False),
        (403, b"", "http_403", False),
        (414, b"", "http_414", False),
        (400, b'{"error":"API key invalid","api-key":"s3cr3t"}', "bad_api_key", False),
        (
            400,
            b"<eFetchResult><ERROR>ID list is empty! Possibly it has no correct IDs.</ERROR></eFetchResult>",
            "no_ids",
            False,
        ),
        (400, b"<eFetchResult><ERROR>Cannot process</ERROR></eFetchResult>", "http_400", False),
    ],
)
def test_statuses(status: int, body: bytes, kind: str, passing: bool) -> None:
    with pytest.raises(SourceError) as caught:
        check_status(status, body)
    assert (word_of(caught.value), isinstance(caught.value, RetryableSourceError)) == (kind, passing)
    assert "s3cr3t" not in str(caught.value)


def test_real_search_answers(test_data: OutsideMaterial) -> None:
    samples = [f"pubmed/eutils_samples/{pattern}" for pattern in ("esearch.*.xml", "biopython/esearch*.xml")]
    counts = {}
    for path in sorted(path for pattern in samples for path in test_data.files(pattern)):
        body = path.read_bytes()
        try:
            check_body(body, ROOTS)
            answer = decode_search(body)
            counts[path.name] = (answer.count, len(answer.pmids))
        except SourceError as exc:
            counts[path.name] = word_of(exc)
    assert counts["esearch.pubmed.xml"] == (15169, 100)
    assert counts["esearch.baderror.xml"] == "query_error"
    assert counts["esearch.error.xml"] == (5163, 20)
    assert counts["esearch8.xml"] == (0, 0)
    wrong = test_data.file("pubmed/eutils_samples/esearch.error.xml")
    assert decode_search(wrong.read_bytes()).not_found == ("fleegle[MeSH Terms]",)
    assert len(counts) >= 10
