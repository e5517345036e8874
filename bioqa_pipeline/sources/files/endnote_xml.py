"""EndNote's XML export. Each <record> is parsed alone, so a broken one costs itself, and no DOCTYPE is ever read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from bioqa_pipeline.sources.files.chunks import MAX_RECORD_CHARS
from bioqa_pipeline.sources.files.fields import Citation, author_name, record_of
from bioqa_pipeline.sources.files.values import BadPart, Part

_START = re.compile(r"<record(?:\s[^<>]*)?>")
_END = "</record>"
_JOURNALS = ("periodical/full-title", "titles/secondary-title", "alt-periodical/full-title", "periodical/abbr-1")
_NOTES = ("notes", "custom1", "custom2", "research-notes", "urls", "label")


def endnote_records(text: str) -> Iterator[Part]:
    """The records of a file."""
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False)
    line, counted, close = 1, 0, -1
    following = _START.search(text)
    while (start := following) is not None:
        line += text.count("\n", counted, start.start())
        counted = start.start()
        following = _START.search(text, start.end())
        next_start = following.start() if following else len(text)
        if close < start.end():
            # Where none is left, as if it were behind the text: nobody looks for it again.
            close = text.find(_END, start.end()) % (len(text) + 1)
        # One that is never closed ends where the next one begins.
        end = min(close + len(_END), next_start)
        if end - start.start() > MAX_RECORD_CHARS:
            yield BadPart(line, f"it has {end - start.start():,} characters, over {MAX_RECORD_CHARS:,}")
            continue
        try:
            element = etree.fromstring(text[start.start() : end].encode("utf-8", "replace"), parser)
        except etree.XMLSyntaxError as exc:
            yield BadPart(line, f"its XML is broken: {' '.join(str(exc.msg).split())[:200]}")
            continue
        yield _record(element, line)


def _record(element: etree._Element, line: int) -> Part:
    kind = element.find("ref-type")
    return record_of(
        Citation(
            title=_words(element, "titles/title"),
            abstract=_words(element, "abstract"),
            journal=next(filter(None, (_words(element, path) for path in _JOURNALS)), ""),
            year=_words(element, "dates/year"),
            date=_words(element, "dates/pub-dates/date"),
            doi=_words(element, "electronic-resource-num"),
            pmcid=_words(element, "custom2"),
            accession=_words(element, "accession-num"),
            database=" ".join((_words(element, "remote-database-name"), _words(element, "remote-database-provider"))),
            language=_words(element, "language"),
            authors=tuple(author_name(_text(author)) for author in element.iterfind("contributors/authors/author")),
            types=(
                "Journal Article" if kind is not None and kind.get("name") == "Journal Article" else "",
                _words(element, "work-type"),
            ),
            notes=tuple(_words(element, name) for name in _NOTES),
        ),
        line,
    )


def _words(element: etree._Element, path: str) -> str:
    """The words of the first element at a path, in whatever styles they are."""
    found = element.find(path)
    return "" if found is None else _text(found)


def _text(element: etree._Element) -> str:
    return "".join(str(text) for text in element.itertext())
