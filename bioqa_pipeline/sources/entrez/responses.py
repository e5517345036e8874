"""What E-utilities sent into what it means: an error with its kind, or the fields of an answer.

E-utilities report many failures under HTTP 200: an ERROR element, a web page, a rate-limit notice in JSON, half a file.
None of them may pass for an empty result. Articles are not parsed here. Knows nothing about connections and retries.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import islice

from bioqa_pipeline.errors import RetryableSourceError, SourceError, SourceErrorKind
from bioqa_pipeline.pubmed.fields import whole_number
from bioqa_pipeline.pubmed.prologue import MAX_PROLOGUE_BYTES, PrologueError, Refusal, read_prologue
from bioqa_pipeline.text import normalize_text

HEAD_BYTES = 8192
# Ten times the largest true answer: 9,999 PMIDs and the translation of a long query.
MAX_SEARCH_BYTES = 4 << 20
# What is kept of one remark, of the translation of a query, and how many remarks of an answer.
MOST_REMARK_CHARS = 300
MOST_TRANSLATION_CHARS = 50_000
MOST_REMARKS = 50
_ERROR = re.compile(r'<ERROR>(.*?)</ERROR>|"ERROR"\s*:\s*"(.*?)"\s*[,}]', re.DOTALL)
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
        kind = SourceErrorKind.TOO_MANY if status == 429 else SourceErrorKind.OTHER
        raise RetryableSourceError(f"HTTP {status}", kind=kind)
    if 300 <= status <= 399:
        raise SourceError(f"HTTP {status}, a redirection, which is not followed with an API key")
    if status == 400 and _BAD_KEY.search(body[:HEAD_BYTES]):
        raise SourceError(
            "NCBI does not accept the API key: correct it in NCBI_API_KEY, or in the secret of the deployment, or "
            "leave it out"
        )
    error = _error_text(body)
    if error and _NO_IDS.search(error):
        raise SourceError("not one of the ids is a PMID", kind=SourceErrorKind.NO_IDS)
    kind = SourceErrorKind.TOO_LARGE if status in (413, 414) else SourceErrorKind.OTHER
    raise SourceError(f"HTTP {status}" + (f": {error}" if error else ""), kind=kind)


def check_body(body: bytes, roots: tuple[str, ...]) -> None:
    """Raises for every body that is not XML with one of the expected roots and without an error in its head.

    A DOCTYPE with declarations of its own is refused before any parser sees it.

    Raises:
        RetryableSourceError: the next answer may be better.
        SourceError: no other answer will come.
    """
    head = body[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    if not head.strip():
        raise RetryableSourceError("an empty answer")
    if head.lstrip().startswith(b"{"):
        raise _error_in(_error_text(body) or said(head.decode("utf-8", "replace")))
    root = _root(body[:MAX_PROLOGUE_BYTES])
    if root in roots:
        return
    error = _error_text(body)
    if error:
        raise _error_in(error)
    raise RetryableSourceError(
        f"<{said(root, most=60)}> in place of <{roots[0]}>" if root else "something else than XML"
    )


def said(text: str, *, most: int = MOST_REMARK_CHARS) -> str:
    """Words of the service as they may be shown: one line, without control and invisible characters, cut."""
    # Normal form costs more than it is worth on what is cut off anyway.
    text = normalize_text(text[: 4 * most])
    return text if len(text) <= most else text[: most - 1] + "…"


def _root(head: bytes) -> str | None:
    """The name of the root element; None where this is no XML that could be read as it stands."""
    try:
        prologue = read_prologue(head)
    except PrologueError as exc:
        raise _refused(exc) from exc
    return prologue.root if prologue else None


def _refused(exc: PrologueError) -> SourceError:
    match exc.refusal:
        case Refusal.DECLARATIONS:
            return SourceError("XML with declarations of entities, which is refused")
        case Refusal.ENCODING:
            return SourceError("XML in an unexpected encoding, which is refused")
        case Refusal.WEB_PAGE:
            return RetryableSourceError("a web page in place of XML")
        case Refusal.NOT_XML:
            return RetryableSourceError("something else than XML")


def _error_text(body: bytes) -> str | None:
    """The text of an ERROR at the start of a body."""
    found = _ERROR.search(body[:HEAD_BYTES].decode("utf-8", "replace"))
    if found is None:
        return None
    return said(re.sub(r"<[^>]*>|\\n", " ", found.group(1) or found.group(2) or ""))


def _error_in(text: str) -> SourceError:
    if "rate limit" in text.lower():
        return RetryableSourceError("too many requests a second", kind=SourceErrorKind.TOO_MANY)
    if _NO_IDS.search(text):
        return SourceError("not one of the ids is a PMID", kind=SourceErrorKind.NO_IDS)
    if _PASSING.search(text) and not _LASTING.search(text):
        return RetryableSourceError(f"NCBI reports: {text}")
    return SourceError(f"NCBI reports: {text}")


def decode_search(body: bytes) -> SearchAnswer:
    """Fields of an eSearchResult that was asked for at least one PMID.

    Raises:
        RetryableSourceError: it is broken, or reports hits and gives none.
        SourceError: it reports an error.
    """
    root = _parsed(body)
    count = _count(root)
    pmids = [whole_number(e.text) for e in root.iterfind("IdList/Id")]
    numbers = tuple(dict.fromkeys(pmid for pmid in pmids if pmid is not None))
    if None in pmids:
        raise RetryableSourceError("an id that no PMID can be")
    if count and not numbers:
        raise RetryableSourceError(f"{count} hits reported and none given")
    return SearchAnswer(
        count=count,
        pmids=numbers,
        translation=said(root.findtext("QueryTranslation", ""), most=MOST_TRANSLATION_CHARS),
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
    """The root element, read without the DOCTYPE.

    Raises:
        RetryableSourceError: it is broken.
        SourceError: it must not be read, or reports an error.
    """
    try:
        prologue = read_prologue(body[:MAX_PROLOGUE_BYTES])
        root = ET.fromstring(prologue.head + body[MAX_PROLOGUE_BYTES:]) if prologue else None
    except PrologueError as exc:
        raise _refused(exc) from exc
    except (ET.ParseError, ValueError):
        root = None
    if root is None:
        raise RetryableSourceError("broken XML")
    error = root.findtext("ERROR")
    if error is not None:
        raise _error_in(said(error))
    return root


def _count(root: ET.Element) -> int:
    count = as_integer(root.findtext("Count"))
    if count is None:
        raise RetryableSourceError("an answer without a count")
    return count


def _texts(root: ET.Element, path: str) -> tuple[str, ...]:
    return tuple(said(e.text or "") for e in islice(root.iterfind(path), MOST_REMARKS))
