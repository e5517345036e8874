"""What programs that manage references write into their fields, into the fields of an `Abstract`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bioqa_pipeline.pubmed.fields import clean_doi, iso_date, printed_date, whole_number
from bioqa_pipeline.pubmed.record import UnusableRecordError, check_sizes
from bioqa_pipeline.records.retraction import is_retracted
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.files.values import NO_PMID, BadPart, FoundRecord, Part
from bioqa_pipeline.text import normalize_text

_PMID_SAID = re.compile(r"\bPMID\s*[:=]?\s*([0-9]{1,10})(?![0-9])", re.IGNORECASE)
_PMID_LINK = re.compile(
    r"https?://(?:www\.)?(?:pubmed\.ncbi\.nlm\.nih\.gov|ncbi\.nlm\.nih\.gov/(?:m/)?pubmed)/([0-9]{1,10})(?![0-9])",
    re.IGNORECASE,
)
_PMCID = re.compile(r"\bPMC[0-9]{1,10}(?![0-9])", re.IGNORECASE)
_DOI_SAID = re.compile(r"(?:\bdoi[:\s]\s*|https?://(?:dx\.)?doi\.org/)(10\.[0-9]{4,9}/[^\s\"<>]+)", re.IGNORECASE)
# Whose accession numbers are PMIDs.
_PUBMED = re.compile(r"pubmed|\bmedline\b|\bnlm\b", re.IGNORECASE)
_YEAR = re.compile(r"(?<![0-9])(?:1[5-9]|20)[0-9]{2}(?![0-9])")
_DATE = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})(?:[-/.]([0-9]{1,2}))?(?![0-9])")
_DAY_FIRST = re.compile(r"([0-9]{1,2})\.?\s+([A-Za-z]{3,9})\b")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.?(?:\s+([0-9]{1,2}))?(?![0-9])")
# As spreadsheets show a number for which they find no room.
_ROUNDED = re.compile(r"[0-9]+(?:[.,][0-9]+)?e\+?[0-9]+|#+", re.IGNORECASE)
# Enough of any field to find an identifier or a date in.
_LOOKED_AT_CHARS = 10_000
_MOST_INITIALS = 3
# As BibTeX and people say that there are more.
_MORE_AUTHORS = {"others", "et al", "et al."}
# As PubMed has them, for those in which most of its records are written.
_LANGUAGES = {
    "en": "eng", "english": "eng", "de": "ger", "german": "ger", "deu": "ger", "fr": "fre", "french": "fre",
    "fra": "fre", "es": "spa", "spanish": "spa", "it": "ita", "italian": "ita", "pt": "por", "portuguese": "por",
    "ru": "rus", "russian": "rus", "zh": "chi", "chinese": "chi", "zho": "chi", "ja": "jpn", "japanese": "jpn",
    "pl": "pol", "polish": "pol", "nl": "dut", "dutch": "dut", "nld": "dut", "ko": "kor", "korean": "kor",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Citation:
    """A record as such a program writes it, its fields as they stand there; "" for what is missing.

    Attributes:
        pmid: of a field that holds nothing but PMIDs.
        accession, database: a number, and whose it is.
        authors: as `author_name` has them.
        notes: texts in which identifiers may stand, the most telling first.
    """

    title: str = ""
    abstract: str = ""
    journal: str = ""
    year: str = ""
    date: str = ""
    doi: str = ""
    pmid: str = ""
    pmcid: str = ""
    accession: str = ""
    database: str = ""
    language: str = ""
    authors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def record_of(citation: Citation, line: int) -> Part:
    """The record that a citation is; a bad part where it cannot be one."""
    title, text = normalize_text(citation.title), normalize_text(citation.abstract)
    notes = [note[:_LOOKED_AT_CHARS] for note in citation.notes]
    pmid, doi, pmcid = _pmid_of(citation, notes), _doi_of(citation, notes), _pmcid_of(citation, notes)
    if not (title or text or citation.pmid.strip() or pmid or doi or pmcid):
        return BadPart(line, "it has neither a title nor an identifier")
    if (said := citation.pmid.strip()) and not (pmid or doi or pmcid):
        damaged = "; a spreadsheet has rounded it: export again, and open it with that column as text"
        return BadPart(line, f"its PMID is {said[:40]!r}" + damaged * bool(_ROUNDED.fullmatch(said)))
    types = tuple(filter(None, map(normalize_text, citation.types)))
    date = date_of(citation.year, citation.date)
    language = normalize_text(citation.language).lower()
    record = Abstract(
        pmid=pmid or NO_PMID,
        title=title,
        text=text,
        journal=normalize_text(citation.journal),
        pub_date=date,
        pub_date_raw=normalize_text(citation.date or citation.year),
        doi=doi,
        languages=(_LANGUAGES.get(language, language),) if language else (),
        authors=tuple(filter(None, map(normalize_text, citation.authors))),
        publication_types=types,
        is_retracted=is_retracted(title, types, ()),
    )
    return checked(record, line, pmcid)


def checked(record: Abstract, line: int, pmcid: str | None = None) -> Part:
    """A record whose texts are not absurdly long; else the bad part that it is."""
    try:
        check_sizes(record)
    except UnusableRecordError as exc:
        return BadPart(line, str(exc))
    return FoundRecord(record, line, pmcid)


def author_name(name: str) -> str:
    """As PubMed cites them: "Makar, Anna B." is "Makar AB"; a name without a comma stays as it is."""
    last, _, given = normalize_text(name).partition(",")
    if last.casefold() in _MORE_AUTHORS:
        return "et al."
    given, _, suffix = given.partition(",")
    return cited(last, given, suffix)


def cited(last: str, given: str, suffix: str) -> str:
    """The parts of a name as PubMed cites it: "Makar AB", "King ML Jr"."""
    words = [word for word in re.split(r"[\s.-]+", given) if word[:1].isalpha()]
    are_initials = len(words) == 1 and words[0].isupper() and len(words[0]) <= _MOST_INITIALS
    initials = words[0] if are_initials else "".join(word[0] for word in words)
    return normalize_text(f"{last} {initials} {suffix.strip(' .')}")


def date_of(year: str, date: str) -> str:
    """ISO 8601, as precise as it is said: of a year and a date that may lack it ("May 12", "2020/05/12/", "5")."""
    year, date = normalize_text(year[:_LOOKED_AT_CHARS]), normalize_text(date[:_LOOKED_AT_CHARS])
    for text in (date, year):
        if numbers := _DATE.search(text):
            return iso_date(*numbers.groups())
    printed = printed_date(date)
    if len(printed) > len("2020"):
        return printed
    found = _YEAR.search(year) or _YEAR.search(date)
    if found is None:
        return ""
    if day_first := _DAY_FIRST.search(date):
        return iso_date(found.group(), day_first[2], day_first[1])
    if month_first := _MONTH_FIRST.search(date):
        return iso_date(found.group(), month_first[1], month_first[2])
    return found.group()


def pmcid_in(text: str) -> str | None:
    """The first PMCID that stands in a text."""
    found = _PMCID.search(text)
    return found.group().upper() if found else None


def pmid_in(text: str) -> int | None:
    """The one PMID that a text calls so or links to; None where it names several, of which nobody knows which."""
    for pattern in (_PMID_SAID, _PMID_LINK):
        numbers = {whole_number(number) for number in pattern.findall(text)}
        if len(numbers) == 1:
            return numbers.pop()
    return None


def _pmid_of(citation: Citation, notes: Iterable[str]) -> int | None:
    # A column with gaps goes through spreadsheets and pandas as numbers that end in .0.
    if own := whole_number(citation.pmid.strip().removesuffix(".0")) or pmid_in(citation.pmid[:_LOOKED_AT_CHARS]):
        return own
    if _PUBMED.search(citation.database) and (number := whole_number(citation.accession.strip())):
        return number
    return next(filter(None, map(pmid_in, (citation.accession[:_LOOKED_AT_CHARS], *notes))), None)


def _doi_of(citation: Citation, notes: Iterable[str]) -> str | None:
    if doi := clean_doi(citation.doi):
        return doi
    found = (_DOI_SAID.search(text) for text in (citation.doi[:_LOOKED_AT_CHARS], *notes))
    return next((clean_doi(said[1].rstrip(".,;)")) for said in found if said), None)


def _pmcid_of(citation: Citation, notes: Iterable[str]) -> str | None:
    return next(filter(None, map(pmcid_in, (citation.pmcid[:_LOOKED_AT_CHARS], *notes))), None)
