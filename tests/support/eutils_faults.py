"""Ways in which E-utilities answer badly: each takes the good answer and gives what goes over the wire in its place.

`TRANSIENT` are those that a client must overcome by asking again; `HOSTILE` must never reach a reader of records;
`SILENT` look like good answers and have to be found out by comparing what was asked with what came.
"""

from __future__ import annotations

import gzip
import random
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

RATE_LIMIT_JSON = b'{"error":"API rate limit exceeded","api-key":"127.0.0.1","count":"4","limit":"3"}'
ERROR_PAGE = b"""<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "xhtml1-transitional.dtd">
<html><head><title>NCBI/eutils202 - WWW Error 500 Diagnostic</title></head><body><h1>Server Error</h1></body></html>"""
_ARTICLE = re.compile(rb"<(PubmedArticle|PubmedBookArticle)(?=[\s>]).*?</\1>\s*", re.DOTALL)

STATUS = ("http_429", "http_429_date", "http_429_bare", "http_500", "http_502", "http_503", "http_504")
BODIES = ("rate_limit_200", "html_200", "backend_failed", "json_error", "empty_body", "wrong_root", "latin1")
BROKEN = ("short_body", "chunked_cut", "close_early", "cut_record", "malformed_record")
SLOW = ("stall", "drip")
SILENT = ("missing_record", "duplicate_record", "foreign_record")
HOSTILE = ("billion_laughs", "external_entity", "internal_subset", "huge_body", "gzip_bomb", "utf16")
REFUSED = ("http_400", "http_403", "http_414", "redirect")
HARMLESS = ("gzip",)
TRANSIENT = STATUS + BODIES + BROKEN
# Without the one whose date has whole seconds only, so that each costs one.
QUICK = tuple(kind for kind in TRANSIENT if kind != "http_429_date")


