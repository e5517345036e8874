"""An element of PubMed's XML into its children by name and their words."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from bioqa_pipeline.pubmed.markup import Element, plain_text
from bioqa_pipeline.text import normalize_text

# Of names that many records share; longer ones are no names, and would fill the memory.
_MOST_KNOWN_CHARS = 200
_cached_name = lru_cache(maxsize=65_536)(normalize_text)


def known_name(text: str) -> str:
    return _cached_name(text) if len(text) <= _MOST_KNOWN_CHARS else normalize_text(text)


# The children of an element by name, in order.
Children = dict[str, list[Element]]


def children_of(element: Element | None) -> Children:
    children: Children = {}
    for child in within(element):
        tag = child.tag
        if tag in children:
            children[tag].append(child)
        else:
            children[tag] = [child]
    return children


def first(children: Children, name: str) -> Element | None:
    return children[name][0] if name in children else None


def within(element: Element | None) -> Iterable[Element]:
    return () if element is None else element


def text_of(element: Element | None) -> str:
    return "" if element is None else plain_text(element)
