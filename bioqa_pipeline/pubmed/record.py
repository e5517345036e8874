"""One parsed record of PubMed XML (PubmedArticle or PubmedBookArticle) into an `Abstract`.

Fields come from their own place only: a PMID, DOI or title of a cited paper is never taken for the record's.
"""

from __future__ import annotations

from collections.abc import Iterable

from bioqa_pipeline.pubmed.authors import author_names
from bioqa_pipeline.pubmed.elements import Children, children_of, first, known_name, text_of, within
from bioqa_pipeline.pubmed.fields import (
    clean_doi,
    earlier_date,
    iso_date,
    printed_date,
    split_title,
    whole_number,
)
from bioqa_pipeline.pubmed.markup import Element, structured_text
from bioqa_pipeline.pubmed.notices import corrections_of, publication_types
from bioqa_pipeline.records.retraction import is_retracted
from bioqa_pipeline.records.texts import Abstract, OtherAbstract, Section
from bioqa_pipeline.text import normalize_text

MAX_TEXT_CHARS = 1_000_000
# Of every other field: names, titles of journals, dates as printed.
MAX_FIELD_CHARS = 100_000


class UnusableRecordError(Exception):
    """A record that cannot be made an `Abstract`.

    Attributes:
        pmid: whose it is, where it says so.
    """

    def __init__(self, reason: str, pmid: int | None = None) -> None:
        self.pmid = pmid
        super().__init__(reason)


def read_record(element: Element) -> Abstract:
    """The record that an element holds.

    An abstract of another kind in English (OtherAbstract) becomes the text where the record has no abstract; it
    then stands in `other_abstracts` as well, which tells where the text came from. Summaries in plain language come
    last. An abstract in another language never becomes the text.

    Raises:
        UnusableRecordError: no PMID, a PMID that is no number, or a text longer than `MAX_TEXT_CHARS`.
    """
    is_book = element.tag == "PubmedBookArticle"
    parts = children_of(element)
    body = first(parts, "BookDocument" if is_book else "MedlineCitation")
    if body is None:
        raise UnusableRecordError("it holds no citation")
    fields = children_of(body)
    pmid, version = _identity(first(fields, "PMID"))
    if is_book:
        record = _book(pmid, version, fields, first(parts, "PubmedBookData"))
    else:
        record = _article(pmid, version, body, fields, first(parts, "PubmedData"))
    check_sizes(record)
    return record


def check_sizes(record: Abstract) -> None:
    """Raises UnusableRecordError where a text is absurdly long."""
    for text in (record.title, record.text, *(other.text for other in record.other_abstracts)):
        if len(text) > MAX_TEXT_CHARS:
            raise UnusableRecordError(
                f"it has a text of {len(text):,} characters, over {MAX_TEXT_CHARS:,}", record.pmid
            )
    fields = (
        ("journal title", (record.journal,)),
        ("name of the journal", record.journal_names),
        ("date", (record.pub_date_raw,)),
        ("vernacular title", (record.vernacular_title or "",)),
        ("copyright", (record.copyright or "",)),
        ("status", (record.status,)),
        ("language", record.languages),
        ("author", record.authors),
        ("MeSH term", record.mesh_terms),
        ("publication type", record.publication_types),
        ("label", [part for section in record.sections for part in (section.label, section.category or "")]),
        ("kind of abstract", [part for other in record.other_abstracts for part in (other.kind, other.language)]),
        ("correction", [part for link in record.corrections for part in (link.ref_type, link.citation)]),
    )
    for name, texts in fields:
        longest = max(map(len, texts), default=0)
        if longest > MAX_FIELD_CHARS:
            raise UnusableRecordError(
                f"it has a {name} of {longest:,} characters, over {MAX_FIELD_CHARS:,}", record.pmid
            )


def _identity(identifier: Element | None) -> tuple[int, int]:
    """(PMID, version)."""
    if identifier is None:
        raise UnusableRecordError("it has no PMID")
    pmid = whole_number(identifier.text)
    if pmid is None:
        raise UnusableRecordError(f"its PMID is {(identifier.text or '')[:40]!r}")
    version = whole_number(identifier.get("Version", "1"))
    if version is None:
        raise UnusableRecordError(f"its version is {identifier.get('Version', '')[:40]!r}", pmid)
    return pmid, version


def _article(pmid: int, version: int, citation: Element, fields: Children, data: Element | None) -> Abstract:
    article = first(fields, "Article")
    if article is None:
        raise UnusableRecordError("it has no Article", pmid)
    parts = children_of(article)
    corrections = corrections_of(first(fields, "CommentsCorrectionsList"))
    types, is_marked = publication_types(within(first(parts, "PublicationTypeList")))
    abstract = children_of(first(parts, "Abstract"))
    others = fields.get("OtherAbstract", [])
    text, sections = _abstract_text(abstract, others)
    vernacular = text_of(first(parts, "VernacularTitle")) or None
    pub_date, pub_date_raw, journal, names = _journal(first(parts, "Journal"), first(fields, "MedlineJournalInfo"))
    online = _online_date(parts.get("ArticleDate", []))
    title = split_title(text_of(first(parts, "ArticleTitle")), vernacular)
    return Abstract(
        pmid=pmid,
        version=version,
        title=title,
        text=text,
        sections=sections,
        journal=journal,
        pub_date=earlier_date(pub_date, online),
        pub_date_raw=pub_date_raw or online,
        print_date=pub_date,
        electronic_date=online,
        doi=_doi(_identifiers(data), parts.get("ELocationID", [])),
        languages=_languages(parts),
        vernacular_title=vernacular,
        authors=author_names(first(parts, "AuthorList")),
        mesh_terms=_mesh_terms(first(fields, "MeshHeadingList")),
        publication_types=types,
        corrections=corrections,
        other_abstracts=tuple(filter(None, map(_other_abstract, others))),
        copyright=text_of(first(abstract, "CopyrightInformation")) or None,
        is_retracted=is_retracted(title, types, corrections, is_marked=is_marked),
        status=citation.get("Status", ""),
        date_revised=_date(first(fields, "DateRevised")),
        journal_names=names,
    )