@dataclass(slots=True)
class Answer:
    """What goes over the wire.

    Attributes:
        claimed_bytes: the Content-Length, where it is not the length of the body.
        chunks: send the body in that many chunks and break off inside the last.
        close: send nothing at all.
        pause_seconds: before the first byte of the body; with `drip`, before each.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/xml; charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)
    claimed_bytes: int | None = None
    chunks: int = 0
    close: bool = False
    pause_seconds: float = 0.0
    drip: bool = False


class Faults:
    """Which fault befalls which request: queued ones first, then by chance.

    Args:
        probability: of a fault for each request.
        kinds: what is drawn from.
        retry_after_seconds: told with the 429s that tell one.
        huge_bytes: size of the "huge_body" and of the unpacked "gzip_bomb".
        stall_seconds: how long "stall" says nothing, and "drip" waits before each byte.
        most_a_request: faults that chance gives one and the same request at most.
    """

    def __init__(
        self,
        probability: float = 0.0,
        kinds: tuple[str, ...] = TRANSIENT,
        *,
        seed: int = 0,
        retry_after_seconds: int = 1,
        huge_bytes: int = 1_500_000,
        stall_seconds: float = 1.0,
        most_a_request: int | None = None,
    ) -> None:
        self.probability, self.kinds = probability, kinds
        self.retry_after_seconds, self.huge_bytes, self.stall_seconds = retry_after_seconds, huge_bytes, stall_seconds
        self.most_a_request = most_a_request
        self._random = random.Random(seed)
        self._given: Counter[tuple[str, ...]] = Counter()
        self._queued: list[list[object]] = []
        self._lock = threading.Lock()

    def queue(self, endpoint: str, kind: str, *, times: int = 1, after: int = 0) -> None:
        """Let the next `times` requests of an endpoint ("esearch", ...) fail, from the one behind `after` good ones."""
        with self._lock:
            self._queued.append([endpoint, kind, times, after])

    def draw(self, endpoint: str, params: Mapping[str, str]) -> str | None:
        request = (endpoint, *sorted(f"{name}={value}" for name, value in params.items()))
        with self._lock:
            for entry in self._queued:
                if entry[0] != endpoint or not entry[2]:
                    continue
                if entry[3]:
                    entry[3] = int(str(entry[3])) - 1
                    return None
                entry[2] = int(str(entry[2])) - 1
                return str(entry[1])
            if self._random.random() >= self.probability or self._given[request] == self.most_a_request:
                return None
            self._given[request] += 1
            return self._random.choice(self.kinds)

    def apply(self, kind: str, good: Answer) -> Answer:
        if kind.startswith("http_"):
            return self._refusal(kind)
        change = getattr(self, f"_{kind}", None)
        assert change is not None, f"no such fault: {kind}"
        answer: Answer = change(good)
        return answer

    def _refusal(self, kind: str) -> Answer:
        status = int(kind[5:8])
        answer = Answer(status, ERROR_PAGE, "text/html")
        if status == 429:
            answer = Answer(status, RATE_LIMIT_JSON, "application/json")
            answer.headers["Retry-After"] = str(self.retry_after_seconds)
        if kind == "http_429_date":
            later = datetime.now(UTC) + timedelta(seconds=self.retry_after_seconds + 1)
            answer.headers["Retry-After"] = format_datetime(later, usegmt=True)
        if kind == "http_429_bare":
            del answer.headers["Retry-After"]
        return answer

    def _redirect(self, good: Answer) -> Answer:
        return Answer(307, b"", headers={"Location": "http://127.0.0.1:9/elsewhere"})

    def _rate_limit_200(self, good: Answer) -> Answer:
        return Answer(200, RATE_LIMIT_JSON, "application/json")

    def _html_200(self, good: Answer) -> Answer:
        return Answer(200, ERROR_PAGE, "text/html")

    def _backend_failed(self, good: Answer) -> Answer:
        text = b"Search Backend failed: Database is not supported: pubmed"
        return Answer(200, b'<?xml version="1.0"?>\n<eSearchResult><ERROR>' + text + b"</ERROR></eSearchResult>")

    def _json_error(self, good: Answer) -> Answer:
        body = b'{"header":{"type":"esearch"},"esearchresult":{"ERROR":"Search Backend failed:\n exception"}}'
        return Answer(200, body, "application/json")

    def _empty_body(self, good: Answer) -> Answer:
        return Answer(200, b"")

    def _wrong_root(self, good: Answer) -> Answer:
        return Answer(200, b'<?xml version="1.0"?>\n<eInfoResult><DbList/></eInfoResult>')

    def _latin1(self, good: Answer) -> Answer:
        end = good.body.rfind(b"</")
        return Answer(200, good.body[:end] + b"<!-- caf\xe9 -->" + good.body[end:])

    def _short_body(self, good: Answer) -> Answer:
        return Answer(200, good.body[: len(good.body) // 2], claimed_bytes=len(good.body))

    def _chunked_cut(self, good: Answer) -> Answer:
        return Answer(200, good.body, chunks=3)

    def _close_early(self, good: Answer) -> Answer:
        return Answer(close=True)

    def _cut_record(self, good: Answer) -> Answer:
        """Cut behind a whole record, so that only the missing end of the root tells."""
        ends = [m.end() for m in _ARTICLE.finditer(good.body)]
        return Answer(200, good.body[: ends[len(ends) // 2] if ends else len(good.body) // 2])

    def _malformed_record(self, good: Answer) -> Answer:
        return Answer(200, good.body.replace(b"</", b"<", 3))

    def _stall(self, good: Answer) -> Answer:
        return Answer(200, good.body, pause_seconds=self.stall_seconds)

    def _drip(self, good: Answer) -> Answer:
        return Answer(200, good.body, pause_seconds=self.stall_seconds, drip=True)

    def _missing_record(self, good: Answer) -> Answer:
        return Answer(200, _ARTICLE.sub(b"", good.body, count=1))

    def _duplicate_record(self, good: Answer) -> Answer:
        return Answer(200, _ARTICLE.sub(lambda m: m.group() * 2, good.body, count=1))

    def _foreign_record(self, good: Answer) -> Answer:
        """A record that was not asked for in front of the others."""
        match = _ARTICLE.search(good.body)
        if match is None:
            return good
        foreign = re.sub(rb"(<PMID[^>]*>)\d+", rb"\g<1>77777777", match.group(), count=1)
        return Answer(200, good.body[: match.start()] + foreign + good.body[match.start() :])

    def _billion_laughs(self, good: Answer) -> Answer:
        entities = b"".join(
            b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10 if i else b"lol" * 10) for i in range(10)
        )
        return self._with_subset(good, entities, b"&l9;")

    def _external_entity(self, good: Answer) -> Answer:
        return self._with_subset(good, b'<!ENTITY x SYSTEM "file:///etc/hostname">', b"&x;")

    def _internal_subset(self, good: Answer) -> Answer:
        return self._with_subset(good, b'<!ENTITY x "harmless">', b"&x;")

    def _with_subset(self, good: Answer, entities: bytes, use: bytes) -> Answer:
        """The good answer with declarations in its DOCTYPE, used in the first title or query translation."""
        body = re.sub(rb"<!DOCTYPE (\w+)[^>]*>", rb"", good.body, count=1)
        root = re.search(rb"<([A-Za-z]\w*)", body)
        assert root is not None
        body = re.sub(rb"(<ArticleTitle>|<QueryTranslation>)", rb"\g<1>" + use, body, count=1)
        doctype = b"<!DOCTYPE " + root.group(1) + b" [" + entities + b"]>\n"
        return Answer(200, body[: root.start()] + doctype + body[root.start() :])

    def _huge_body(self, good: Answer) -> Answer:
        end = good.body.rfind(b"</")
        return Answer(200, good.body[:end] + b" " * self.huge_bytes + good.body[end:])

    def _gzip_bomb(self, good: Answer) -> Answer:
        answer = self._huge_body(good)
        return Answer(200, gzip.compress(answer.body), headers={"Content-Encoding": "gzip"})

    def _gzip(self, good: Answer) -> Answer:
        return Answer(200, gzip.compress(good.body), headers={"Content-Encoding": "gzip"})

    def _utf16(self, good: Answer) -> Answer:
        """Entities behind an encoding that a search for ASCII markup does not see through."""
        text = self._internal_subset(good).body.decode().replace("UTF-8", "UTF-16").replace("utf-8", "UTF-16")
        return Answer(200, text.encode("utf-16"))
