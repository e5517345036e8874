"""A local E-utilities server: ESearch and EFetch over given records, with NCBI's limits and NCBI's bad days.

    with EutilsServer(records, faults=Faults(0.2)) as server:
        ... client(server.base_url) ...
        server.log        # every request: endpoint, parameters, method, arrival, status, fault

What real answers look like was taken from answers of the service; the DTD that EFetch names does not exist on any disk,
so a client that wants it fails.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from support.eutils_faults import RATE_LIMIT_JSON, Answer, Faults
from support.eutils_records import ServerRecord
from support.eutils_search import Corpus, Found, QueryError, parse_date

MAX_HITS = 9999
_SEARCH_DOCTYPE = (
    '<!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN"'
    ' "https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd">'
)
_SET_DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2026//EN"'
    ' "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_260101.dtd">'
)
_XML = '<?xml version="1.0" encoding="UTF-8" ?>\n'


@dataclass(slots=True)
class LoggedRequest:
    """One request as it came; `seconds` is time.monotonic() at its arrival, `connection` the client's port."""

    endpoint: str
    method: str
    path: str
    params: dict[str, str]
    seconds: float
    connection: int = 0
    status: int = 0
    fault: str | None = None

    @property
    def ids(self) -> list[int]:
        return [int(part) for part in self.params.get("id", "").split(",") if part.strip().isdigit()]