def _book(pmid: int, version: int, fields: Children, data: Element | None) -> Abstract:
    """A chapter or a whole book; `journal` is the book's title. Its Sections are a table of contents, not text."""
    book = children_of(first(fields, "Book"))
    book_title = text_of(first(book, "BookTitle"))
    chapter = text_of(first(fields, "ArticleTitle"))
    abstract = children_of(first(fields, "Abstract"))
    text, sections = _abstract_text(abstract, [])
    types, is_marked = publication_types(fields.get("PublicationType", []))
    vernacular = text_of(first(fields, "VernacularTitle")) or None
    contributed = first(fields, "ContributionDate")
    published, published_raw = _published(first(book, "PubDate") if contributed is None else contributed)
    title = split_title(chapter or book_title, vernacular)
    identifiers = (*_identifiers(data), *within(first(fields, "ArticleIdList")))
    return Abstract(
        pmid=pmid,
        version=version,
        title=title,
        text=text,
        sections=sections,
        journal=book_title,
        pub_date=published,
        pub_date_raw=published_raw,
        doi=_doi(identifiers, [] if chapter else book.get("ELocationID", [])),
        languages=_languages(fields),
        vernacular_title=vernacular,
        authors=author_names(first(fields, "AuthorList")) or author_names(first(book, "AuthorList")),
        publication_types=types,
        copyright=text_of(first(abstract, "CopyrightInformation")) or None,
        is_retracted=is_retracted(title, types, (), is_marked=is_marked),
        is_book=True,
        date_revised=_date(first(fields, "DateRevised")),
    )


def _abstract_text(abstract: Children, others: list[Element]) -> tuple[str, tuple[Section, ...]]:
    text, sections = structured_text(abstract.get("AbstractText", []))
    if text:
        return text, sections
    english = [other for other in others if _language(other) == "eng"]
    for other in sorted(english, key=lambda other: "plain-language" in other.get("Type", "")):
        text, sections = structured_text(other.iterchildren("AbstractText"))
        if text:
            return text, sections
    return "", ()


def _other_abstract(element: Element) -> OtherAbstract | None:
    text, _ = structured_text(element.iterchildren("AbstractText"))
    return OtherAbstract(element.get("Type", ""), _language(element), text) if text else None


def _language(other: Element) -> str:
    return other.get("Language", "eng").strip().lower()  # the DTD's default, which nobody reads


def _languages(fields: Children) -> tuple[str, ...]:
    names = ((language.text or "").strip().lower() for language in fields.get("Language", []))
    return tuple(dict.fromkeys(filter(None, names)))


def _journal(journal: Element | None, medline: Element | None) -> tuple[str, str, str, tuple[str, ...]]:
    """(ISO date, date as printed, title, other names)."""
    parts = children_of(journal)
    known = children_of(medline)
    short, listed = text_of(first(parts, "ISOAbbreviation")), text_of(first(known, "MedlineTA"))
    title = text_of(first(parts, "Title")) or short or listed
    numbers = (*parts.get("ISSN", []), *known.get("NlmUniqueID", []), *known.get("ISSNLinking", []))
    names = dict.fromkeys(filter(None, (short, listed, *(text_of(number) for number in numbers))))
    issue = children_of(first(parts, "JournalIssue"))
    return *_published(first(issue, "PubDate")), title, tuple(name for name in names if name != title)


def _published(element: Element | None) -> tuple[str, str]:
    """(ISO date, date as printed) of a PubDate with Year, Month and Day, or Season, or MedlineDate."""
    parts = {child.tag: child.text for child in within(element)}
    printed = normalize_text(parts.get("MedlineDate") or "")
    if printed:
        return printed_date(printed), printed
    year, day = parts.get("Year"), parts.get("Day")
    month = parts.get("Month") or parts.get("Season")
    return iso_date(year, month, day), normalize_text(" ".join(filter(None, (year, month, day))))


def _online_date(dates: list[Element]) -> str:
    electronic = (_date(date) for date in dates if date.get("DateType", "Electronic") == "Electronic")
    return next(filter(None, electronic), "")


def _date(element: Element | None) -> str:
    parts = {child.tag: child.text for child in within(element)}
    return iso_date(parts.get("Year"), parts.get("Month"), parts.get("Day"))


def _identifiers(data: Element | None) -> Iterable[Element]:
    return within(first(children_of(data), "ArticleIdList"))


def _doi(identifiers: Iterable[Element], locations: Iterable[Element]) -> str | None:
    for identifier in identifiers:
        if identifier.get("IdType") == "doi" and (doi := clean_doi(identifier.text)):
            return doi
    for location in locations:
        is_valid = location.get("ValidYN", "Y") != "N"
        if location.get("EIdType") == "doi" and is_valid and (doi := clean_doi(location.text)):
            return doi
    return None


def _mesh_terms(headings: Element | None) -> tuple[str, ...]:
    """Descriptors without their qualifiers."""
    if headings is None:
        return ()
    names = [known_name(descriptor.text or "") for descriptor in headings.iter("DescriptorName")]
    return tuple(filter(None, dict.fromkeys(names)))
