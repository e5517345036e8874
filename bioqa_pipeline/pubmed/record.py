"""One parsed record of PubMed XML (PubmedArticle or PubmedBookArticle) into an `Abstract`.

Fields come from their own place only: a PMID, DOI or title of a cited paper is never taken for the record's.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from bioqa_pipeline.pubmed.authors import author_names
from bioqa_pipeline.pubmed.fields import clean_doi, iso_date, printed_date, split_title, whole_number
from bioqa_pipeline.pubmed.markup import Element, plain_text, structured_text
from bioqa_pipeline.records.texts import Abstract, Correction, OtherAbstract, Section
from bioqa_pipeline.text import normalize_text

MAX_TEXT_CHARS = 1_000_000
# Of every other field: names, titles of journals, dates as printed.
MAX_FIELD_CHARS = 100_000
_RETRACTED_UI = "D016441"
_RETRACTED_NAME = "retracted publication"


# Of names that many records share; longer ones are no names, and would fill the memory.
_MOST_KNOWN_CHARS = 200
_cached_name = lru_cache(maxsize=65_536)(normalize_text)


def _known_name(text: str) -> str:
    return _cached_name(text) if len(text) <= _MOST_KNOWN_CHARS else normalize_text(text)


# The children of an element by name, in order.
Children = dict[str, list[Element]]


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
    parts = _children(element)
    body = _first(parts, "BookDocument" if is_book else "MedlineCitation")
    if body is None:
        raise UnusableRecordError("it holds no citation")
    fields = _children(body)
    pmid, version = _identity(_first(fields, "PMID"))
    if is_book:
        record = _book(pmid, version, fields, _first(parts, "PubmedBookData"))
    else:
        record = _article(pmid, version, body, fields, _first(parts, "PubmedData"))
    _check_sizes(record)
    return record


def _check_sizes(record: Abstract) -> None:
    for text in (record.title, record.text, *(other.text for other in record.other_abstracts)):
        if len(text) > MAX_TEXT_CHARS:
            raise UnusableRecordError(
                f"it has a text of {len(text):,} characters, over {MAX_TEXT_CHARS:,}", record.pmid
            )
    fields = (
        ("journal title", (record.journal,)),
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
    article = _first(fields, "Article")
    if article is None:
        raise UnusableRecordError("it has no Article", pmid)
    parts = _children(article)
    corrections = _corrections(_first(fields, "CommentsCorrectionsList"))
    types, is_marked = _publication_types(_within(_first(parts, "PublicationTypeList")))
    abstract = _children(_first(parts, "Abstract"))
    others = fields.get("OtherAbstract", [])
    text, sections = _abstract_text(abstract, others)
    vernacular = _text(_first(parts, "VernacularTitle")) or None
    pub_date, pub_date_raw, journal = _journal(_first(parts, "Journal"), _first(fields, "MedlineJournalInfo"))
    online = _online_date(parts.get("ArticleDate", []))
    return Abstract(
        pmid=pmid,
        version=version,
        title=split_title(_text(_first(parts, "ArticleTitle")), vernacular),
        text=text,
        sections=sections,
        journal=journal,
        pub_date=online or pub_date,
        pub_date_raw=pub_date_raw or online,
        doi=_doi(_identifiers(data), parts.get("ELocationID", [])),
        languages=_languages(parts),
        vernacular_title=vernacular,
        authors=author_names(_first(parts, "AuthorList")),
        mesh_terms=_mesh_terms(_first(fields, "MeshHeadingList")),
        publication_types=types,
        corrections=corrections,
        other_abstracts=tuple(filter(None, map(_other_abstract, others))),
        copyright=_text(_first(abstract, "CopyrightInformation")) or None,
        is_retracted=is_marked or any(link.ref_type == "RetractionIn" for link in corrections),
        status=citation.get("Status", ""),
        date_revised=_date(_first(fields, "DateRevised")),
    )


def _book(pmid: int, version: int, fields: Children, data: Element | None) -> Abstract:
    """A chapter or a whole book; `journal` is the book's title. Its Sections are a table of contents, not text."""
    book = _children(_first(fields, "Book"))
    book_title = _text(_first(book, "BookTitle"))
    chapter = _text(_first(fields, "ArticleTitle"))
    abstract = _children(_first(fields, "Abstract"))
    text, sections = _abstract_text(abstract, [])
    types, is_marked = _publication_types(fields.get("PublicationType", []))
    vernacular = _text(_first(fields, "VernacularTitle")) or None
    contributed = _first(fields, "ContributionDate")
    published, published_raw = _published(_first(book, "PubDate") if contributed is None else contributed)
    identifiers = (*_identifiers(data), *_within(_first(fields, "ArticleIdList")))
    return Abstract(
        pmid=pmid,
        version=version,
        title=split_title(chapter or book_title, vernacular),
        text=text,
        sections=sections,
        journal=book_title,
        pub_date=published,
        pub_date_raw=published_raw,
        doi=_doi(identifiers, [] if chapter else book.get("ELocationID", [])),
        languages=_languages(fields),
        vernacular_title=vernacular,
        authors=author_names(_first(fields, "AuthorList")) or author_names(_first(book, "AuthorList")),
        publication_types=types,
        copyright=_text(_first(abstract, "CopyrightInformation")) or None,
        is_retracted=is_marked,
        is_book=True,
        date_revised=_date(_first(fields, "DateRevised")),
    )


