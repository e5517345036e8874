"""Whole files: gzip, broken ones, hostile ones, memory, and every real record against independent readings."""

from __future__ import annotations

import gzip
import io
import itertools
import random
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.pubmed import xml as pubmed_xml
from bioqa_pipeline.pubmed.references import without_references
from bioqa_pipeline.pubmed.xml import BadRecord, DeletedRecord, parse_records
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.text import normalize_text
from support.outside import OutsideMaterial
from support.paths import ROOT
from support.pubmed_reading import DOCTYPE, article, document, elements, flat_text, has_formula, normal
from support.source_failures import word_of

Parsed = Abstract | DeletedRecord | BadRecord
SAMPLE = ROOT / "data" / "sample" / "pubmed-sample.xml"


def parse(data: bytes) -> list[Parsed]:
    return list(parse_records(io.BytesIO(data), name="file.xml"))


def broken(data: bytes | BinaryIO) -> tuple[list[Parsed], SourceError]:
    """What came before the error, and the error."""
    found: list[Parsed] = []
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    with pytest.raises(SourceError) as caught:
        found.extend(parse_records(stream, name="some/file.xml"))
    assert word_of(caught.value) == "bad_xml" and str(caught.value).startswith("some/file.xml: ")
    return found, caught.value


def pmids(records: list[Parsed]) -> list[int | None]:
    return [record.pmid for record in records]


