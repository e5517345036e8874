"""One parsed record of PubMed XML (PubmedArticle or PubmedBookArticle) into an `Abstract`.

Fields come from their own place only: a PMID, DOI or title of a cited paper is never taken for the record's.
Knows nothing about files and streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bioqa_pipeline.pubmed_fields import clean_doi, iso_date, printed_date, split_title, whole_number
from bioqa_pipeline.pubmed_text import Element, plain_text, structured_text
from bioqa_pipeline.records import Abstract, Correction, OtherAbstract, Section
from bioqa_pipeline.text import normalize_text

MAX_TEXT_CHARS = 1_000_000
_RETRACTED_UI = "D016441"
_RETRACTED_NAME = "retracted publication"


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
    parts = _children(element)
    if element.tag == "PubmedBookArticle":
        return _checked(_book, parts.get("BookDocument"), parts.get("PubmedBookData"))
    return _checked(_article, parts.get("MedlineCitation"), parts.get("PubmedData"))


def _checked(
    read: Callable[[int, int, Element, Element | None], Abstract], body: Element | None, data: Element | None
) -> Abstract:
    if body is None:
        raise UnusableRecordError("it holds no citation")
    identifier = next(body.iterchildren("PMID"), None)
    if identifier is None:
        raise UnusableRecordError("it has no PMID")
    pmid = whole_number(identifier.text)
    if pmid is None:
        raise UnusableRecordError(f"its PMID is {(identifier.text or '')[:40]!r}")
    version = whole_number(identifier.get("Version", "1"))
    if version is None:
        raise UnusableRecordError(f"its version is {identifier.get('Version', '')[:40]!r}", pmid)
    record = read(pmid, version, body, data)
    for text in (record.title, record.text, *(other.text for other in record.other_abstracts)):
        if len(text) > MAX_TEXT_CHARS:
            raise UnusableRecordError(
                f"it has a text of {len(text):,} characters; {MAX_TEXT_CHARS:,} is the most", pmid
            )
    return record


def _article(pmid: int, version: int, citation: Element, data: Element | None) -> Abstract:
    fields = _children(citation)
    article = fields.get("Article")
    if article is None:
        raise UnusableRecordError("it has no Article", pmid)
    parts = _children(article)
    corrections, has_notice = _corrections(fields.get("CommentsCorrectionsList"))
    types, is_marked = _publication_types(_within(parts.get("PublicationTypeList")))
    others = tuple(filter(None, map(_other_abstract, citation.iterchildren("OtherAbstract"))))
    text, sections = _abstract_text(parts.get("Abstract"), citation)
    vernacular = _text(parts.get("VernacularTitle")) or None
    pub_date, pub_date_raw, journal = _journal(parts.get("Journal"), fields.get("MedlineJournalInfo"))
    electronic = (d for d in article.iterchildren("ArticleDate") if d.get("DateType", "Electronic") == "Electronic")
    online = next((day for day in map(_date, electronic) if day), "")
    return Abstract(
        pmid=pmid,
        version=version,
        title=split_title(_text(parts.get("ArticleTitle")), vernacular),
        text=text,
        sections=sections,
        journal=journal,
        pub_date=online or pub_date,
        pub_date_raw=pub_date_raw or online,
        doi=_doi(_within(data, "ArticleIdList"), article.iterchildren("ELocationID")),
        languages=_languages(article),
        vernacular_title=vernacular,
        authors=_authors(parts.get("AuthorList")),
        mesh_terms=_mesh_terms(fields.get("MeshHeadingList")),
        publication_types=types,
        corrections=corrections,
        other_abstracts=others,
        copyright=_copyright(parts.get("Abstract")),
        is_retracted=has_notice or is_marked,
        status=citation.get("Status", ""),
        date_revised=_date(fields.get("DateRevised")),
    )


def _book(pmid: int, version: int, document: Element, data: Element | None) -> Abstract:
    """A chapter or a whole book; `journal` is the book's title. Its Sections are a table of contents, not text."""
    fields = _children(document)
    book = _children(fields["Book"]) if "Book" in fields else {}
    book_title = _text(book.get("BookTitle"))
    chapter = _text(fields.get("ArticleTitle"))
    text, sections = _abstract_text(fields.get("Abstract"), document)
    types, is_marked = _publication_types(document.iterchildren("PublicationType"))
    vernacular = _text(fields.get("VernacularTitle")) or None
    whole_book = [] if chapter or "Book" not in fields else fields["Book"].iterchildren("ELocationID")
    contributed = fields.get("ContributionDate")
    published, published_raw = _published(contributed if contributed is not None else book.get("PubDate"))
    return Abstract(
        pmid=pmid,
        version=version,
        title=split_title(chapter or book_title, vernacular),
        text=text,
        sections=sections,
        journal=book_title,
        pub_date=published,
        pub_date_raw=published_raw,
        doi=_doi([*_within(data, "ArticleIdList"), *_within(fields.get("ArticleIdList"))], whole_book),
        languages=_languages(document),
        vernacular_title=vernacular,
        authors=_authors(fields.get("AuthorList")) or _authors(book.get("AuthorList")),
        publication_types=types,
        copyright=_copyright(fields.get("Abstract")),
        is_retracted=is_marked,
        is_book=True,
        date_revised=_date(fields.get("DateRevised")),
    )


