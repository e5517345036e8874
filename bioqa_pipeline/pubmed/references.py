"""PubMed XML without its lists of cited papers (ReferenceList): no field of them is read, and they are the larger part
of many records.

Every byte is looked at once, however the lists are nested and wherever the chunks end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# An open list waits for its end up to here.
MAX_WAITING_BYTES = 16 * 2**20
_NAME = b"ReferenceList"
_TAG = re.compile(rb"<(/?)ReferenceList(?:[\s/][^<>\"']*+)?>")
# PubMed's have no attributes.
_MOST_TAG_BYTES = 200
# What the last bytes of a chunk may be the start of; a declaration is the one instruction that stands in every file.
_DECLARATION = b"<?xml"
_CUT_IN_TWO = (b"<" + _NAME, b"</" + _NAME, _DECLARATION)


def without_references(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same XML without the lists. The line breaks in them stay, for errors name lines.

    A list that is not closed stays for the parser to complain of, and so does everything from the first comment, CDATA
    section or instruction on, which PubMed has not and in which tags are no tags.
    """
    source = iter(chunks)
    cutter = _Cutter()
    for chunk in source:
        if parsed := cutter.feed(chunk):
            yield parsed
        if cutter.has_ended:
            break
    if waiting := cutter.waiting():
        yield waiting
    yield from source


class _Cutter:
    """Takes chunks and gives what a parser shall see of them.

    Attributes:
        has_ended: nothing more may be cut; what `waiting` returns and all further chunks go to the parser.
    """

    def __init__(self) -> None:
        self.has_ended = False
        self._depth = 0
        self._list: list[bytes] = []  # what came of the outermost open list
        self._n_waiting = 0
        self._rest = b""  # of a tag that the chunk has cut in two, or all that follows the end of cutting

    def feed(self, chunk: bytes) -> bytes:
        data = self._rest + chunk
        end = _first_foreign(data)
        self.has_ended = end >= 0
        end = end if self.has_ended else _whole_tags(data)
        self._rest, data = data[end:], data[:end]
        kept = self._without_lists(data)
        self.has_ended |= self._n_waiting > MAX_WAITING_BYTES
        return kept

    def waiting(self) -> bytes:
        """What is still held back."""
        return b"".join((*self._list, self._rest))

    def _without_lists(self, data: bytes) -> bytes:
        kept: list[bytes] = []
        start = 0
        for tag in _tags(data):
            opens, closes = not tag.group(1), bool(tag.group(1)) or tag.group().endswith(b"/>")
            if self._depth == 0:
                if not opens:
                    continue
                kept.append(data[start : tag.start()])
                start = tag.start()
            self._depth += opens - closes
            if self._depth == 0:
                kept.append(b"\n" * (data.count(b"\n", start, tag.end()) + sum(p.count(b"\n") for p in self._list)))
                start = tag.end()
                self._list, self._n_waiting = [], 0
        if self._depth == 0:
            kept.append(data[start:])
        else:
            self._list.append(data[start:])
            self._n_waiting += len(data) - start
        return b"".join(kept)


def _tags(data: bytes) -> Iterator[re.Match[bytes]]:
    at = data.find(_NAME)
    while at >= 0:
        start = at - 2 if data[at - 1 : at] == b"/" else at - 1
        if start >= 0 and (tag := _TAG.match(data, start)):
            yield tag
        at = data.find(_NAME, at + len(_NAME))


def _first_foreign(data: bytes) -> int:
    """Where a comment, a CDATA section or an instruction begins; -1 where none does."""
    first = data.find(b"<!")
    end = first if first >= 0 else len(data)
    instruction = data.find(b"<?", 0, end)
    while instruction >= 0 and _may_declare(data[instruction : instruction + 6]):
        instruction = data.find(b"<?", instruction + 2, end)
    return instruction if instruction >= 0 else first


def _may_declare(head: bytes) -> bool:
    """Whether an instruction is the declaration of the file, as far as it has come."""
    return _DECLARATION.startswith(head[:5]) and not head[5:].strip()


def _whole_tags(data: bytes) -> int:
    """The end of the bytes of which it is known whether they are a tag of a list."""
    last = data.rfind(b"<", max(0, len(data) - _MOST_TAG_BYTES))
    if last < 0:
        return len(data)
    tail = data[last:]
    may_be_ours = any(tail.startswith(start) or start.startswith(tail) for start in _CUT_IN_TWO)
    return last if may_be_ours and b">" not in tail else len(data)
