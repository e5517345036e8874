"""The shipped sample: PubMed XML with the special records it promises, and questions that its abstracts answer."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.questions.files import read_questions
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.text import normalize_text
from support.paths import ROOT

SAMPLE = ROOT / "data" / "sample"
FIRST_PMID = 90_000_001

# What an answer to each unanswerable question would have to contain.
ABSENT = {
    "How many people in Iceland have cystic fibrosis?": r"Iceland",
    "Which drug for the chorea of Huntington disease was approved in 2017?": r"deutetrabenazine|valbenazine",
    "What is the starting dose of hydroxyurea for children?": r"mg/kg|\d+ (mg|milligrams)[^.]*hydroxyurea",
    "What enzyme does allopurinol inhibit?": r"allopurinol|xanthine",
    "Who discovered vitamin D?": r"vitamin D\b|McCollum|Mellanby",
    "Which tick transmits Lyme disease?": r"\bticks?\b|\bLyme\b|Ixodes|Borrelia",
    "How deep is Lake Baikal?": r"Baikal|1,?6\d\d m\b",
}


@dataclass(frozen=True, slots=True)
class Expected:
    """One line of expected.tsv."""

    question: str
    answerable: bool
    answers: tuple[str, ...]
    pmids: tuple[int, ...]


def expected() -> list[Expected]:
    with (SAMPLE / "expected.tsv").open(encoding="utf-8", newline="") as lines:
        return [
            Expected(
                question=row["question"],
                answerable={"true": True, "false": False}[row["answerable"]],
                answers=tuple(filter(None, row["answers"].split("|"))),
                pmids=tuple(map(int, filter(None, row["pmids"].split("|")))),
            )
            for row in csv.DictReader(lines, delimiter="\t", strict=True)
        ]


@pytest.fixture(scope="module")
def root() -> ElementTree.Element:
    return ElementTree.parse(SAMPLE / "pubmed-sample.xml").getroot()


@pytest.fixture(scope="module")
def records(root: ElementTree.Element) -> dict[tuple[int, int], ElementTree.Element]:
    """(PMID, version) to MedlineCitation or BookDocument."""
    found = {}
    for record in root:
        document = record[0]
        pmid = document.find("PMID")
        assert pmid is not None and pmid.text is not None
        key = (int(pmid.text), int(pmid.attrib["Version"]))
        assert key not in found
        found[key] = document
    return found


@pytest.fixture(scope="module")
def texts(records: dict[tuple[int, int], ElementTree.Element]) -> dict[int, str]:
    """PMID to the text of the newest version's abstract; no entry where the record has none."""
    newest = {pmid: document for (pmid, _), document in sorted(records.items())}
    parts = {
        pmid: [
            " ".join("".join(part.itertext()).split())
            for path in ("Article/Abstract/AbstractText", "Abstract/AbstractText")
            for part in document.findall(path)
        ]
        for pmid, document in newest.items()
    }
    return {pmid: " ".join(words) for pmid, words in parts.items() if words}


def test_pmids_are_no_real_ones_and_only_one_has_two_versions(
    records: dict[tuple[int, int], ElementTree.Element],
) -> None:
    assert len(records) == 64
    versions = Counter(pmid for pmid, _ in records)
    assert {pmid for pmid, count in versions.items() if count > 1} == {90_000_048}
    assert sorted(versions) == list(range(FIRST_PMID, FIRST_PMID + 63))


def test_identifiers_and_names_are_invented(root: ElementTree.Element) -> None:
    dois = [element.text or "" for element in root.iter() if "doi" in (element.get("IdType"), element.get("EIdType"))]
    assert len(dois) == 2 * 63
    assert {doi.split("/")[0] for doi in dois} == {"10.5555"}
    journals = {element.text for element in root.iter("Title")}
    assert journals == {
        "Bioqa sample journal",
        "Bioqa sample journal of medicine",
        "Bioqa sample reviews",
        "Bioqa Beispielzeitschrift",
    }


def test_special_records_are_there(records: dict[tuple[int, int], ElementTree.Element], texts: dict[int, str]) -> None:
    def pmids(path: str, text: str | None = None) -> set[int]:
        return {
            pmid
            for (pmid, _), document in records.items()
            if any(text is None or element.text == text for element in document.findall(path))
        }

    offset = FIRST_PMID - 1
    assert pmids(".//PublicationType", "Retracted Publication") == {offset + 4}
    assert pmids(".//CommentsCorrections[@RefType='RetractionIn']") == {offset + 4}
    assert pmids(".//CommentsCorrections[@RefType='RetractionOf']") == {offset + 5}
    assert pmids(".//CommentsCorrections[@RefType='ErratumIn']") == {offset + 10}
    assert pmids(".//CommentsCorrections[@RefType='ErratumFor']") == {offset + 62}
    assert pmids(".//VernacularTitle") == pmids(".//Language", "ger") == {offset + 43}
    assert pmids("OtherAbstract") == {offset + 43, offset + 54}
    assert pmids(".//CollectiveName") == {offset + 49}
    assert pmids(".//MedlineDate") == {offset + 25}
    assert pmids(".//Season") == {offset + 58}
    assert pmids(".//CopyrightInformation") == {offset + 55}
    assert pmids(".//AbstractText//{http://www.w3.org/1998/Math/MathML}math") == {offset + 61}
    assert pmids("Book") == {offset + 63}
    assert {pmid for pmid, _ in records} - texts.keys() == {offset + 5, offset + 62}
    assert len(pmids(".//AbstractText[@Label]")) >= 20
    assert len(pmids(".//AbstractText/i")) >= 20
    assert len(pmids(".//AbstractText/sub")) >= 3
    assert len(pmids(".//AbstractText/sup")) >= 2


