"""The first bytes of an XML document into its root's name, and the document without its DOCTYPE; or why it is refused.

The one guard before every XML parser of the project: UTF-8 or one of its kin, no declarations of entities, no web page.
The DOCTYPE is withheld from the parsers, too: one that has seen it takes an undefined entity for one defined elsewhere
and drops it without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

# Within so many bytes an XML document has to come to its root element.
MAX_PROLOGUE_BYTES = 64 * 2**10
_ENCODINGS = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1", b"windows-1252")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SKIPPED = re.compile(rb"(?:\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
_DECLARED = re.compile(rb"\s*+<\?xml\s[^>]*?encoding\s*=\s*[\"']([^\"']*)[\"']")
# A quoted part of it may hold any of the marks that end it elsewhere.
_DOCTYPE = re.compile(rb"<!DOCTYPE(?:[^\[\"'>]|\"[^\"]*\"|'[^']*')*+([\[>])", re.IGNORECASE)
_ROOT = re.compile(rb"<([^\s<>/?!]+)[\s/>]")
_HTML = re.compile(rb"<(?:!doctype\s+)?html\b", re.IGNORECASE)


class Refusal(Enum):
    """Why a document is not read."""

    NOT_XML = auto()
    ENCODING = auto()
    WEB_PAGE = auto()
    DECLARATIONS = auto()


class PrologueError(Exception):
    """A document that no parser may see.

    Attributes:
        refusal: for what is done about it.
    """

    def __init__(self, refusal: Refusal, reason: str) -> None:
        self.refusal = refusal
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Prologue:
    """What was found before and at the root element.

    Attributes:
        root: the root element's name.
        head: the bytes that were given, with line breaks for the DOCTYPE.
    """

    root: str
    head: bytes


def read_prologue(head: bytes) -> Prologue | None:
    """The prologue of a document of which these are the first bytes; None where its root element is not among them.

    Raises:
        PrologueError: the document must not be parsed.
    """
    start = len(_BYTE_ORDER_MARK) if head.startswith(_BYTE_ORDER_MARK) else 0
    if not head[start:].lstrip().startswith(b"<") or b"\0" in head[:4]:
        raise PrologueError(Refusal.NOT_XML, f"is no XML in UTF-8, it starts with {head[:40]!r}")
    declared = _DECLARED.match(head, start)
    if declared and declared.group(1).lower() not in _ENCODINGS:
        encoding = declared.group(1)[:40].decode("ascii", "replace")
        raise PrologueError(Refusal.ENCODING, f"is in the encoding {encoding!r}, not in UTF-8")
    start = _skipped(head, start)
    if _HTML.match(head, start):
        raise PrologueError(Refusal.WEB_PAGE, "is a web page, not PubMed XML")
    if doctype := _DOCTYPE.match(head, start):
        if doctype.group(1) == b"[":
            raise PrologueError(Refusal.DECLARATIONS, "its DOCTYPE has an internal subset, which PubMed's never has")
        line_breaks = b"\n" * doctype.group().count(b"\n")
        head = head[:start] + line_breaks + head[doctype.end() :]
        start = _skipped(head, start)
    root = _ROOT.match(head, start)
    return Prologue(root.group(1).decode("utf-8", "replace"), head) if root else None


def _skipped(head: bytes, start: int) -> int:
    match = _SKIPPED.match(head, start)
    assert match is not None, "the pattern matches the empty string"
    return match.end()