class EutilsServer:
    """Serves until the end of its `with` block.

    Args:
        faults: what goes wrong; nothing by default. `server.fail(...)` queues more.
        limit, key_limit: requests in any second without and with an API key; None does not count.
        keys: the API keys that exist.
        max_hits: what ESearch and EFetch give of one query at most; 9,999 at NCBI.
        shuffle: EFetch answers in an order of its own.
        latency_seconds: before each answer.
    """

    def __init__(
        self,
        records: Iterable[ServerRecord],
        faults: Faults | None = None,
        *,
        limit: int | None = 3,
        key_limit: int | None = 10,
        keys: Sequence[str] = ("good-key",),
        max_hits: int = MAX_HITS,
        shuffle: bool = True,
        latency_seconds: float = 0.0,
        corpus: Corpus | None = None,
    ) -> None:
        self.corpus = corpus or Corpus(records)
        self.faults = faults or Faults()
        self.limit, self.key_limit, self.keys = limit, key_limit, tuple(keys)
        self.max_hits, self.shuffle, self.latency_seconds = max_hits, shuffle, latency_seconds
        self.deleted: set[int] = set()
        self.log: list[LoggedRequest] = []
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._arrivals: defaultdict[str, deque[float]] = defaultdict(deque)
        self._order = random.Random(1)
        self._http = _HttpServer(("127.0.0.1", 0), _Handler)
        self._http.eutils = self
        self._scheme = "http"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stopped.set()
        self._http.shutdown()
        self.hang_up()
        self._http.server_close()

    @property
    def base_url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._http.server_address[1]}/entrez/eutils/"

    @property
    def n_connections(self) -> int:
        """How many are open."""
        return len(self._http.open)

    def encrypt(self, certificate: Path) -> None:
        """Speaks https from now on, with the key and certificate in a file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._scheme = "https"

    def hang_up(self) -> None:
        """Closes all connections, as a server does with idle ones."""
        for connection in list(self._http.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def fail(self, endpoint: str, kind: str, *, times: int = 1, after: int = 0) -> None:
        """See `Faults.queue`."""
        self.faults.queue(endpoint, kind, times=times, after=after)

    def requests(self, endpoint: str | None = None) -> list[LoggedRequest]:
        with self._lock:
            return [r for r in self.log if endpoint in (None, r.endpoint)]

    def answer(self, request: LoggedRequest) -> Answer:
        """The whole way of one request, from limit over fault to contents."""
        with self._lock:
            self.log.append(request)
            headers, refused = self._count(request)
        if refused is not None:
            answer = refused
        else:
            request.fault = self.faults.draw(request.endpoint, request.params)
            answer = self._good(request)
            if request.fault:
                answer = self.faults.apply(request.fault, answer)
        answer.headers = headers | answer.headers
        request.status = answer.status
        return answer

    def _count(self, request: LoggedRequest) -> tuple[dict[str, str], Answer | None]:
        key = request.params.get("api_key")
        if key is not None and key not in self.keys:
            return {}, Answer(
                400, json.dumps({"error": "API key invalid", "api-key": key}).encode(), "application/json"
            )
        limit = self.limit if key is None else self.key_limit
        if limit is None:
            return {}, None
        arrivals = self._arrivals[key or "ip"]
        while arrivals and arrivals[0] <= request.seconds - 1:
            arrivals.popleft()
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - len(arrivals) - 1)),
        }
        if len(arrivals) >= limit:
            return headers, Answer(429, RATE_LIMIT_JSON, "application/json", {"Retry-After": "2"})
        arrivals.append(request.seconds)
        return headers, None

    def _good(self, request: LoggedRequest) -> Answer:
        params = request.params
        if params.get("db") != "pubmed":
            return _search_error(f"Invalid db name specified: {params.get('db', '')}")
        if request.endpoint == "esearch":
            return self._esearch(params)
        if request.endpoint == "efetch":
            return self._efetch(params)
        return Answer(404, b"not found", "text/plain")

    def _esearch(self, params: dict[str, str]) -> Answer:
        try:
            found = self._find(params)
        except QueryError as exc:
            return _search_error(str(exc))
        start, size = int(params.get("retstart", "0")), int(params.get("retmax", "20"))
        if start >= self.max_hits:
            return _search_error(
                f"Search Backend failed: Exception:\n'retstart' cannot be larger than {self.max_hits - 1}. For PubMed, "
                f"ESearch can only retrieve the first {self.max_hits} records matching the query."
            )
        warnings = [] if found.pmids else ["No items found."]
        if start and start + size > self.max_hits:
            size = self.max_hits - start
            warnings.append(f"Restrictions achieved. start and count adjusted to {start}, {size}")
        page = found.pmids[start : min(start + size, self.max_hits)]
        if params.get("rettype") == "count":
            return Answer(
                200,
                f"{_XML}{_SEARCH_DOCTYPE}\n<eSearchResult><Count>{len(found.pmids)}</Count></eSearchResult>".encode(),
            )
        return Answer(200, _search_xml(found, page, start, warnings).encode())

    def _find(self, params: dict[str, str]) -> Found:
        kind = params.get("datetype", "pdat")
        low, high = params.get("mindate"), params.get("maxdate")
        if params.get("reldate"):
            low, high = f"{date.today() - timedelta(days=int(params['reldate'])):%Y/%m/%d}", "3000"
        if low and high:
            first, last = parse_date(low), parse_date(high, end=True)
        else:
            first, last = date.min, date.max
        return self.corpus.search(
            params.get("term", ""),
            sort=params.get("sort", "pub_date"),
            keep=lambda record: first <= record.dates[kind] <= last and record.pmid not in self.deleted,
        )

    def _efetch(self, params: dict[str, str]) -> Answer:
        pmids = [int(p) for p in params.get("id", "").split(",") if p.strip().isdigit() and int(p)]
        if not pmids:
            return _fetch_error(400, "ID list is empty! Possibly it has no correct IDs.")
        known = [p for p in dict.fromkeys(pmids) if p in self.corpus.records and p not in self.deleted]
        if self.shuffle:
            self._order.shuffle(known)
        records = b"\n".join(self.corpus.records[p].xml for p in known)
        return Answer(200, f"{_XML}{_SET_DOCTYPE}\n<PubmedArticleSet>".encode() + records + b"</PubmedArticleSet>\n")


def _search_error(message: str) -> Answer:
    return Answer(
        200, f"{_XML}{_SEARCH_DOCTYPE}\n<eSearchResult><ERROR>{escape(message)}</ERROR></eSearchResult>".encode()
    )


def _fetch_error(status: int, message: str) -> Answer:
    return Answer(status, f"{_XML}<eFetchResult>\n\t<ERROR>{escape(message)}</ERROR>\n</eFetchResult>".encode())


def _search_xml(found: Found, page: list[int], start: int, warnings: list[str]) -> str:
    ids = "".join(f"<Id>{pmid}</Id>\n" for pmid in page)
    mapped = "".join(
        f"<Translation><From>{escape(a)}</From><To>{escape(b)}</To></Translation>" for a, b in found.mapped
    )
    missing = "".join(f"<PhraseNotFound>{escape(p)}</PhraseNotFound>" for p in found.phrases_not_found)
    errors = f"<ErrorList>{missing}</ErrorList>" if missing else ""
    notes = "".join(f"<PhraseIgnored>{escape(p)}</PhraseIgnored>" for p in found.phrases_ignored)
    notes += "".join(f"<QuotedPhraseNotFound>{escape(p)}</QuotedPhraseNotFound>" for p in found.quoted_not_found)
    notes += "".join(f"<OutputMessage>{escape(text)}</OutputMessage>" for text in warnings)
    return (
        f"{_XML}{_SEARCH_DOCTYPE}\n<eSearchResult><Count>{len(found.pmids)}</Count><RetMax>{len(page)}</RetMax>"
        f"<RetStart>{start}</RetStart><IdList>\n{ids}</IdList><TranslationSet>{mapped}</TranslationSet>"
        f"<QueryTranslation>{escape(found.translation)}</QueryTranslation>{errors}"
        + (f"<WarningList>{notes}</WarningList>" if notes else "")
        + "</eSearchResult>\n"
    )


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    eutils: EutilsServer

    def __init__(self, *args: object) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*args)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no fault of this server; what else happens here must be seen."""
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._serve("")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self, body: str) -> None:
        seconds = time.monotonic()
        url = urlsplit(self.path)
        params = dict(parse_qsl(url.query, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True))
        endpoint = url.path.rsplit("/", 1)[-1].removesuffix(".fcgi")
        request = LoggedRequest(endpoint, self.command, self.path, params, seconds, self.client_address[1])
        eutils = self.server.eutils
        eutils.stopped.wait(eutils.latency_seconds)
        self._send(eutils.answer(request), eutils.stopped)

    def _send(self, answer: Answer, stopped: threading.Event) -> None:
        # Where the end of the body is not where it was said to be, the end of the connection shows it.
        self.close_connection = answer.close or answer.claimed_bytes is not None or bool(answer.chunks)
        if answer.close:
            # Break off without a word, as a load balancer does.
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunks:
            self._send_cut_chunks(answer)
            return
        claimed = len(answer.body) if answer.claimed_bytes is None else answer.claimed_bytes
        self.send_header("Content-Length", str(claimed))
        self.end_headers()
        pieces = [answer.body[i : i + 1] for i in range(len(answer.body))] if answer.drip else [answer.body]
        for piece in pieces:
            if answer.pause_seconds and stopped.wait(answer.pause_seconds):
                self.close_connection = True
                return
            self.wfile.write(piece)

    def _send_cut_chunks(self, answer: Answer) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        size = max(1, len(answer.body) // answer.chunks)
        for i in range(answer.chunks):
            piece = answer.body[i * size : (i + 1) * size]
            if i == answer.chunks - 1:
                self.wfile.write(f"{size:x}\r\n".encode() + piece[: size // 2])
            else:
                self.wfile.write(f"{size:x}\r\n".encode() + piece + b"\r\n")


def most_in_a_second(times: list[float], second: float = 1.0) -> int:
    """The largest number of events in any half-open second, or other span."""
    ordered = sorted(times)
    return max((sum(t <= u < t + second for u in ordered) for t in ordered), default=0)