def _children(element: Element) -> dict[str, Element]:
    """First child of each name."""
    return {child.tag: child for child in element.iterchildren(reversed=True)}


def _within(element: Element | None, name: str | None = None) -> Iterable[Element]:
    """The children of an element, or of its first child of that name."""
    if element is not None and name is not None:
        element = next(element.iterchildren(name), None)
    return () if element is None else element


def _text(element: Element | None) -> str:
    return "" if element is None else plain_text(element)


def _abstract_text(abstract: Element | None, citation: Element) -> tuple[str, tuple[Section, ...]]:
    text, sections = structured_text(() if abstract is None else abstract.iterchildren("AbstractText"))
    if text:
        return text, sections
    english = [other for other in citation.iterchildren("OtherAbstract") if _language(other) == "eng"]
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


def _languages(element: Element) -> tuple[str, ...]:
    names = ((language.text or "").strip().lower() for language in element.iterchildren("Language"))
    return tuple(dict.fromkeys(filter(None, names)))


def _copyright(abstract: Element | None) -> str | None:
    return None if abstract is None else _text(next(abstract.iterchildren("CopyrightInformation"), None)) or None


def _journal(journal: Element | None, medline: Element | None) -> tuple[str, str, str]:
    """(ISO date, date as printed, title)."""
    parts = {} if journal is None else _children(journal)
    title = _text(parts.get("Title")) or _text(parts.get("ISOAbbreviation"))
    if not title and medline is not None:
        title = _text(next(medline.iterchildren("MedlineTA"), None))
    issue = parts.get("JournalIssue")
    return *_published(None if issue is None else next(issue.iterchildren("PubDate"), None)), title


def _published(element: Element | None) -> tuple[str, str]:
    """(ISO date, date as printed) of a PubDate with Year, Month and Day, or Season, or MedlineDate."""
    if element is None:
        return "", ""
    parts = {child.tag: child.text for child in element}
    printed = normalize_text(parts.get("MedlineDate") or "")
    if printed:
        return printed_date(printed), printed
    month = parts.get("Month") or parts.get("Season")
    raw = normalize_text(" ".join(filter(None, (parts.get("Year"), month, parts.get("Day")))))
    return iso_date(parts.get("Year"), month, parts.get("Day")), raw


def _date(element: Element | None) -> str:
    if element is None:
        return ""
    parts = {child.tag: child.text for child in element}
    return iso_date(parts.get("Year"), parts.get("Month"), parts.get("Day"))


def _doi(identifiers: Iterable[Element], locations: Iterable[Element]) -> str | None:
    for identifier in identifiers:
        if identifier.get("IdType") == "doi" and (doi := clean_doi(identifier.text)):
            return doi
    for location in locations:
        is_valid = location.get("ValidYN", "Y") != "N"
        if location.get("EIdType") == "doi" and is_valid and (doi := clean_doi(location.text)):
            return doi
    return None


def _authors(authors: Element | None) -> tuple[str, ...]:
    """As PubMed cites them: "Makar AB", "King ML Jr", or the name of a group; not those marked invalid, no editors."""
    if authors is None or authors.get("Type", "authors") != "authors":
        return ()
    names = []
    for author in authors.iterchildren("Author"):
        if author.get("ValidYN", "Y") == "N":
            continue
        parts = {child.tag: child for child in author}
        if "CollectiveName" in parts:
            names.append(_text(parts["CollectiveName"]))
        else:
            given = parts.get("Initials", parts.get("ForeName"))
            name = (_text(parts.get("LastName")), _text(given), _text(parts.get("Suffix")))
            names.append(" ".join(filter(None, name)))
    return tuple(filter(None, names))


def _mesh_terms(headings: Element | None) -> tuple[str, ...]:
    """Descriptors without their qualifiers."""
    if headings is None:
        return ()
    names = [_text(heading[0]) for heading in headings if len(heading) and heading[0].tag == "DescriptorName"]
    return tuple(dict.fromkeys(filter(None, names)))


def _publication_types(elements: Iterable[Element]) -> tuple[tuple[str, ...], bool]:
    """The names, and whether one says that the record was retracted; older records name types without identifiers."""
    names = []
    is_retracted = False
    for element in elements:
        name = _text(element)
        identifier = element.get("UI", "")
        is_retracted |= identifier == _RETRACTED_UI or (not identifier and name.casefold() == _RETRACTED_NAME)
        names.append(name)
    return tuple(filter(None, names)), is_retracted


def _corrections(links: Element | None) -> tuple[tuple[Correction, ...], bool]:
    """The links to other records but those to cited papers, and whether one is to the notice that retracts this one."""
    corrections = []
    for link in _within(links):
        ref_type = link.get("RefType", "")
        if ref_type != "Cites":
            parts = {child.tag: child for child in link}
            identifier = parts.get("PMID")
            pmid = None if identifier is None else whole_number(identifier.text)
            corrections.append(Correction(ref_type, pmid, _text(parts.get("RefSource"))))
    return tuple(corrections), any(link.ref_type == "RetractionIn" for link in corrections)
