"""The text elements of PubMed XML into readable text in normal form: inline markup, MathML, structured abstracts.

Markup is dropped and its words are kept, neither glued nor torn apart. Where leaving it out would change a number, a
mark takes its place: "10<sup>6</sup>" becomes "10^6" and "5<sub>10</sub>" becomes "5_10", while "CD4<sup>+</sup>",
"H<sub>2</sub>O" and "<sup>13</sup>C" become CD4+, H2O and 13C. "<u>&lt;</u>" and its like are the old way to typeset
"≤". What was escaped twice is resolved (see `literal`). Elements that stand for lines of their own, as headings in bold
do, are not glued to what touches them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

from lxml import etree

from bioqa_pipeline.pubmed.literal import BLOCKS, as_element, has_tags, resolved
from bioqa_pipeline.records.texts import Section
from bioqa_pipeline.text import normalize_text

Element = etree._Element

_MATHML = "{http://www.w3.org/1998/Math/MathML}"
_MATH = _MATHML + "math"
_SCRIPT_MARKS = {"sup": "^", "sub": "_"}
_UNDERLINED = {"<": "≤", ">": "≥", "+": "±"}
_SIGNS = "+-−–"
_NO_LABELS = frozenset(("", "UNASSIGNED", "UNLABELLED", "UNLABELED"))

_EMPHASIS = frozenset(("b", "i", "u"))
_HEADINGS = frozenset(
    "abstract aim aims background case conclusion conclusions context data date design diagnosis discussion findings "
    "hypothesis importance interpretation intervention interventions introduction limitations material materials "
    "measurements method methods objective objectives outcome outcomes participants patient patients population "
    "purpose rationale result results setting significance subjects summary symptoms treatment".split()
)
_HEADING = re.compile(r"[A-Z][A-Za-z][A-Za-z /&,-]{3,}")
_LINE_END = re.compile(r"\w\w[)\]]?[.:;?!]$")

_TOKENS = frozenset(("mi", "mn", "mo"))
_UNSEEN = frozenset(("annotation", "annotation-xml", "mphantom", "none", "mprescripts", "maligngroup", "malignmark"))
_FUNCTION_APPLICATION = "\u2061"


def plain_text(element: Element) -> str:
    """All words of an element in normal form (see `normalize_text`)."""
    if not len(element):
        text = element.text or ""
        if "&" not in text and "<" not in text:
            return normalize_text(text)
    pieces: list[str] = []
    _collect(element, pieces)
    return normalize_text("".join(pieces))


def structured_text(parts: Iterable[Element]) -> tuple[str, tuple[Section, ...]]:
    """AbstractText elements as one text, "LABEL: text" joined by one space, and the labelled parts with their offsets.

    Empty parts vanish with their labels. A part whose label says that it has none keeps its place and makes no section.
    """
    pieces: list[str] = []
    sections: list[Section] = []
    length = 0
    for part in parts:
        text = plain_text(part)
        if not text:
            continue
        label = normalize_text(part.get("Label", "")).rstrip(": ")
        lead = " " if pieces else ""
        if label and label.upper() not in _NO_LABELS:
            lead += label + ": "
            start = length + len(lead)
            sections.append(Section(label, _category(part), start, start + len(text)))
        pieces.append(lead + text)
        length += len(lead) + len(text)
    return "".join(pieces), tuple(sections)


def _category(part: Element) -> str | None:
    category = part.get("NlmCategory", "").strip()
    return None if category.upper() in _NO_LABELS else category


def _collect(element: Element, pieces: list[str], is_literal: bool = False) -> None:
    """Appends the words of an element, without those behind its end; no piece is empty.

    Args:
        is_literal: the element was made from a text, which has no further markup in it.
    """
    _add_text(element.text, pieces, is_literal)
    touching = ""  # what an emphasised element says that ends here
    for child in element:
        tag = child.tag
        tail = child.tail
        emphasised = ""
        if tag in _SCRIPT_MARKS:
            _add_script(pieces, _inner(child, is_literal), _SCRIPT_MARKS[tag])
            if tail and pieces and tail[0].isdecimal() and pieces[-1][-1].isdecimal():
                pieces.append(" ")
        elif tag == _MATH:
            pieces.extend(filter(None, [_math(child)]))
        elif tag == "u" and (inner := _inner(child, is_literal)) in _UNDERLINED:
            pieces.append(_UNDERLINED[inner])
        elif tag in _EMPHASIS:
            emphasised = _add_emphasis(child, pieces, touching, is_literal)
        elif tag in BLOCKS:
            pieces.append(" ")
            _collect(child, pieces, is_literal)
            pieces.append(" ")
        else:
            _collect(child, pieces, is_literal)
        _add_text(tail, pieces, is_literal)
        touching = "" if tail else emphasised


def _add_text(text: str | None, pieces: list[str], is_literal: bool) -> None:
    if not text:
        return
    if not is_literal and "&" in text:
        text = resolved(text)
    if not is_literal and has_tags(text):
        _collect(as_element(text), pieces, is_literal=True)
    else:
        pieces.append(text)


def _add_emphasis(element: Element, pieces: list[str], touching: str, is_literal: bool) -> str:
    """Appends bold or slanted words, apart from what they touch where they or it are lines of their own.

    Returns:
        The words.
    """
    # A script in it is written by what stands before it.
    before = pieces[-1:]
    own = [*before]
    _collect(element, own, is_literal)
    words = "".join(own[len(before) :])
    if not words:
        return ""
    is_heading = element.tag == "b" and _is_heading(words)
    if touching:
        glued = _are_lines(touching, words)
    else:
        glued = is_heading and bool(pieces) and pieces[-1][-1] in ".:;?!)"
    if glued:
        pieces.append(" ")
    pieces.append(words)
    if _ends_line(words, is_heading, element.tail or ""):
        pieces.append(" ")
    return words


def _are_lines(left: str, right: str) -> bool:
    """Whether two emphasised elements side by side are two lines or words, not two parts of one word."""
    if min(len(left), len(right)) < 2:
        return False
    if left[-1].isdecimal() and right[1].isdecimal():
        return False  # a number or a code: "53" and "B1" are no lines
    return right[0].isupper() or (left[-2:].isalnum() and right[:2].isalpha()) or left[-1] in ".:;?!,)"


def _is_heading(words: str) -> bool:
    bare = words.strip().rstrip(".:")
    return bare.casefold() in _HEADINGS or _HEADING.fullmatch(bare) is not None


def _ends_line(words: str, is_heading: bool, tail: str) -> bool:
    if not tail[:1].isalnum():
        return False
    begins_sentence = tail[0].isupper() and (tail[1:2].islower() or tail[1:2].isspace())
    if _LINE_END.search(words):
        return begins_sentence or is_heading
    return is_heading and (begins_sentence or words.strip().casefold() in _HEADINGS)


def _inner(element: Element, is_literal: bool) -> str:
    pieces: list[str] = []
    _collect(element, pieces, is_literal)
    text = "".join(pieces)
    return _without_layout(text) if len(element) else text


def _without_layout(text: str) -> str:
    """Without the indentation that XML writers put just inside the tags of an element that holds only elements."""
    bare = text.lstrip()
    text = bare if "\n" in text[: len(text) - len(bare)] else text
    bare = text.rstrip()
    return bare if "\n" in text[len(bare) :] else text


def _add_script(pieces: list[str], script: str, mark: str) -> None:
    """Appends a sub- or superscript, behind a mark where it would otherwise run into the number before it."""
    bare = script.lstrip()
    is_number = bare[:1].isdecimal() or (bare[:1] in _SIGNS and bare[1:2].isdecimal())
    if is_number and pieces and pieces[-1][-1].isdecimal():
        pieces.append(mark + bare)
    elif script:
        pieces.append(script)


def _math(element: Element) -> str:
    """Presentation MathML on one line; white space between its elements is layout."""
    name = element.tag.removeprefix(_MATHML)
    if name in _UNSEEN:
        return ""
    if name in _TOKENS:
        return _all_text(element).strip(" \t\r\n").replace(_FUNCTION_APPLICATION, " ")
    if name in ("mtext", "ms"):
        return _without_layout(_all_text(element))
    if name == "mspace":
        return " "
    if name == "mmultiscripts":
        return _multiscripts(element)
    parts = [_math(child) + _words(child.tail) for child in element]
    match name, parts:
        case "mfrac", [over, under]:
            return f"{_grouped(over)}/{_grouped(under)}"
        case "msub" | "msup", [base, script]:
            return _scripted(base, (script, "_" if name == "msub" else "^"))
        case "msubsup", [base, low, high]:
            return _scripted(base, (low, "_"), (high, "^"))
        case "mroot", [base, index]:
            return f"{index}√{_grouped(base)}"
        case "msqrt", _:
            return "√" + _grouped(_row(parts))
        case "mfenced", _:
            comma = element.get("separators", ",").strip()[:1]
            return element.get("open", "(") + comma.join(parts) + element.get("close", ")")
        case "semantics", [shown, *_]:
            return shown
        case "mtable", _:
            return "; ".join(parts)
        case "mtr", _:
            return ", ".join(parts)
        case _:
            return _words(element.text) + _row(parts)


def _all_text(element: Element) -> str:
    return "".join(cast(Iterable[str], element.itertext()))


def _words(text: str | None) -> str:
    return text if text and not text.isspace() else ""


def _row(parts: list[str]) -> str:
    """Neighbours side by side; a space where two numbers, or a name of several letters and another, would merge."""
    row = ""
    left = ""
    for part in parts:
        if left and part:
            two_numbers = left[-1].isdecimal() and part[0].isdecimal()
            two_names = left.isalpha() and part.isalpha() and len(left) + len(part) > 2
            if two_numbers or two_names:
                row += " "
        row += part
        left = part or left
    return row


def _grouped(text: str) -> str:
    return text if text.isalnum() else f"({text})"


def _scripted(base: str, *scripts: tuple[str, str]) -> str:
    pieces = [base] if base else []
    for script, mark in scripts:
        _add_script(pieces, script, mark)
    return "".join(pieces)


def _multiscripts(element: Element) -> str:
    """Scripts before the base ("129" of 129Xe) before it, those after it after it."""
    before: list[str] = []
    after: list[str] = []
    children = list(element)
    target = after
    for child in children[1:]:
        if child.tag == _MATHML + "mprescripts":
            target = before
        else:
            target.append(_math(child))
    base = _math(children[0]) if children else ""
    return "".join(before) + _scripted(base, *((script, "_" if i % 2 == 0 else "^") for i, script in enumerate(after)))