def test_three_abstracts_need_several_windows(texts: dict[int, str]) -> None:
    words = {pmid: len(text.split()) for pmid, text in texts.items() if len(text.split()) >= 450}

    assert set(words) == {90_000_027, 90_000_036, 90_000_055}
    assert words[90_000_055] > 900
    assert texts[90_000_036].find("Idarucizumab") / len(texts[90_000_036]) > 0.7
    assert texts[90_000_055].find("75 mmol/L") / len(texts[90_000_055]) > 0.7


def test_expected_answers_stand_in_the_abstracts_they_name(texts: dict[int, str]) -> None:
    answerable = [row for row in expected() if row.answerable]

    assert len(answerable) == 15
    assert sum(len(row.pmids) > 1 for row in answerable) >= 12
    for row in answerable:
        for pmid in row.pmids:
            assert any(answer.casefold() in texts[pmid].casefold() for answer in row.answers), (row.question, pmid)
        for answer in row.answers:
            assert any(answer.casefold() in texts[pmid].casefold() for pmid in row.pmids), (row.question, answer)


def test_unanswerable_questions_have_no_answer_in_any_abstract(texts: dict[int, str]) -> None:
    unanswerable = [row for row in expected() if not row.answerable]

    assert {row.question for row in unanswerable} == set(ABSENT)
    for row in unanswerable:
        assert (row.answers, row.pmids) == ((), ())
        hits = [pmid for pmid, text in texts.items() if re.search(ABSENT[row.question], text, re.IGNORECASE)]
        assert hits == [], row.question


def test_questions_are_those_of_the_expectations() -> None:
    file = read_questions(SAMPLE / "questions.txt")

    assert file.merged == ()
    assert [question.text for question in file.questions] == [row.question for row in expected()]


@pytest.fixture(scope="module")
def abstracts() -> list[Abstract]:
    parsed = list(parse_records(SAMPLE / "pubmed-sample.xml", name="pubmed-sample.xml"))
    assert all(isinstance(record, Abstract) for record in parsed)
    return [record for record in parsed if isinstance(record, Abstract)]


def test_the_parser_of_the_pipeline_reads_every_record(
    abstracts: list[Abstract], records: dict[tuple[int, int], ElementTree.Element], texts: dict[int, str]
) -> None:
    assert [(record.pmid, record.version) for record in abstracts] == list(records)
    newest = {record.pmid: record for record in sorted(abstracts, key=lambda record: record.version)}
    assert {pmid for pmid, record in newest.items() if record.text} == texts.keys()
    for record in abstracts:
        assert record.text == normalize_text(record.text)
        assert record.is_book or record.doi == f"10.5555/bioqa.sample.{record.pmid}" + ".2" * (record.version == 2)


def test_special_records_keep_what_is_special_about_them(abstracts: list[Abstract]) -> None:
    by_pmid = {record.pmid - FIRST_PMID + 1: record for record in abstracts}

    assert [pmid for pmid, record in by_pmid.items() if record.is_retracted] == [4]
    assert [pmid for pmid, record in by_pmid.items() if record.is_book] == [63]
    assert [(c.ref_type, c.pmid) for c in by_pmid[4].corrections] == [("RetractionIn", FIRST_PMID + 4)]
    assert [(c.ref_type, c.pmid) for c in by_pmid[10].corrections] == [("ErratumIn", FIRST_PMID + 61)]
    german = by_pmid[43]
    assert german.title == "Phenylketonuria: fifty years of newborn screening."
    assert german.vernacular_title == "Phenylketonurie: fünfzig Jahre Neugeborenenscreening."
    assert german.languages == ("ger",)
    assert german.other_abstracts[0].language == "ger"
    assert by_pmid[25].pub_date_raw == "2010 Nov-Dec"
    assert by_pmid[49].authors[-1] == "Bioqa Sample Working Group on Drug History"
    assert by_pmid[54].other_abstracts[0].kind == "plain-language-summary"
    assert by_pmid[55].copyright == "© 2023 The bioqa authors. Sample text, not a publication."
    assert "30 mL/min/1.73 m2" in by_pmid[9].text
    assert [section.label for section in by_pmid[9].sections] == ["ORIGIN", "ACTION", "SAFETY", "CONCLUSIONS"]


def test_expected_answers_stand_in_the_text_that_is_asked(abstracts: list[Abstract]) -> None:
    texts = {record.pmid: record.text.casefold() for record in abstracts}

    for row in expected():
        for pmid in row.pmids:
            assert any(answer.casefold() in texts[pmid] for answer in row.answers), (row.question, pmid)