class OnlyReadinto(io.RawIOBase):
    """A stream that cannot seek and gives a few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        part = self._data.read(min(self._most, len(buffer)))
        buffer[: len(part)] = part
        return len(part)


TWO = document(article(1, abstract="One."), article(2, abstract="Two."))


def test_sources_of_every_kind_read_the_same(tmp_path: Path) -> None:
    expected = parse(TWO)
    assert pmids(expected) == [1, 2]
    packed = gzip.compress(TWO[:100]) + gzip.compress(TWO[100:])
    (tmp_path / "misnamed.xml").write_bytes(packed)
    assert list(parse_records(tmp_path / "misnamed.xml", name="x")) == expected
    for data in (TWO, packed):
        assert parse(data) == expected
        for most in (2, 3, 7, 100):
            stream = cast(BinaryIO, OnlyReadinto(data, most))
            assert list(parse_records(stream, name="x")) == expected
            assert not stream.closed
    with (tmp_path / "misnamed.xml").open("rb") as stream:
        list(parse_records(stream, name="x"))
        assert not stream.closed


def test_prologue_of_every_kind() -> None:
    records = article(1, abstract="ß")
    for doctype in (
        "",
        DOCTYPE,
        DOCTYPE.replace(" ", "\n"),
        "<!DOCTYPE PubmedArticleSet>",
        f"<!-- [ > -->{DOCTYPE}<!-- x --><?p?>",
    ):
        assert pmids(parse(document(records, doctype=doctype))) == [1]
    assert pmids(parse(b"\xef\xbb\xbf" + document(records))) == [1]
    long = document(records, doctype=f"<!--{'x' * 50_000}-->{DOCTYPE}")
    assert list(parse_records(cast(BinaryIO, OnlyReadinto(long, 999)), name="x")) == parse(document(records))
    for encoding in ("iso-8859-1", "windows-1252"):
        data = document(records).decode().replace('"utf-8"', f'"{encoding}"').encode(encoding)
        (record,) = parse(data)
        assert isinstance(record, Abstract) and record.text == "ß"


def test_sets_of_other_kinds() -> None:
    assert parse(b"<PubmedArticleSet/>") == []
    assert parse(b"<PubmedArticleSet></PubmedArticleSet>") == []
    assert parse(b"<PubmedBookArticleSet></PubmedBookArticleSet>") == []


def test_deletions() -> None:
    deletions = '<DeleteCitation><PMID Version="1">12345</PMID>\n<PMID>67</PMID><PMID>x</PMID></DeleteCitation>'
    assert parse(document(article(1), deletions))[1:] == [
        DeletedRecord(12345),
        DeletedRecord(67),
        BadRecord(None, 2, "it deletes the PMID 'x'"),
    ]


GOOD = document(*(article(i, abstract=f"Abstract {i}.") for i in range(1, 6)))
FIFTH = GOOD.index(b">5</PMID>")
RECORD = b'<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version="1">'


@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (b"</wrong>", "mismatch"),
        (b"<i>", "mismatch"),
        (b"a < b", "invalid element name"),
        (b"a & b", "no name"),
        (b"a&nbsp;b", "'nbsp' not defined"),
        (b"caf\xe9", "Invalid bytes"),
        (b"a\x00b", "out of allowed range"),
        (b"a\x0bb", "invalid Char value 11"),
        (b"&#1;", "invalid xmlChar value 1"),
        (b"<i>" * 400 + b"</i>" * 400, "Excessive depth"),
        (b"<mml:math/>", "the prefix of <mml:math> is not declared"),
        (b"\n<AbstractText", "error parsing attribute name"),
    ],
    ids=range(12),
)
def test_a_record_that_breaks_the_xml_costs_itself_alone(spoiled: bytes, words: str, at: int) -> None:
    data = GOOD.replace(b"Abstract %d." % at, spoiled)
    found = parse(data)
    bad = found[at - 1]
    assert pmids(found) == [1, 2, 3, 4, 5] and isinstance(bad, BadRecord) and bad.position == at
    assert words in bad.reason and (f"line {3 + at}" in bad.reason or b"\n" in spoiled or b"mml" in spoiled)
    assert [type(record) for record in found].count(BadRecord) == 1
    for most in (7, 1000):
        assert list(parse_records(cast(BinaryIO, OnlyReadinto(data, most)), name="x")) == found


def test_broken_records_of_any_number_and_size_are_named_with_their_lines() -> None:
    texts = ["a & b" if i % 2 else "Good." for i in range(1, 2_001)]
    texts[5] = "x" * 11_000_000
    data = document(*(article(i, abstract=text) for i, text in enumerate(texts, start=1)))
    found = parse(data)
    assert pmids(found) == list(range(1, 2_001))
    bad = [record for record in found if isinstance(record, BadRecord)]
    assert [record.position for record in bad] == [i for i in range(1, 2_001) if i % 2 or i == 6]
    assert all(f"line {3 + record.position}," in record.reason for record in bad if record.position != 6)


def test_a_record_cut_off_by_the_next_costs_itself_alone() -> None:
    start = GOOD.index(b"<PubmedArticle>", GOOD.index(b">3</PMID>"))
    data = GOOD[: start - 200] + GOOD[start:]
    assert b"</PubmedArticle>" not in data[start - 300 : start - 200]
    assert [(type(r).__name__, r.pmid) for r in parse(data)][2:4] == [("BadRecord", 3), ("Abstract", 4)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GOOD[:FIFTH], "line"),
        (GOOD[:FIFTH] + b"</wrong>", "line 8"),
        (
            GOOD.replace(
                b'<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version="1">5', b"& <x>5"
            ),
            "line 8",
        ),
    ],
    ids=range(3),
)
def test_a_file_broken_between_records_gives_those_before_and_then_says_where(data: bytes, words: str) -> None:
    found, error = broken(data)
    assert pmids(found) == [1, 2, 3, 4] and words in str(error) and "after 4 records" in str(error)


def test_nothing_is_cut_out_of_a_file_with_comments() -> None:
    data = GOOD.replace(b"Abstract 1.", b"<!-- </PubmedArticle> -->").replace(b"Abstract 5.", b"a & b")
    found, error = broken(data)
    assert pmids(found) == [1, 2, 3, 4] and "after 4 records" in str(error)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GOOD[: GOOD.rindex(b"</PubmedArticleSet")], "line 9"),
        (GOOD + b"junk", "Extra content"),
        (GOOD + GOOD, "line 10"),
        (gzip.compress(GOOD)[:-4], "gzip"),
        (gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:], "gzip"),
        (gzip.compress(GOOD) + b"junk", "gzip"),
    ],
    ids=range(6),
)
def test_file_broken_after_its_last_record(data: bytes, words: str) -> None:
    found, error = broken(data)
    assert pmids(found) == [1, 2, 3, 4, 5] and words in str(error)


def test_truncated_gzip_gives_what_can_be_unpacked() -> None:
    rng = random.Random(1)
    many = document(*(article(i, abstract=rng.randbytes(900).hex()) for i in range(1, 200)))
    packed = gzip.compress(many)
    found, error = broken(packed[: len(packed) // 2])
    assert 80 < len(found) < 110 and "bytes" in str(error)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"  \n ", "no XML in UTF-8"),
        (b"<?xml version='1.0'?>\n", "ends before"),
        (b"<!-- never closed", "ends before"),
        (b"<!DOCTYPE PubmedArticleSet", "ends before"),
        (b'{"error": "API rate limit exceeded"}', "no XML in UTF-8"),
        (b"<!DOCTYPE html><html><body>Bad gateway</body></html>", "web page"),
        (b"<!doctype html>\n<p>", "web page"),
        (b"<HTML><head></head></HTML>", "web page"),
        (b"<?xml version='1.0'?><eFetchResult><ERROR>ID list is empty!</ERROR></eFetchResult>", "'eFetchResult'"),
        (b"<PubmedArticle></PubmedArticle>", "'PubmedArticle'"),
        (b"PK\x03\x04", "no XML"),
        (b"\x1f\x8bnot gzip", "gzip"),
        (TWO.decode().encode("utf-16"), "no XML in UTF-8"),
        (TWO.decode().encode("utf-16-le"), "no XML in UTF-8"),
        (TWO.replace(b'"utf-8"', b'"UTF-7"'), "encoding 'UTF-7'"),
        (b"<?xml version='1.0'?>" + b" " * 200_000, "no XML element within"),
        (gzip.compress(b"\0" * 10_000_000), "no XML in UTF-8"),
    ],
    ids=range(18),
)
def test_what_is_no_pubmed_xml(data: bytes, words: str) -> None:
    found, error = broken(data)
    assert found == [] and words in str(error)


BOMB = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "ha"}">' for i in range(10))


@pytest.mark.parametrize(
    "subset",
    [
        f"[{BOMB}]",
        '[<!ENTITY x SYSTEM "{}">]',
        '[<!ENTITY % p SYSTEM "{}"> %p;]',
        'SYSTEM "a>" [<!ATTLIST a b CDATA "c">]',
        "[]",
    ],
)
def test_internal_subset_is_refused(subset: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    doctype = f"<!DOCTYPE PubmedArticleSet {subset.replace('{}', secret.as_uri())}>"
    found, error = broken(document(article(1, abstract="&x;&e9;"), doctype=doctype))
    assert found == [] and "internal subset" in str(error)


def test_external_subset_is_never_read(tmp_path: Path) -> None:
    dtd = tmp_path / "pubmed.dtd"
    dtd.write_text('<!ENTITY x "secret"><!ATTLIST PMID Version CDATA "9">')
    doctype = f'<!DOCTYPE PubmedArticleSet SYSTEM "{dtd.as_uri()}">'
    (bad,) = parse(document(article(1, abstract="&x;"), doctype=doctype))
    assert isinstance(bad, BadRecord) and "'x' not defined" in bad.reason
    (record,) = parse(document(article(1).replace(' Version="1"', ""), doctype=doctype))
    assert isinstance(record, Abstract) and record.version == 1


class Endless(io.RawIOBase):
    """An XML file that goes on for ever."""

    def __init__(self, start: bytes, again: bytes, most: int) -> None:
        self._parts = itertools.chain([start], itertools.repeat(again))
        self._left = b""
        self.n_bytes = 0
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        assert self.n_bytes < self._most, "read on and on"
        while len(self._left) < len(buffer):
            self._left += next(self._parts)
        buffer[:], self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        self.n_bytes += len(buffer)
        return len(buffer)


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (TWO[: TWO.index(b"Two.")], b"word " * 10_000),
        (TWO[: TWO.index(b"Two.")], b"<i>word</i> " * 5_000),
        (TWO[: TWO.index(b"<PubmedArticle>")], b"<x/>" * 10_000),
        (TWO[: TWO.index(b"<PubmedArticle>")], b" " * 60_000),
        (TWO[: TWO.index(b"<PubmedArticle>")] + b"<a b='", b"word " * 10_000),
        (b"<?xml version='1.0'?><!--", b"word " * 10_000),
        (b"<", b"word " * 10_000),
    ],
    ids=range(7),
)
def test_endless_file_is_given_up(start: bytes, again: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubmed_xml, "MAX_RECORD_BYTES", 2**20)  # the real limit takes seconds to reach
    stream = Endless(start, again, 2**21)
    found, _ = broken(cast(BinaryIO, stream))
    assert pmids(found) == ([1] if b"Two" not in start and b">2<" in start else [])


def test_memory_does_not_grow_with_the_file() -> None:
    def parse_many(n: int) -> None:
        records = (article(i, abstract="word <i>two</i> " + "word " * 1000).encode() for i in range(1, n + 1))
        parts = itertools.chain([document()[: -len("\n</PubmedArticleSet>\n")]], records, [b"</PubmedArticleSet>"])
        assert sum(1 for _ in parse_records(cast(BinaryIO, Joined(parts)), name="x")) == n

    parse_many(100)
    before = _resident_bytes()
    parse_many(4000)  # 21 MB; the trees of all would take three times as much
    assert _resident_bytes() - before < 12_000_000
    tracemalloc.start()
    parse_many(400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000


class Joined(io.RawIOBase):
    """Parts of a file, made while it is read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._left:
            try:
                self._left = next(self._parts)
            except StopIteration:
                return 0
        n = min(len(buffer), len(self._left))
        buffer[:n], self._left = self._left[:n], self._left[n:]
        return n


