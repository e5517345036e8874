"""A PubMed XML file (EFetch answer, baseline or update file, gzipped or plain) into its records, one at a time.

Memory stays that of one record, however long the file. A record that breaks the XML costs itself alone. The files are
not trusted: no DTD, entity definition or network access, bounded sizes. What PubMed's elements mean is the business of
`record`.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from lxml import etree

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.files import open_file
from bioqa_pipeline.pubmed.fields import whole_number
from bioqa_pipeline.pubmed.prologue import MAX_PROLOGUE_BYTES, PrologueError, read_prologue
from bioqa_pipeline.pubmed.record import UnusableRecordError, read_record
from bioqa_pipeline.pubmed.references import without_references
from bioqa_pipeline.pubmed.unread import RECORD_TAGS, Unread
from bioqa_pipeline.records.texts import Abstract

# The largest records of PubMed list some 15,000 investigators in 6 MB; one byte can take 30 in memory.
MAX_RECORD_BYTES = 16 * 2**20
_CHUNK_BYTES = 64 * 2**10
_ROOTS = ("PubmedArticleSet", "PubmedBookArticleSet")
_MOST_REASON_CHARS = 200
_LINE = re.compile(r"\bline (\d+)")
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class DeletedRecord:
    """A PMID that an update file withdraws (DeleteCitation)."""

    pmid: int


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be used; the others of its file can.

    Attributes:
        pmid: whose it is, where it says so.
        position: its place among the records of the file, counted from 1.
        reason: in words, for example "it has no PMID".
    """

    pmid: int | None
    position: int
    reason: str


def parse_records(source: BinaryIO | Path, *, name: str) -> Iterator[Abstract | DeletedRecord | BadRecord]:
    """The records of one file, in its order; gzip is known by its first bytes.

    Args:
        source: a file's path, or bytes to read from where they stand; a stream is left open.
        name: what errors call the file.

    Raises:
        SourceError: the file is broken or is no PubMed XML, or cannot be read. It says where; all good
            records before that place have been given.
    """
    if not isinstance(source, Path):
        yield from _Parse(name).records(source)
        return
    try:
        stream = open_file(source)
    except OSError as exc:
        raise _unreadable(name, exc) from exc
    with stream:
        yield from _Parse(name).records(stream)