def _children(element: Element | None) -> Children:
    children: Children = {}
    for child in _within(element):
        tag = child.tag
        if tag in children:
            children[tag].append(child)
        else:
            children[tag] = [child]
    return children


def _first(children: Children, name: str) -> Element | None:
    return children[name][0] if name in children else None


def _within(element: Element | None) -> Iterable[Element]:
    return () if element is None else element


def _text(element: Element | None) -> str:
    return "" if element is None else plain_text(element)


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


def _journal(journal: Element | None, medline: Element | None) -> tuple[str, str, str]:
    """(ISO date, date as printed, title)."""
    parts = _children(journal)
    title = _text(_first(parts, "Title")) or _text(_first(parts, "ISOAbbreviation"))
    issue = _children(_first(parts, "JournalIssue"))
    return *_published(_first(issue, "PubDate")), title or _text(_first(_children(medline), "MedlineTA"))


def _published(element: Element | None) -> tuple[str, str]:
    """(ISO date, date as printed) of a PubDate with Year, Month and Day, or Season, or MedlineDate."""
    parts = {child.tag: child.text for child in _within(element)}
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
    parts = {child.tag: child.text for child in _within(element)}
    return iso_date(parts.get("Year"), parts.get("Month"), parts.get("Day"))


def _identifiers(data: Element | None) -> Iterable[Element]:
    return _within(_first(_children(data), "ArticleIdList"))


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
    names = [_known_name(descriptor.text or "") for descriptor in headings.iter("DescriptorName")]
    return tuple(filter(None, dict.fromkeys(names)))


def _publication_types(elements: Iterable[Element]) -> tuple[tuple[str, ...], bool]:
    """The names, and whether one says that the record was retracted; older records name types without identifiers."""
    names = []
    is_retracted = False
    for element in elements:
        name = _known_name(element.text or "")
        identifier = element.get("UI", "")
        is_retracted |= identifier == _RETRACTED_UI or (not identifier and name.casefold() == _RETRACTED_NAME)
        names.append(name)
    return tuple(filter(None, names)), is_retracted


def _corrections(links: Element | None) -> tuple[Correction, ...]:
    """The links to other records but those to cited papers."""
    corrections = []
    for link in _within(links):
        ref_type = link.get("RefType", "")
        if ref_type != "Cites":
            parts = _children(link)
            identifier = _first(parts, "PMID")
            pmid = None if identifier is None else whole_number(identifier.text)
            corrections.append(Correction(ref_type, pmid, _text(_first(parts, "RefSource"))))
    return tuple(corrections)