def _resident_bytes() -> int:
    """Of libxml2's trees too, which tracemalloc does not see."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
    assert found
    return int(found.group(1)) * 1024


def test_path_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.xml", tmp_path):
        with pytest.raises(SourceError, match=r"^the-name: cannot be read"):
            list(parse_records(path, name="the-name"))


def test_stopping_early_closes_the_file_and_leaves_a_stream_open(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(TWO)
    records = parse_records(path, name="x")
    next(records)
    records.close()  # type: ignore[attr-defined]
    stream = io.BytesIO(TWO)
    assert isinstance(next(parse_records(stream, name="x")), Abstract)
    assert not stream.closed


@given(st.integers(0, len(TWO) - 2), st.binary(min_size=1, max_size=3))
def test_damage_of_any_kind_gives_records_or_a_source_error(place: int, damage: bytes) -> None:
    kinds: list[str] = []
    for data in (TWO[:place], TWO[:place] + damage + TWO[place:], TWO[:place] + damage + TWO[place + len(damage) :]):
        try:
            found = parse(data)
        except SourceError as error:
            found = []
            kinds.append(word_of(error))
        assert len(found) <= 2
    assert set(kinds) <= {"bad_xml"} and kinds


def real_files(test_data: OutsideMaterial) -> list[Path]:
    samples = test_data.files("pubmed/eutils_samples/**/*.xml")
    return [
        *test_data.files("pubmed/records/*.xml.gz"),
        *(path for path in samples if b"<PubmedArticleSet" in path.read_bytes()),
    ]


def test_every_real_record_agrees_with_a_second_reading(test_data: OutsideMaterial) -> None:
    n_formulas = 0
    for path in real_files(test_data):
        parsed = list(parse_records(path, name=path.name))
        read = [element for element in elements(path) if element.tag != "DeleteCitation"]
        records = [record for record in parsed if isinstance(record, Abstract)]
        assert len(records) == len(read) and not any(isinstance(r, BadRecord) for r in parsed)
        for record, element in zip(records, read, strict=True):
            document = element[0]
            body = document if record.is_book else document.find("Article")
            assert body is not None
            assert record.pmid == int(document.findtext("PMID", ""))
            assert record.is_book == (element.tag == "PubmedBookArticle")
            parts = body.findall("Abstract/AbstractText")
            if any(map(has_formula, parts)):
                n_formulas += 1
                continue
            text = flat_text(parts)
            if not text:
                english = [o for o in document.findall("OtherAbstract") if o.get("Language", "eng") == "eng"]
                text = next((flat_text(o.findall("AbstractText")) for o in english), "")
            assert record.text == text
            for section in record.sections:
                assert record.text[: section.start].endswith(section.label + ": ")
                assert (
                    normalize_text(record.text[section.start : section.end]) == record.text[section.start : section.end]
                )
            languages = [language.text or "" for language in body.findall("Language")]
            assert list(record.languages) == list(dict.fromkeys(language.lower() for language in languages))
            mesh = document.findall("MeshHeadingList/MeshHeading/DescriptorName")
            assert list(record.mesh_terms) == list(dict.fromkeys(normal(name.text or "") for name in mesh))
            types = body.iter("PublicationType")
            assert list(record.publication_types) == [normal(t.text or "") for t in types]
            year = body.findtext("Journal/JournalIssue/PubDate/Year") or body.findtext("Book/PubDate/Year")
            assert year is None or (record.pub_date and abs(int(record.pub_date[:4]) - int(year)) < 26)
            dois = [e.text or "" for e in element.iterfind("PubmedData/ArticleIdList/ArticleId[@IdType='doi']")]
            usable = [doi.lower() for doi in dois if doi.startswith("10.")]  # one record has "0.1109/..."
            assert not usable or record.doi in usable
    assert n_formulas


def test_formulas_of_real_records(test_data: OutsideMaterial) -> None:
    texts = [r.text for p in real_files(test_data)[:2] for r in parse_records(p, name="x") if isinstance(r, Abstract)]
    for phrase in (
        "inhaled 3He/129Xe MRI ventilation",
        "ultrashort echo-time 1H MRI proton",
        "(n=13 and 8 DMRs",
        "(5 mg/kg-day)",
    ):
        assert sum(phrase in text for text in texts) == 1, phrase
    assert sum("oxygen uptake ( V.O2max )" in text for text in texts) == 1


def test_update_file_with_deletions(test_data: OutsideMaterial) -> None:
    path = test_data.file("pubmed/eutils_samples/update-with-deletions.xml")
    parsed = list(parse_records(path, name="x"))
    assert [type(record).__name__ for record in parsed] == ["Abstract"] * 12 + ["DeletedRecord"] * 2
    assert [record.pmid for record in parsed][-2:] == [int(e.text or "") for e in list(elements(path))[-1]]


def test_shipped_sample() -> None:
    records = {r.pmid: r for r in parse_records(SAMPLE, name="x") if isinstance(r, Abstract)}
    assert len(records) == 63 and records[90000048].version == 2
    assert [pmid for pmid, record in records.items() if record.is_retracted] == [90000004]
    assert records[90000063].is_book and not records[90000005].text
    assert records[90000043].title[0] != "[" and records[90000043].vernacular_title
    assert "ger" in records[90000043].languages


REFERENCE_LISTS = st.recursive(
    st.sampled_from(["<Reference><Citation>A &gt; B</Citation></Reference>\n", "<ReferenceList/>", "<Title>!</Title>"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"<ReferenceList>{''.join(parts)}</ReferenceList>"),
    max_leaves=6,
)


@given(
    pieces=st.lists(
        REFERENCE_LISTS.map(lambda x: f"<ReferenceList>{x}</ReferenceList>\n") | st.sampled_from(["<b>x</b>", "text\n"])
    ),
    comment=st.sampled_from(["", "<!-- <ReferenceList> -->", "<![CDATA[</ReferenceList>]]>"]),
    size=st.integers(1, 60),
)
def test_reference_lists_are_left_out_wherever_the_chunks_end(pieces: list[str], comment: str, size: int) -> None:
    document = f"<r>{''.join(pieces)}{comment}<last><ReferenceList>z</ReferenceList></last></r>"
    whole = etree.fromstring(document)
    data = document.encode()
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    kept = b"".join(without_references(chunks))
    parsed = etree.fromstring(kept)
    assert kept.count(b"\n") == data.count(b"\n")
    for tree in (whole, parsed):
        etree.strip_elements(tree, "ReferenceList", with_tail=False)
    assert etree.tostring(whole).replace(b"\n", b"") == etree.tostring(parsed).replace(b"\n", b"")
    if not comment:
        assert b"<Reference" not in kept


def test_a_reference_list_that_is_not_closed_is_left_to_the_parser() -> None:
    chunks = [b"<r><ReferenceList><Refer", b"ence>", b"</r>"]
    assert b"".join(without_references(chunks)) == b"".join(chunks)
