"""What a record says of its kind and of other records into types and links."""

from __future__ import annotations

from collections.abc import Iterable

from bioqa_pipeline.pubmed.elements import children_of, first, known_name, text_of, within
from bioqa_pipeline.pubmed.fields import whole_number
from bioqa_pipeline.pubmed.markup import Element
from bioqa_pipeline.records.texts import Correction

_RETRACTED_UI = "D016441"
_RETRACTED_NAME = "retracted publication"


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
