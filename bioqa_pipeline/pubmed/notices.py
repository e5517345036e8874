"""What a record says of its kind and of other records into types, links and whether it was retracted."""

from __future__ import annotations

from collections.abc import Iterable

from bioqa_pipeline.pubmed.elements import children_of, first, known_name, text_of, within
from bioqa_pipeline.pubmed.fields import says_retracted, whole_number
from bioqa_pipeline.pubmed.markup import Element
from bioqa_pipeline.records.texts import Correction

_RETRACTED_UI = "D016441"
_RETRACTED_NAME = "retracted publication"
_RETRACTED_LINKS = frozenset(("retractionin", "retractedandrepublishedin"))
# A notice bears the title of what it retracts, and is not retracted itself.
_NOTICE_LINKS = frozenset(("retractionof", "retractedandrepublishedfrom"))
_NOTICE_NAMES = frozenset(("retraction of publication", "retraction notice"))


def publication_types(elements: Iterable[Element]) -> tuple[tuple[str, ...], bool]:
    """The names, and whether one says that the record was retracted; older records name types without identifiers."""
    names = []
    is_retracted = False
    for element in elements:
        name = known_name(element.text or "")
        identifier = element.get("UI", "")
        is_retracted |= identifier == _RETRACTED_UI or (not identifier and name.casefold() == _RETRACTED_NAME)
        names.append(name)
    return tuple(filter(None, names)), is_retracted


def is_retracted(title: str, types: tuple[str, ...], corrections: tuple[Correction, ...]) -> bool:
    """Whether its links say that a record was retracted, or its title does and it is no notice."""
    links = {link.ref_type.casefold() for link in corrections}
    if links & _RETRACTED_LINKS:
        return True
    is_notice = links & _NOTICE_LINKS or any(name.casefold() in _NOTICE_NAMES for name in types)
    return not is_notice and says_retracted(title)


def corrections_of(links: Element | None) -> tuple[Correction, ...]:
    """The links to other records but those to cited papers."""
    corrections = []
    for link in within(links):
        ref_type = link.get("RefType", "")
        if ref_type != "Cites":
            parts = children_of(link)
            identifier = first(parts, "PMID")
            pmid = None if identifier is None else whole_number(identifier.text)
            corrections.append(Correction(ref_type, pmid, text_of(first(parts, "RefSource"))))
    return tuple(corrections)
