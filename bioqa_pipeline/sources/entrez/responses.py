"""What E-utilities sent into what it means: an error with its kind, or the fields of an answer.

E-utilities report many failures under HTTP 200: an ERROR element, a web page, a rate-limit notice in JSON, half a file.
None of them may pass for an empty result. Articles are not parsed here. Knows nothing about connections and retries.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from bioqa_pipeline.errors import RetryableSourceError, SourceError, SourceErrorKind

HEAD_BYTES = 8192
_DECLARATION = re.compile(rb"\s*<\?xml\s([^>]*)\?>")
_ENCODING = re.compile(rb"encoding\s*=\s*[\"']([^\"']*)[\"']")
_SPACE = rb"(?:\s|<!--(?:(?!-->).)*+-->)*+"
_ROOT = re.compile(_SPACE + rb"(?:<!DOCTYPE\s[^\[>]*+>)?+" + _SPACE + rb"<([A-Za-z]\w*)", re.DOTALL)
_SUBSET = re.compile(rb"<!DOCTYPE[^>]*\[", re.IGNORECASE)
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?<(?:!doctype\s+)?html", re.IGNORECASE)
_ERROR = re.compile(r'<ERROR>(.*?)</ERROR>|"ERROR"\s*:\s*"(.*?)"\s*[,}]', re.DOTALL)
_ENCODINGS = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1", b"windows-1252")
# What the service says on its bad days; the same request succeeds later.
_PASSING = re.compile(
    r"backend failed|not supported: pubmed|temporarily|unavailable|timed? ?out|server error|try again|"
    r"can't run executor|rate limit|overload|internal error",
    re.IGNORECASE,
)
_LASTING = re.compile(r"retstart|invalid (?:db|api)", re.IGNORECASE)
_NO_IDS = re.compile(r"id list is empty|no correct ids|empty id list", re.IGNORECASE)
_BAD_KEY = re.compile(rb"api.{0,3}key.{0,20}(?:invalid|not valid|wrong)|invalid.{0,10}api.{0,3}key", re.I | re.S)


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What ESearch answered.

    Attributes:
        count: records that match.
        pmids: those that came, each once, in the order of the service.
        translation: the query as the service understood it.
        not_found: words and phrases that no record has.
        ignored: words that the service left out.
        messages: whatever else it remarked.
    """

    count: int
    pmids: tuple[int, ...] = ()
    translation: str = ""
    not_found: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """All remarks in words."""
        return (
            *(f"not found: {phrase}" for phrase in self.not_found),
            *(f"ignored: {phrase}" for phrase in self.ignored),
            *self.messages,
        )


