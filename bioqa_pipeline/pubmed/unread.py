"""The bytes of a file behind the last record that was read, by which a parser can go on behind a broken one.

Knows records by their tags alone. Tags in comments are none, but PubMed has no comments: in a file that has some,
nothing is cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bioqa_pipeline.pubmed.fields import whole_number

RECORD_TAGS = ("PubmedArticle", "PubmedBookArticle", "DeleteCitation")
_NAMES = "|".join(RECORD_TAGS).encode()
_START = re.compile(rb"<(?:" + _NAMES + rb")(?:\s[^<>]*+)?>")
_END = re.compile(rb"</(?:" + _NAMES + rb")\s*+>|<(?:" + _NAMES + rb")\s*+/>")
_PMID = re.compile(rb"<PMID\b[^<>]*+>\s*+([0-9]{1,10})\s*+</PMID\s*+>")


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """What was cut out.

    Attributes:
        pmid: the first that stands in it, which is its own.
    """

    pmid: int | None


class Unread:
    """What a parser was given and has not made a record of.

    Attributes:
        n_lines: line breaks of the file before it, without those of `opening`.
        is_hopeless: what comes next is no broken record.
    """

    def __init__(self) -> None:
        self.n_lines = 0
        self.is_hopeless = False
        self._opening: bytes | None = None
        self._data = bytearray()
        self._searched = 0

    def add(self, chunk: bytes) -> None:
        self._data += chunk

    def drop(self, n_records: int) -> None:
        """Forgets records that were read."""
        self._take_opening()
        end = 0
        for _ in range(n_records):
            found = _END.search(self._data, end)
            if found is None:
                self.is_hopeless = True
                break
            end = found.end()
        self._cut(end)

    def cut_broken(self) -> BrokenRecord | None:
        """Cuts out the first record, up to its end or the start of the next; None where neither has come yet."""
        self._take_opening()
        start = _START.search(self._data)
        if start is None or self._data[: start.start()].strip():
            self.is_hopeless = True
        if start is None or self.is_hopeless:
            return None
        searched = max(start.end(), self._searched)
        end, following = _END.search(self._data, searched), _START.search(self._data, searched)
        if end is None and following is None:
            self._searched = max(start.end(), len(self._data) - 100)
            return None
        is_whole = end is not None and (following is None or end.start() < following.start())
        cut = end.end() if end is not None and is_whole else following.start() if following is not None else 0
        found = _PMID.search(self._data, start.end(), cut)
        pmid = whole_number(found.group(1).decode()) if found else None
        self._cut(cut)  # a match reads from what it was found in
        return BrokenRecord(pmid)

    def rest(self) -> bytes:
        """A document of what is left."""
        return (self._opening or b"") + self._data

    def _take_opening(self) -> None:
        """The start of the file up to the first record goes before everything that is left."""
        if self._opening is None and (start := _START.search(self._data)):
            self._opening = bytes(self._data[: start.start()])
            del self._data[: start.start()]

    def _cut(self, end: int) -> None:
        self.is_hopeless |= self._data.find(b"<!", 0, end) >= 0
        self.n_lines += self._data.count(b"\n", 0, end)
        self._searched = 0
        del self._data[:end]
