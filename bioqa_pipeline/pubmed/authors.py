"""A record's list of authors into their names as PubMed cites them."""

from __future__ import annotations

from bioqa_pipeline.pubmed.markup import Element, plain_text
from bioqa_pipeline.text import normalize_text

_AUTHOR_TAGS = ("Author", "LastName", "ForeName", "Initials", "Suffix", "CollectiveName")
_INVALID: dict[str, Element] = {}


def author_names(authors: Element | None) -> tuple[str, ...]:
    """As PubMed cites them: "Makar AB", "King ML Jr", or the name of a group; not those marked invalid, no editors."""
    if authors is None or authors.get("Type", "authors") != "authors":
        return ()
    names: list[str] = []
    parts: dict[str, Element] = {}
    for element in authors.iter(*_AUTHOR_TAGS):
        if element.tag == "Author":
            names.append(_author(parts))
            parts = {} if element.get("ValidYN") != "N" else _INVALID
        elif parts is not _INVALID:
            parts[element.tag] = element
    return tuple([name for name in (*names, _author(parts)) if name])


def _author(parts: dict[str, Element]) -> str:
    if "CollectiveName" in parts:
        return plain_text(parts["CollectiveName"])
    words = [
        parts[tag].text or ""
        for tag in ("LastName", "Initials" if "Initials" in parts else "ForeName", "Suffix")
        if tag in parts
    ]
    return normalize_text(" ".join(words))
