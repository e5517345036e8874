"""An E-utilities service of a test's own, below HTTP where HTTP would not let it do what it is to do.

    with HostileServer(MODES) as server:
        ... client(server.url("endless headers")) ...
        ... client(server.url("echo")), where a search whose term ends with ": MODE" meets another mode ...

A mode is a function of what was asked that yields the answer's bytes; b"" is a short pause.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, quote, unquote

Mode = Callable[["Asked"], Iterator[bytes]]
FIRST_PMID = 4000
PLAIN_TEXT = "A lack of vitamin C causes scurvy, a disease of the gums."


@dataclass(frozen=True, slots=True)
class Asked:
    utility: str
    params: dict[str, str]

    @property
    def key(self) -> str:
        return self.params.get("api_key", "no-key-was-sent")

    @property
    def pmids(self) -> list[int]:
        return [int(pmid) for pmid in self.params.get("id", "").split(",")]


def http(body: bytes | str = b"", *headers: str, status: str = "200 OK") -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/xml", "Connection: close", *headers]
    if not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(raw)}")
    return "\r\n".join([*lines, "", ""]).encode() + raw


def found(
    ids: str = f"<Id>{FIRST_PMID}</Id>",
    *,
    count: int | str = 1,
    more: str = "",
    translation: str = "q",
    doctype: str = "",
) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<eSearchResult><Count>{count}</Count><IdList>{ids}</IdList>'
        f"<QueryTranslation>{translation}</QueryTranslation>{more}</eSearchResult>"
    )


def error(text: str) -> str:
    return f'<?xml version="1.0"?><eSearchResult><ERROR>{text}</ERROR></eSearchResult>'


def records(*records: str) -> str:
    return f'<?xml version="1.0"?><PubmedArticleSet>{"".join(records)}</PubmedArticleSet>'


def record(
    pmid: int | str, *, title: str = "Scurvy.", text: str = PLAIN_TEXT, article: str = "", more: str = ""
) -> str:
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article><ArticleTitle>{title}</ArticleTitle>'
        f"<Abstract><AbstractText>{text}</AbstractText></Abstract>{article}</Article>{more}</MedlineCitation>"
        "</PubmedArticle>"
    )


def good(asked: Asked) -> bytes:
    return http(found() if asked.utility == "esearch" else records(*map(record, asked.pmids)))


def of_searches(answer: Callable[[Asked], bytes | str]) -> Mode:
    """Searches are answered so, the rest well."""

    def mode(asked: Asked) -> Iterator[bytes]:
        given = answer(asked) if asked.utility == "esearch" else good(asked)
        yield http(given) if isinstance(given, str) else given

    return mode


def of_fetches(answer: Callable[[Asked], bytes | str]) -> Mode:
    def mode(asked: Asked) -> Iterator[bytes]:
        given = answer(asked) if asked.utility == "efetch" else good(asked)
        yield http(given) if isinstance(given, str) else given

    return mode


def endless(start: bytes, drop: bytes) -> Mode:
    def mode(asked: Asked) -> Iterator[bytes]:
        yield start
        while True:
            yield drop
            yield b""

    return mode


@dataclass
class HostileServer:
    """Serves until the end of its `with` block; `n_requests` by mode, `keys` as they were sent."""

    modes: Mapping[str, Mode]
    n_requests: dict[str, int] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def url(self, mode: str = "echo") -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/{quote(mode)}/"

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._ended.is_set():
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            name, asked = self._read(connection)
            self.keys.add(asked.key)
            self.n_requests[name] = self.n_requests.get(name, 0) + 1
            for piece in self.modes[name](asked):
                if piece:
                    connection.sendall(piece)
                elif self._ended.wait(0.01):
                    break

    def _read(self, connection: socket.socket) -> tuple[str, Asked]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += connection.recv(65536)
        _, name, utility = unquote(head.split()[1].decode()).split("/")
        params = dict(parse_qsl(body.decode()))
        named = [m for m in self.modes if params.get("term", "").endswith(f": {m}")]
        return (named[0] if named else name), Asked(utility.removesuffix(".fcgi"), params)
