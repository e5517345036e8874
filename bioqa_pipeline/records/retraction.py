"""What a record says of itself (title, types, links) into whether and how it was taken back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol


class Retraction(StrEnum):
    """How a record was taken back. In part: it is no retracted record, and what it says counts as support."""

    RETRACTED = "retracted"
    REPUBLISHED = "retracted and republished"
    WITHDRAWN = "withdrawn"
    REMOVED = "removed"
    IN_PART = "retracted in part"


class Link(Protocol):
    """To another record, as CommentsCorrections/@RefType names it."""

    @property
    def ref_type(self) -> str: ...


# A notice bears the title of what it retracts, and is not retracted itself.
_NOTICE_LINKS = frozenset(("retractionof", "retractedandrepublishedfrom", "partialretractionof"))
_NOTICE_NAMES = frozenset(("retraction of publication", "retraction notice"))
_RETRACTED_NAME = "retracted publication"
# "RETRACTED: Scurvy", "[Withdrawn] Scurvy", "Retracted article: Scurvy"; not "Retracted articles: a review".
_PUBLISHED = (
    r"(?:(?:case|research|review|original|brief|clinical)\s+)?"
    r"(?:article|paper|publication|chapter|manuscript|study|review|letter|report|abstract|preprint|protocol|trial)"
)
_TAKEN = "retracted|withdrawn"
_SAID = (
    rf"(?:(?P<part>partial(?:ly)?[\s-]+)?(?:{_TAKEN})(?:\s+{_PUBLISHED}|(?P<again>\s+and\s+(?:replaced|republished))"
    rf"|\s+(?:by|at|due|because|as|for|on|from)\s[^:\[\]()]{{1,80}}(?=:)|\s+(?:and|or)\s+(?:{_TAKEN}|removed))?"
    rf"|(?:this\s+)?{_PUBLISHED}\s+(?:has\s+been\s+|was\s+|is\s+)?(?:{_TAKEN})"
    r"|(?-i:(?:REMOVED|TEMPORARY REMOVAL|TEMPORARILY REMOVED|ARTICLE REMOVED|REMOVED ARTICLE)))"
)
_LEADS = re.compile(rf"^\W*{_SAID}(?:\s*[\])*:;.|—–]|\s+-\s)", re.IGNORECASE)
_CLOSES = re.compile(rf"[\[(]\s*{_SAID}\s*(?:[.:,;][^\[\]()]*)?[\])]\W*$", re.IGNORECASE)
# In capitals, where the others are not, the word alone says it: "RETRACTED Scurvy", "Scurvy - RETRACTED".
_SHOUTED = re.compile(
    r"^\W*(?P<part>PARTIALLY )?(?:RETRACTED|WITHDRAWN)(?P<again>(?!))?(?:\s*-|\s+[A-Z][a-z])"
    r"|[\s:—–-](?:RETRACTED|WITHDRAWN)\W*$"
)


def retraction_of(
    title: str, types: Iterable[str], links: Iterable[Link], *, is_marked: bool = False
) -> Retraction | None:
    """How a record was taken back; None where it was not.

    Args:
        is_marked: it is known to be retracted, by whatever says so.
    """
    names = {name.casefold() for name in types}
    refs = {link.ref_type.casefold() for link in links}
    is_notice = bool(refs & _NOTICE_LINKS or names & _NOTICE_NAMES)
    said = None if is_notice else _said_in(title)
    if "retractedandrepublishedin" in refs:
        return Retraction.REPUBLISHED
    if is_marked or "retractionin" in refs or _RETRACTED_NAME in names:
        return Retraction.RETRACTED if said in (None, Retraction.IN_PART) else said
    return said or (Retraction.IN_PART if "partialretractionin" in refs else None)


def is_retracted(title: str, types: Iterable[str], links: Iterable[Link], *, is_marked: bool = False) -> bool:
    """Whether all of a record was taken back; arguments as of `retraction_of`."""
    return retraction_of(title, types, links, is_marked=is_marked) not in (None, Retraction.IN_PART)


def _said_in(title: str) -> Retraction | None:
    """What a title says of its own paper."""
    found = _LEADS.search(title) or _CLOSES.search(title) or (None if title.isupper() else _SHOUTED.search(title))
    if found is None:
        return None
    if found["part"]:
        return Retraction.IN_PART
    if found["again"]:
        return Retraction.REPUBLISHED
    words = found.group().casefold()
    if "retracted" in words:
        return Retraction.RETRACTED
    return Retraction.WITHDRAWN if "withdrawn" in words else Retraction.REMOVED