class _Parse:
    """The reading of one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_records = 0
        self._parser = _parser()
        self._unread = Unread()
        self._error: etree.XMLSyntaxError | None = None
        self._lines_before = 0

    def records(self, source: BinaryIO) -> Iterator[Abstract | DeletedRecord | BadRecord]:
        n_bytes_waiting = 0
        for chunk in without_references(self._without_doctype(self._chunks(source))):
            before = self.n_records
            yield from self._parsed(chunk)
            n_bytes_waiting = n_bytes_waiting + len(chunk) if self.n_records == before else 0
            if n_bytes_waiting > MAX_RECORD_BYTES:
                raise self._broken(f"more than {MAX_RECORD_BYTES:,} bytes without the end of a record")
        yield from self._parsed(None)

    def _parsed(self, chunk: bytes | None) -> Iterator[Abstract | DeletedRecord | BadRecord]:
        """The records that a chunk completes, those that break the XML named; None ends the file."""
        self._unread.add(chunk or b"")
        if self._error is None:
            yield from self._fed(chunk)
        while (error := self._error) is not None:
            broken = self._unread.cut_broken()
            if broken is None:
                if chunk is None or self._unread.is_hopeless:
                    raise self._broken(self._said(error) + self._byte(error)) from error
                return
            self.n_records += 1
            yield BadRecord(broken.pmid, self.n_records, f"its XML is broken: {self._said(error)}")
            self._parser, self._error = _parser(), None
            self._lines_before = self._unread.n_lines
            yield from self._fed(self._unread.rest())
            if chunk is None and self._error is None:
                yield from self._fed(None)

    def _fed(self, data: bytes | None) -> Iterator[Abstract | DeletedRecord | BadRecord]:
        """The records that the parser finds in some bytes; it keeps an error in `_error`."""
        try:
            if data is None:
                self._parser.close()
            else:
                self._parser.feed(data)
        except etree.XMLSyntaxError as exc:
            # An undeclared prefix is said at the end; `_read` has left its record out.
            is_prefix = exc.code == etree.ErrorTypes.NS_ERR_UNDEFINED_NAMESPACE  # type: ignore[attr-defined]
            self._error = None if is_prefix else exc
        has_errors = bool(self._parser.feed_error_log)
        before = self.n_records
        for _, found in self._parser.read_events():
            element = cast(etree._Element, found)
            self.n_records += 1
            yield from self._read(element, has_errors)
            _release(element)
        self._unread.drop(self.n_records - before)

    def _said(self, error: etree.XMLSyntaxError) -> str:
        """The parser's words, with lines of the file."""
        words = " ".join(str(error.msg).split())
        words = words if len(words) <= _MOST_REASON_CHARS else "…" + words[-_MOST_REASON_CHARS:]
        return _LINE.sub(lambda line: f"line {int(line.group(1)) + self._lines_before}", words)

    def _byte(self, error: etree.XMLSyntaxError) -> str:
        if error.code == etree.ErrorTypes.ERR_INVALID_ENCODING:  # type: ignore[attr-defined]
            try:
                self._unread.rest().decode()
            except UnicodeDecodeError as exc:
                return f": byte {exc.object[exc.start]:#04x} is not UTF-8"
        return ""

    def _read(self, element: etree._Element, has_errors: bool) -> Iterator[Abstract | DeletedRecord | BadRecord]:
        if element.tag != "DeleteCitation":
            try:
                record = read_record(element)
                foreign = _undeclared(element) if has_errors else None
                reason = f"its XML is broken: the prefix of <{foreign}> is not declared"
                yield record if foreign is None else BadRecord(record.pmid, self.n_records, reason)
            except UnusableRecordError as exc:
                yield BadRecord(exc.pmid, self.n_records, str(exc))
            return
        for identifier in element.iterchildren("PMID"):
            pmid = whole_number(identifier.text)
            if pmid is None:
                yield BadRecord(None, self.n_records, f"it deletes the PMID {(identifier.text or '')[:40]!r}")
            else:
                yield DeletedRecord(pmid)

    def _chunks(self, source: BinaryIO) -> Iterator[bytes]:
        """The file's bytes, unpacked."""
        raw = io.BufferedReader(cast(io.RawIOBase, source), _CHUNK_BYTES)
        chunk, n_bytes = bytearray(), 0
        broken: Exception | None = None
        try:
            stream = gzip.GzipFile(fileobj=raw) if raw.peek(2).startswith(_GZIP_MAGIC) else raw
            # Not read(), which loses what it has when the rest of its chunk is broken.
            while piece := stream.read1(_CHUNK_BYTES):
                # Of a pipe, or of gzip data in many members, a few bytes come at a time.
                chunk += piece
                n_bytes += len(piece)
                if len(chunk) >= _CHUNK_BYTES:
                    yield bytes(chunk)
                    chunk.clear()
        except (EOFError, zlib.error, OSError) as exc:
            broken = exc
        finally:
            with suppress(ValueError):  # it is closed already
                raw.detach()
        if chunk:
            yield bytes(chunk)
        if isinstance(broken, EOFError | gzip.BadGzipFile | zlib.error):
            raise self._broken(f"broken gzip data after {n_bytes:,} unpacked bytes: {broken}") from broken
        if isinstance(broken, OSError):
            raise _unreadable(self.name, broken) from broken

    def _without_doctype(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same bytes with line breaks for the DOCTYPE, once the file is known to be PubMed XML."""
        head = b""
        for chunk in chunks:
            head += chunk
            opened = self._opened(head)
            if opened is not None:
                yield opened
                break
            if len(head) > MAX_PROLOGUE_BYTES:
                raise self._broken(f"no XML element within the first {len(head):,} bytes")
        else:
            raise self._broken("ends before its first XML element" if head.strip() else "is empty")
        yield from chunks

    def _opened(self, head: bytes) -> bytes | None:
        """The first bytes of the file without DOCTYPE; None where they end before its first element."""
        try:
            prologue = read_prologue(head)
        except PrologueError as exc:
            raise self._broken(str(exc)) from exc
        if prologue is not None and prologue.root not in _ROOTS:
            raise self._broken(f"its root element is {prologue.root[:60]!r}, not PubmedArticleSet")
        return prologue.head if prologue else None

    def _broken(self, reason: str) -> SourceError:
        return SourceError(f"{self.name}: {reason} (after {self.n_records:,} records)")


def _undeclared(element: etree._Element) -> str | None:
    """The first element in another whose prefix means nothing, so that nobody knows how to read it."""
    tags = (str(child.tag) for child in element.iter(etree.Element))
    return next((tag[:60] for tag in tags if ":" in tag and not tag.startswith("{")), None)


def _parser() -> etree.XMLPullParser:
    """With `resolve_entities=False` it would stop at an undefined entity without an error."""
    return etree.XMLPullParser(
        events=("end",),
        tag=RECORD_TAGS,
        resolve_entities="internal",  # type: ignore[arg-type]  # the stubs are older
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(f"{name}: cannot be read: {error}")


def _release(element: etree._Element) -> None:
    """Drops a record that has been read, and everything in the file before it."""
    element.clear(keep_tail=True)  # type: ignore[call-arg]  # the stubs are older
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
