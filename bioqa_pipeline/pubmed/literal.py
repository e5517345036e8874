"""Markup that stands in a text as text, because it was escaped once too often: entities resolved, tags made elements.

"&amp;alpha;" arrives as "&alpha;" and is α, "CO&lt;sub&gt;2&lt;/sub&gt;" as "CO<sub>2</sub>" and is a subscript. Only
tags that PubMed's publishers use count; a "<" that begins none of them is one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.entities import html5

from lxml import etree

# Of its own text an element of the file can be no deeper than 256.
MOST_DEPTH = 16
_MOST_ROUNDS = 4
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
BLOCKS = frozenset(
    "p br div li list-item list ul ol dl dt dd sec section title h1 h2 h3 h4 h5 h6 table thead tbody tr td th "
    "blockquote hr".split()
)
_MATH = "math mrow mi mn mo ms mtext mspace mstyle mfenced msup msub msubsup mfrac msqrt mroot mover munder".split()
_INLINE = {
    **{name: name for name in ("sub", "sup", "b", "i", "u", "span", "small", "big", "font")},
    **dict.fromkeys(("a", "xref", "ext-link", "named-content", "styled-content"), "span"),
    **{name: f"{{http://www.w3.org/1998/Math/MathML}}{name}" for name in _MATH},
    **{"inf": "sub", "em": "i", "italic": "i", "strong": "b", "bold": "b", "underline": "u", "sc": "span"},
}
_NAMES = "|".join(sorted((*BLOCKS, *_INLINE), key=len, reverse=True))
_TAG = re.compile(
    rf"<(/?)(?:jats:|mml:|m:)?({_NAMES})((?:\s++[\w:.-]++\s*+=\s*+(?:\"[^\"<>]*+\"|'[^'<>]*+'))*+)\s*+(/?)>",
    re.IGNORECASE,
)


def resolved(text: str) -> str:
    """A text with the entities that it names in place of their names; unknown ones stay."""
    for _ in range(_MOST_ROUNDS):
        before, text = text, _ENTITY.sub(_character, text)
        if text == before:
            break
    return text


def _character(entity: re.Match[str]) -> str:
    name = entity.group()
    return html.unescape(name) if name[1] == "#" or name[1:] in html5 else name


def has_tags(text: str) -> bool:
    """Whether a text names tags as text."""
    return "<" in text and _TAG.search(text) is not None


def as_element(text: str) -> etree._Element:
    """A text with its tags as elements.

    A tag without its fellow says nothing and goes; one of a single letter stays, for "a <b" may be meant.
    """
    tags = list(_TAG.finditer(text))
    paired = dict(_pairs(tags))
    root = element = etree.Element("text")
    end = 0
    for i, tag in enumerate(tags):
        name = tag.group(2).lower()
        is_empty = bool(tag.group(4)) or name in ("br", "hr")
        if len(name) == 1 and i not in paired and not is_empty:
            continue
        _append(element, text[end : tag.start()])
        end = tag.end()
        if paired.get(i) is True:
            element = etree.SubElement(element, _INLINE.get(name, "p"))
        elif i in paired:
            parent = element.getparent()
            assert parent is not None, "an end has a start before it"
            element = parent
        elif name in BLOCKS:
            etree.SubElement(element, "p")
    _append(element, text[end:])
    return root


def _pairs(tags: list[re.Match[str]]) -> Iterator[tuple[int, bool]]:
    """The tags that open (True) and close elements which lie within each other, by number."""
    opened: list[tuple[str, int]] = []
    for i, tag in enumerate(tags):
        name = tag.group(2).lower()
        if tag.group(4) or name in ("br", "hr"):
            continue
        if not tag.group(1):
            if len(opened) < MOST_DEPTH:
                opened.append((name, i))
        elif any(name == other for other, _ in opened):
            while (other := opened.pop())[0] != name:
                pass
            yield other[1], True
            yield i, False


def _append(element: etree._Element, text: str) -> None:
    """Adds a text behind what an element holds; what XML cannot hold is a space, as in the normal form."""
    text = "".join(c if c >= " " or c in "\t\n\r" else " " for c in text) if not text.isprintable() else text
    text = text.replace("\ufffe", " ").replace("\uffff", " ")
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
