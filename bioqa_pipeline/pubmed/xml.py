"""A PubMed XML file (EFetch answer, baseline or update file, gzipped or plain) into its records, one at a time.

Memory stays that of one record, however long the file. The files are not trusted: no DTD, entity definition or network
access, bounded sizes. What PubMed's elements mean is the business of `record`.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from lxml import etree

from bioqa_pipeline.errors import SourceError, SourceErrorKind
from bioqa_pipeline.pubmed.fields import whole_number
from bioqa_pipeline.pubmed.record import UnusableRecordError, read_record
from bioqa_pipeline.pubmed.references import without_references
from bioqa_pipeline.records.texts import Abstract

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# The largest records of PubMed list some 15,000 investigators in 6 MB; one byte can take 30 in memory.
MAX_RECORD_BYTES = 16 * 2**20
_MAX_PROLOGUE_BYTES = 64 * 2**10
_CHUNK_BYTES = 64 * 2**10
_ROOTS = (b"PubmedArticleSet", b"PubmedBookArticleSet")
_RECORD_TAGS = ("PubmedArticle", "PubmedBookArticle", "DeleteCitation")
_ENCODINGS = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1", b"windows-1252")
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SKIPPED = re.compile(rb"(?:\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
_DECLARED = re.compile(rb"\s*+<\?xml\s[^>]*?encoding\s*=\s*[\"']([^\"']*)[\"']")
_DOCTYPE = re.compile(rb"<!DOCTYPE(?:[^\[\"'>]|\"[^\"]*\"|'[^']*')*+([\[>])")
_ROOT = re.compile(rb"<([^\s<>/?!]+)[\s/>]")
_HTML = re.compile(rb"<(?:!doctype\s+)?html\b", re.IGNORECASE)


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
        SourceError: the file is broken or is no PubMed XML (kind "bad_xml"), or cannot be read ("unreadable"). It says
            where; all good records before that place have been given.
    """
    if not isinstance(source, Path):
        yield from _Parse(name).records(source)
        return
    try:
        stream = source.open("rb")
    except OSError as exc:
        raise _unreadable(name, exc) from exc
    with stream:
        yield from _Parse(name).records(stream)


class _Parse:
    """The reading of one file.

    The DOCTYPE is checked and withheld from the parser: a parser that has seen one takes an undefined entity for
    one defined elsewhere and drops it without a word, and with `resolve_entities=False` it stops without an error.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_records = 0
        self._parser = etree.XMLPullParser(
            events=("end",),
            tag=_RECORD_TAGS,
            resolve_entities="internal",  # type: ignore[arg-type]  # the stubs are older
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
            collect_ids=False,
        )

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
        """The records that a chunk completes; None ends the file."""
        error = None
        try:
            if chunk is None:
                self._parser.close()
            else:
                self._parser.feed(chunk)
        except etree.XMLSyntaxError as exc:
            error = exc
        for _, found in self._parser.read_events():
            element = cast(etree._Element, found)
            self.n_records += 1
            yield from self._read(element)
            _release(element)
        if error is not None:
            raise self._broken(str(error.msg).strip()) from error

    def _read(self, element: etree._Element) -> Iterator[Abstract | DeletedRecord | BadRecord]:
        if element.tag != "DeleteCitation":
            try:
                yield read_record(element)
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
        raw = io.BufferedReader(_Borrowed(source), _CHUNK_BYTES)
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
            if len(head) > _MAX_PROLOGUE_BYTES:
                raise self._broken(f"no XML element within the first {len(head):,} bytes")
        else:
            raise self._broken("ends before its first XML element" if head.strip() else "is empty")
        yield from chunks

    def _opened(self, head: bytes) -> bytes | None:
        """The first bytes of the file without DOCTYPE; None where they end before its first element."""
        start = len(_BYTE_ORDER_MARK) if head.startswith(_BYTE_ORDER_MARK) else 0
        if not head[start:].lstrip().startswith(b"<") or b"\0" in head[:4]:
            raise self._broken(f"is no XML in UTF-8, it starts with {head[:40]!r}")
        declared = _DECLARED.match(head, start)
        if declared and declared.group(1).lower() not in _ENCODINGS:
            raise self._broken(f"is in the encoding {declared.group(1).decode('ascii', 'replace')!r}, not in UTF-8")
        start = _end(_SKIPPED.match(head, start))
        if _HTML.match(head, start):
            raise self._broken("is a web page, not PubMed XML")
        if doctype := _DOCTYPE.match(head, start):
            if doctype.group(1) == b"[":
                raise self._broken("its DOCTYPE has an internal subset, which PubMed's never has")
            line_breaks = b"\n" * doctype.group().count(b"\n")
            head = head[:start] + line_breaks + head[doctype.end() :]
            start = _end(_SKIPPED.match(head, start))
        root = _ROOT.match(head, start)
        if root is None:
            return None
        if root.group(1) not in _ROOTS:
            found = root.group(1)[:60].decode("utf-8", "replace")
            raise self._broken(f"its root element is {found!r}, not PubmedArticleSet")
        return head

    def _broken(self, reason: str) -> SourceError:
        return SourceError(f"{self.name}: {reason} (after {self.n_records:,} records)", kind=SourceErrorKind.BAD_XML)


class _Borrowed(io.RawIOBase):
    """A view of somebody else's stream; closing it leaves the stream open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None, "the pattern matches the empty string"
    return match.end()


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(f"{name}: cannot be read: {error}", kind=SourceErrorKind.UNREADABLE)


def _release(element: etree._Element) -> None:
    """Drops a record that has been read, and everything in the file before it."""
    element.clear(keep_tail=True)  # type: ignore[call-arg]  # the stubs are older
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
