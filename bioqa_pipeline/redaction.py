"""Bytes or text of a service into the same without the secrets of ours that it repeats.

A secret is looked for in the whole before anything is decoded, parsed or cut: in any case; quoted as in an address or
in XML, HTML or JSON, also more than once; packed as base64 or hexadecimal digits; torn apart by markup, white space or
invisible characters; and by its pieces of twelve characters, for a service cuts, too. What is found becomes
`[redacted]`; markup in between stays.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    import numpy as np

    Places = np.ndarray[Any, np.dtype[np.int32]]

REDACTED = "[redacted]"
# NCBI's keys have 36 characters. A word is no secret, and texts are not to lose their words.
MIN_SECRET_CHARS = 8
_MIN_DISTINCT_CHARS = 5
# Secrets of at least so many characters are known by pieces, too.
_LONG_CHARS = 16
_PIECE_CHARS = 12
# Above this, what repeats a secret is not mended but refused: it would take ten times its size in memory.
MAX_MENDED_BYTES = 8 << 20

_QUOTED = re.compile(
    rb"%[0-9a-f]{2}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\/|&(?:#[0-9]{1,20}|#x[0-9a-f]{1,20}|[a-z]{2,8});", re.IGNORECASE
)
# A value of an attribute may hold what ends a tag elsewhere.
_TAG = rb"<[^<>\"']*+(?:\"[^\"<]*+\"[^<>\"']*+|'[^'<]*+'[^<>\"']*+)*+>|<[^<>]*>"
# What begins and what ends it, and whether what stands between is text.
_SECTIONS = {b"<!--": (b"-->", False), b"<?": (b"?>", False), b"<![cdata[": (b"]]>", True)}
_OPENING = re.compile(rb"(<!--|<\?|<!\[CDATA\[)|" + _TAG, re.IGNORECASE)
_TAGS = re.compile(_TAG)
# Control characters are left out of texts like blanks.
_SPACE = bytes([*range(0x21), 0x7F])
_UNSEEN = re.compile(
    b"|".join(
        (
            *(rb"\xc2[\x80-\xa0\xad]", rb"\xcd\x8f", rb"\xd8\x9c"),  # controls, no-break space, soft hyphen, joiners
            *(rb"\xe1\x85[\x9f\xa0]", rb"\xe1\x9a\x80", rb"\xe1\xa0[\x8b-\x8f]"),  # fillers, Ogham's and Mongolian
            *(rb"\xe2\x80[\x80-\x8f\xa8-\xaf]", rb"\xe2\x81[\x9f-\xaf]"),  # spaces, directions, joiners
            *(rb"\xe3\x80\x80", rb"\xe3\x85\xa4", rb"\xef\xb8[\x80-\x8f]"),  # wide space, filler, variations
            *(rb"\xef\xbb\xbf", rb"\xef\xbe\xa0", rb"\xf3\xa0[\x80-\x87][\x80-\xbf]"),  # byte-order mark, tags
        )
    )
)

_GAP = re.compile(rb"[" + _SPACE + rb"]+|(?:" + _UNSEEN.pattern + rb")+")


class UnmendableError(ValueError):
    """A body repeats a secret and is too large to be mended."""


def is_distinctive(secret: str) -> bool:
    """Whether a secret can be told from the words and numbers of a text."""
    is_long = len(secret) >= MIN_SECRET_CHARS and len(set(secret)) >= _MIN_DISTINCT_CHARS
    return is_long and (len(secret) >= _LONG_CHARS or not (secret.isalpha() or secret.isdecimal()))


class Redaction:
    """Takes secrets out of bytes and texts; threads may share one.

    Args:
        secrets: those that are not distinctive are left alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._needles = [needle for secret in set(secrets) if is_distinctive(secret) for needle in _needles(secret)]

    def text(self, text: str) -> str:
        """The text without the secrets."""
        if not self._needles:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        mended = self.body(raw)
        return text if mended is raw else mended.decode("utf-8", "replace")

    def body(self, raw: bytes) -> bytes:
        """The bytes without the secrets; the very object where there are none in it.

        Raises:
            UnmendableError: there are, and it has more than `MAX_MENDED_BYTES`.
        """
        if not self._needles or not self._repeats(raw):
            return raw
        if len(raw) > MAX_MENDED_BYTES:
            raise UnmendableError(f"{len(raw)} bytes that repeat a secret")
        cuts: list[tuple[int, int, bool]] = []
        for layer in _layers(raw):
            for start, end in self._found(layer.text.lower()):
                cuts += layer.origins(start, end)
        return _without(raw, cuts)

    def _repeats(self, raw: bytes) -> bool:
        if any(True for _ in self._found(raw.lower())):
            return True
        for way in _WAYS:
            text = raw
            for step in way:
                seen, text = text, step.text(text)
                if text != seen and any(True for _ in self._found(text.lower())):
                    return True
        return False

    def _found(self, folded: bytes) -> Iterator[tuple[int, int]]:
        for needle in self._needles:
            yield from needle.found(folded)