def as_integer(text: str | None) -> int | None:
    """A number of at most 18 digits; None of anything else, such as what str.isdigit takes and int does not."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None


def check_status(status: int, body: bytes) -> None:
    """Raises for every HTTP status but 200.

    Raises:
        RetryableSourceError: 408, 429 and 5xx.
        SourceError: the others.
    """
    if status == 200:
        return
    if status == 408 or status == 429 or 500 <= status <= 599:
        raise RetryableSourceError(f"HTTP {status}", kind=SourceErrorKind(f"http_{status}"))
    if 300 <= status <= 399:
        raise SourceError(
            f"HTTP {status}, a redirection, which is not followed with an API key", kind=SourceErrorKind.REDIRECT
        )
    if status == 400 and _BAD_KEY.search(body[:HEAD_BYTES]):
        raise SourceError(
            "NCBI does not accept the API key: correct it in NCBI_API_KEY, or in the secret of the deployment, or "
            "leave it out",
            kind=SourceErrorKind.BAD_API_KEY,
        )
    error = _error_text(body)
    if error and _NO_IDS.search(error):
        raise SourceError("not one of the ids is a PMID", kind=SourceErrorKind.NO_IDS)
    raise SourceError(f"HTTP {status}" + (f": {error}" if error else ""), kind=SourceErrorKind(f"http_{status}"))


def check_body(body: bytes, roots: tuple[str, ...]) -> None:
    """Raises for every body that is not XML with one of the expected roots and without an error in its head.

    A DOCTYPE with declarations of its own is refused before any parser sees it.

    Raises:
        RetryableSourceError: the next answer may be better.
        SourceError: kinds "unsafe_xml", "query_error", "no_ids".
    """
    head = body[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    if not head.strip():
        raise RetryableSourceError("an empty answer", kind=SourceErrorKind.EMPTY_BODY)
    if _HTML.match(head):
        raise RetryableSourceError("a web page in place of XML", kind=SourceErrorKind.HTML)
    if head.lstrip().startswith(b"{"):
        raise _error_in(_error_text(body) or head.decode("utf-8", "replace"))
    root = _root(head)
    if root in roots:
        return
    error = _error_text(body)
    if error:
        raise _error_in(error)
    raise RetryableSourceError(
        f"<{root}> in place of <{roots[0]}>" if root else "something else than XML",
        kind=SourceErrorKind.WRONG_ROOT if root else SourceErrorKind.NOT_XML,
    )


def _root(head: bytes) -> str | None:
    """The name of the root element; None where this is no XML that could be read as it stands."""
    if _SUBSET.search(head):
        raise SourceError("XML with declarations of entities, which is refused", kind=SourceErrorKind.UNSAFE_XML)
    declaration = _DECLARATION.match(head)
    if declaration:
        encoding = _ENCODING.search(declaration.group(1))
        if encoding and encoding.group(1).lower() not in _ENCODINGS:
            raise SourceError("XML in an unexpected encoding, which is refused", kind=SourceErrorKind.UNSAFE_XML)
    found = _ROOT.match(head, declaration.end() if declaration else 0)
    return found.group(1).decode("ascii", "replace") if found else None


def _error_text(body: bytes) -> str | None:
    """The text of an ERROR at the start of a body, in one line of at most 300 characters."""
    found = _ERROR.search(body[:HEAD_BYTES].decode("utf-8", "replace"))
    if found is None:
        return None
    text = re.sub(r"<[^>]*>|\\n", " ", found.group(1) or found.group(2) or "")
    return " ".join(text.split())[:300]


def _error_in(text: str) -> SourceError:
    if "rate limit" in text.lower():
        return RetryableSourceError("too many requests a second", kind=SourceErrorKind.RATE_LIMITED)
    if _NO_IDS.search(text):
        return SourceError("not one of the ids is a PMID", kind=SourceErrorKind.NO_IDS)
    if _PASSING.search(text) and not _LASTING.search(text):
        return RetryableSourceError(f"NCBI reports: {text}", kind=SourceErrorKind.BACKEND_FAILED)
    return SourceError(f"NCBI reports: {text}", kind=SourceErrorKind.QUERY_ERROR)


def decode_search(body: bytes) -> SearchAnswer:
    """Fields of an eSearchResult that was asked for at least one PMID.

    Raises:
        RetryableSourceError: it is broken, or reports hits and gives none.
        SourceError: it reports an error.
    """
    root = _parsed(body)
    count = _count(root)
    pmids = [as_integer(e.text) for e in root.iterfind("IdList/Id")]
    numbers = tuple(dict.fromkeys(pmid for pmid in pmids if pmid is not None))
    if None in pmids:
        raise RetryableSourceError("an id that is not a number", kind=SourceErrorKind.BAD_XML)
    if count and not numbers:
        raise RetryableSourceError(f"{count} hits reported and none given", kind=SourceErrorKind.SHORT_ANSWER)
    return SearchAnswer(
        count=count,
        pmids=numbers,
        translation=root.findtext("QueryTranslation", ""),
        not_found=_texts(root, "ErrorList/PhraseNotFound") + _texts(root, "WarningList/QuotedPhraseNotFound"),
        ignored=_texts(root, "WarningList/PhraseIgnored"),
        messages=tuple(f"unknown field: {name}" for name in _texts(root, "ErrorList/FieldNotFound"))
        + _texts(root, "WarningList/OutputMessage"),
    )


def decode_count(body: bytes) -> int:
    """The count of an eSearchResult.

    Raises:
        RetryableSourceError: it is broken.
        SourceError: it reports an error.
    """
    return _count(_parsed(body))


def _parsed(body: bytes) -> ET.Element:
    try:
        root = ET.fromstring(body)
    except (ET.ParseError, ValueError):
        root = None
    if root is None:
        raise RetryableSourceError("broken XML", kind=SourceErrorKind.BAD_XML)
    error = root.findtext("ERROR")
    if error is not None:
        raise _error_in(" ".join(error.split())[:300])
    return root


def _count(root: ET.Element) -> int:
    count = as_integer(root.findtext("Count"))
    if count is None:
        raise RetryableSourceError("an answer without a count", kind=SourceErrorKind.BAD_XML)
    return count


def _texts(root: ET.Element, path: str) -> tuple[str, ...]:
    return tuple(" ".join((e.text or "").split()) for e in root.iterfind(path))
