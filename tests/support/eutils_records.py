"""PubMed XML into what the local E-utilities server keeps: the record's own bytes and the fields that can be searched.

Reads with the standard library only, so that a fault of the package's own parser cannot hide in both ends of a test.
"""

from __future__ import annotations

import gzip
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

_RECORD = re.compile(rb"<(PubmedArticle|PubmedBookArticle)(?=[\s>]).*?</\1>", re.DOTALL)
_YEAR = re.compile(r"(?:18|19|20)\d\d")
_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {name: i + 1 for i, name in enumerate(_MONTH_NAMES.split())}


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """One record; `dates` by PubMed's names pdat, edat, crdt, mdat."""

    pmid: int
    xml: bytes
    title: str
    abstract: str
    mesh: tuple[str, ...]
    types: tuple[str, ...]
    languages: tuple[str, ...]
    others: tuple[str, ...]
    dates: Mapping[str, date]


def read_records(paths: Iterable[Path]) -> list[ServerRecord]:
    """The records of PubMed XML files, gzipped or not; of a PMID that repeats, the last."""
    records: dict[int, ServerRecord] = {}
    for path in paths:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        records |= {record.pmid: record for record in split_records(data)}
    return list(records.values())


def split_records(data: bytes) -> Iterator[ServerRecord]:
    """The records of one article set, each with its bytes as they stand in it."""
    for match in _RECORD.finditer(data):
        yield _record(match.group())


def _record(xml: bytes) -> ServerRecord:
    root = ET.fromstring(xml)
    body = root.find("BookDocument") if root.tag == "PubmedBookArticle" else root.find("MedlineCitation")
    assert body is not None
    article = body if root.tag == "PubmedBookArticle" else body.find("Article")
    assert article is not None
    published = _date(article.find("Journal/JournalIssue/PubDate")) or date(1900, 1, 1)
    history = {e.get("PubStatus"): _date(e) for e in root.iter("PubMedPubDate")}
    entered = history.get("entrez") or published
    return ServerRecord(
        pmid=int(body.findtext("PMID", "")),
        xml=xml,
        title=_text(article.find("ArticleTitle")),
        abstract=" ".join(_text(e) for e in article.iterfind("Abstract/AbstractText")).strip(),
        mesh=tuple(_text(e) for e in body.iterfind("MeshHeadingList/MeshHeading/DescriptorName")),
        types=tuple(_text(e) for e in article.iter("PublicationType")),
        languages=tuple(_text(e).lower() for e in article.iterfind("Language")),
        others=tuple(
            _text(e)
            for path in ("AuthorList/Author/LastName", "Journal/Title", "Journal/ISOAbbreviation")
            for e in article.iterfind(path)
        )
        + tuple(_text(e) for e in body.iterfind("ChemicalList/Chemical/NameOfSubstance"))
        + tuple(_text(e) for e in body.iterfind("KeywordList/Keyword")),
        dates={
            "pdat": published,
            "edat": entered,
            "crdt": history.get("pubmed") or entered,
            "mdat": _date(body.find("DateRevised")) or entered,
        },
    )


def _text(element: ET.Element | None) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())


def _date(element: ET.Element | None) -> date | None:
    if element is None:
        return None
    year = _YEAR.search(element.findtext("Year") or element.findtext("MedlineDate") or "")
    if year is None:
        return None
    month = (element.findtext("Month") or "1").lower()
    day = element.findtext("Day") or "1"
    number = int(month) if month.isdigit() else _MONTHS.get(month[:3], 1)
    try:
        return date(int(year.group()), number, int(day))
    except ValueError:
        return date(int(year.group()), 1, 1)


_SUBJECTS_TEXT = """
aspirin metformin insulin warfarin heparin statins dopamine serotonin cortisol estrogen collagen myosin keratin
fibrinogen albumin ferritin vitamin calcium magnesium zinc asthma diabetes epilepsy migraine psoriasis sepsis malaria
tuberculosis influenza hepatitis melanoma lymphoma glioma leukemia stroke obesity anemia osteoporosis arthritis
schizophrenia depression dementia TNF-alpha IL-6 p53 BRCA1 KRAS EGFR VEGF CRISPR
"""
_SUBJECTS = _SUBJECTS_TEXT.split()
_VERBS = ("inhibits", "activates", "reduces", "increases", "predicts", "delays", "prevents", "worsens", "improves")
_PLACES = (
    "liver",
    "kidney",
    "heart",
    "brain",
    "lung",
    "skin",
    "retina",
    "colon",
    "pancreas",
    "spleen",
    "muscle",
    "bone",
)


def make_records(n: int, *, seed: int = 0, first_pmid: int = 30_000_001) -> list[ServerRecord]:
    """Generated records, entered one a day from 2001-01-01 on; every tenth is without abstract."""
    rng = random.Random(seed)
    return [_made(rng, first_pmid + i, date(2001, 1, 1) + timedelta(days=i), bare=i % 10 == 9) for i in range(n)]


def made_question(record: ServerRecord) -> str:
    """A question that a generated record answers."""
    subject, verb, rest = record.title.rstrip(".").split(" ", 2)
    return f"Which disease is {verb.removesuffix('s')}ed by {subject} in the {rest.rsplit(' ', 1)[1]}?"


def _made(rng: random.Random, pmid: int, day: date, *, bare: bool) -> ServerRecord:
    subject, other = rng.sample(_SUBJECTS, 2)
    verb, place = rng.choice(_VERBS), rng.choice(_PLACES)
    title = f"{subject} {verb} {other} in the {place}."
    sentences = [
        f"We studied {subject} and {other} in {rng.randrange(20, 900)} patients.",
        f"In the {place}, {subject} {verb} {other} by <b>{rng.randrange(5, 95)}</b> percent.",
        f"{rng.choice(_SUBJECTS)} had no such effect on the {rng.choice(_PLACES)}.",
    ]
    abstract = "" if bare else f"<Abstract><AbstractText>{' '.join(sentences)}</AbstractText></Abstract>"
    ymd = f"<Year>{day.year}</Year><Month>{day.month}</Month><Day>{day.day}</Day>"
    xml = f"""<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version="1">{pmid}</PMID>
<DateRevised>{ymd}</DateRevised><Article PubModel="Print"><Journal><JournalIssue CitedMedium="Print">
<PubDate>{ymd}</PubDate></JournalIssue><Title>Journal of generated records</Title></Journal>
<ArticleTitle>{title}</ArticleTitle>{abstract}
<Language>eng</Language><PublicationTypeList>
<PublicationType UI="D016428">Journal Article</PublicationType>
</PublicationTypeList></Article><MeshHeadingList><MeshHeading>
<DescriptorName UI="D1" MajorTopicYN="N">{subject.title()}</DescriptorName>
</MeshHeading></MeshHeadingList></MedlineCitation><PubmedData><History>
<PubMedPubDate PubStatus="entrez">{ymd}</PubMedPubDate></History>
<PublicationStatus>ppublish</PublicationStatus><ArticleIdList>
<ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList></PubmedData></PubmedArticle>"""
    return _record(xml.encode())