class _Needle:
    """A secret in one of its forms, in lower case, and where in a text it or a piece of it stands."""

    def __init__(self, form: bytes, piece: int) -> None:
        self._form = form
        self._least = min(piece, len(form))
        # Every piece of the least length holds one of these whole.
        step = self._least // 2 if self._least < len(form) else len(form)
        self._anchors = [(form[at : at + step], at) for at in range(0, len(form) - step + 1, step)]

    def found(self, folded: bytes) -> Iterator[tuple[int, int]]:
        for anchor, offset in self._anchors:
            place = folded.find(anchor)
            while place >= 0:
                start, end = self._extended(folded, place, offset, len(anchor))
                if end - start >= self._least:
                    yield start, end
                place = folded.find(anchor, max(end, place + 1))

    def _extended(self, folded: bytes, place: int, offset: int, length: int) -> tuple[int, int]:
        form, before, after = self._form, 0, length
        while before < min(offset, place) and folded[place - before - 1] == form[offset - before - 1]:
            before += 1
        while offset + after < len(form) and folded[place + after : place + after + 1] == form[offset + after :][:1]:
            after += 1
        return place - before, place + after


def _needles(secret: str) -> Iterator[_Needle]:
    raw = secret.encode()
    piece = _PIECE_CHARS if len(raw) >= _LONG_CHARS else len(raw)
    # A service that unquotes once too often makes a space of a plus; spaces are left out in the end.
    for form in {raw, raw.replace(b"+", b" "), raw.translate(None, _SPACE + b"+")}:
        if len(form) >= MIN_SECRET_CHARS:
            yield _Needle(form.lower(), piece)
    yield _Needle(raw.hex().encode(), 2 * piece)
    for lead in range(3):
        # Of each of the three ways to stand in base64 what does not depend on the neighbours.
        whole = base64.b64encode(b"\0" * lead + raw)
        inner = whole[(0, 2, 3)[lead] : len(whole) - (0, 3, 2)[(lead + len(raw)) % 3]].lower()
        for form in {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}:
            yield _Needle(form, 2 * piece)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A text made of another: byte i of it stands for the bytes [starts[i], ends[i]) of the first."""

    text: bytes
    starts: Places
    ends: Places

    def origins(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """The parts of the first text that a range stands for, and which comes first; what was left out is in none."""
        import numpy as np

        starts, ends = self.starts[start:end], self.ends[start:end]
        breaks = np.flatnonzero((starts[1:] != ends[:-1]) & (starts[1:] != starts[:-1])) + 1
        edges = [0, *breaks.tolist(), end - start]
        for first, last in pairwise(edges):
            yield int(starts[first]), int(ends[last - 1]), first == 0


@dataclass(frozen=True, slots=True)
class _Step:
    """One way to see through a text: the places where it sees something else and how long that is; what it sees."""

    places: Callable[[bytes], Iterable[tuple[int, int, int]]]
    text: Callable[[bytes], bytes]

    def layer(self, layer: _Layer) -> _Layer:
        import numpy as np

        found = np.array(list(self.places(layer.text)), np.int32).reshape(-1, 3)
        starts, ends, lengths = found[:, 0], found[:, 1], found[:, 2]
        within = np.zeros(len(layer.text) + 1, np.int32)
        within[starts] += 1
        within[ends] -= 1
        shown = (np.cumsum(within[:-1]) == 0).astype(np.int32)
        shown[starts] = lengths
        last = np.arange(len(layer.text), dtype=np.int32)
        last[starts] = ends - 1
        first = np.repeat(np.arange(len(layer.text), dtype=np.int32), shown)
        return _Layer(self.text(layer.text), layer.starts[first], layer.ends[last[first]])


def _layers(raw: bytes) -> Iterator[_Layer]:
    import numpy as np

    places = np.arange(len(raw) + 1, dtype=np.int32)
    first = _Layer(raw, places[:-1], places[1:])
    yield first
    for way in _WAYS:
        layer = first
        for step in way:
            before, layer = layer, step.layer(layer)
            if layer.text != before.text:
                yield layer


def _unquoted(match: re.Match[bytes]) -> bytes:
    return _character(match.group())


@lru_cache(maxsize=4096)
def _character(unit: bytes) -> bytes:
    if unit.startswith(b"%"):
        return unquote_to_bytes(unit)
    if unit.startswith(b"&"):
        return html.unescape(unit.decode("ascii")).encode("utf-8", "replace")
    return unit[1:] if unit == b"\\/" else chr(int(unit[2:], 16)).encode("utf-8", "replace")


def _quoted_places(text: bytes) -> Iterator[tuple[int, int, int]]:
    return ((*match.span(), len(_unquoted(match))) for match in _QUOTED.finditer(text))


def _markup_places(text: bytes) -> Iterator[tuple[int, int, int]]:
    """Tags, comments and instructions, and the marks of sections, from the left: what one holds begins no other."""
    folded, never_closed = text.lower(), set()
    match = _OPENING.search(text)
    while match:
        place, end = match.span()
        if not (opening := match[1].lower() if match[1] else b""):
            yield place, end, 0
        elif opening not in never_closed:
            closing, is_text = _SECTIONS[opening]
            if (close := folded.find(closing, end)) < 0:
                never_closed.add(opening)
            else:
                before, end = end, close + len(closing)
                yield from ((place, before, 0), (close, end, 0)) if is_text else ((place, end, 0),)
        match = _OPENING.search(text, end)


def _without_markup(text: bytes) -> bytes:
    if b"<!-" not in text and b"<![" not in text and text.find(b"<?", 1) < 0:
        return _TAGS.sub(b"", text)
    pieces, done = [], 0
    for start, end, _ in _markup_places(text):
        pieces.append(text[done:start])
        done = end
    return b"".join([*pieces, text[done:]])


def _matches(pattern: re.Pattern[bytes]) -> Callable[[bytes], Iterator[tuple[int, int, int]]]:
    return lambda text: ((*match.span(), 0) for match in pattern.finditer(text))


_UNQUOTE = _Step(_quoted_places, lambda text: _QUOTED.sub(_unquoted, text))
_MARKUP = _Step(_markup_places, _without_markup)
_GAPS = _Step(_matches(_GAP), lambda text: _UNSEEN.sub(b"", text.translate(None, _SPACE)))
# What was quoted twice, or in two ways; then markup, which may have been quoted itself.
_QUOTED_FIRST = (_UNQUOTE, _UNQUOTE, _UNQUOTE, _MARKUP, _GAPS, _UNQUOTE)
# Or markup first: what only looks like it when it is unquoted is text, whatever it holds.
_WAYS = (_QUOTED_FIRST, (_MARKUP, *_QUOTED_FIRST))


def _without(raw: bytes, cuts: Iterable[tuple[int, int, bool]]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    marked = False
    for start, end, is_first in sorted(cuts, key=lambda cut: (cut[0], not cut[2])):
        if start > done or not pieces:
            pieces.append(raw[done:start])
            marked = False
        if is_first and not marked:
            pieces.append(REDACTED.encode())
            marked = True
        done = max(done, end)
    return b"".join([*pieces, raw[done:]])
