"""What is fuzzed: for each reader the inputs, and a call that may end well or with an error of this package, no other.

A call checks what it gets as well: numbers in their ranges, texts that Unicode can hold.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import polars as pl
from hypothesis import strategies as st

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.evaluation.files import read_no_answer_scores, read_predictions
from bioqa_pipeline.evaluation.metrics import GoldQuestion, official_metrics
from bioqa_pipeline.evaluation.squad import read_squad
from bioqa_pipeline.pubmed.fields import MAX_PMID
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.questions.files import read_questions
from bioqa_pipeline.questions.query import QueryFilters, build_queries
from bioqa_pipeline.questions.rows import MAX_ID_CHARS, MAX_QUERY_CHARS, MAX_QUESTION_CHARS
from bioqa_pipeline.records.texts import Abstract, Question
from bioqa_pipeline.sources.entrez.client import _decode_records
from bioqa_pipeline.sources.entrez.exchange import Exchange
from bioqa_pipeline.sources.entrez.responses import check_body, check_status, decode_count, decode_search
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from bioqa_pipeline.sources.pmids import read_list
from bioqa_pipeline.text import normalize_text, sentences
from bioqa_pipeline.training.recipe import read_recipe
from fuzz.mutation import broken
from support.paths import ROOT, TESTS

OLD = TESTS / "data" / "dataset_da5435d"


@dataclass(frozen=True, slots=True)
class Target:
    """One reader.

    Attributes:
        inputs: what it is given.
        call: takes an input and a folder of its own, which keeps its files from one example to the next.
        weight: examples of the short run, in shares of its usual number.
    """

    inputs: st.SearchStrategy[Any]
    call: Callable[[Any, Path], None]
    weight: float = 1.0


def _bytes(*texts: str) -> list[bytes]:
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def _words(text: str, *more: str) -> list[bytes]:
    """Signs with a space between, and others."""
    return _bytes(*text.split(" "), *more)


# PubMed XML and answers of E-utilities

XML_SIGNS = _words(
    "< > </ /> & &amp; &#0; &#x110000; &#55296; &x; \" ' <!-- --> <![CDATA[ ]]> <? ?> <!DOCTYPE <!ENTITY \0 \ufeff",
    '<!DOCTYPE PubmedArticleSet [<!ENTITY x "y">]>',
    '<?xml version="1.0" encoding="utf-7"?>',
    "<ReferenceList>",
    "</ReferenceList>",
    "<PubmedArticle>",
    "</PubmedArticle>",
    "<PMID>",
    "<AbstractText>",
    "<sup>",
    '<math xmlns="http://www.w3.org/1998/Math/MathML"><mfrac>',
    "\u0301" * 40,
    "." * 40,
    "99999999999999999999",
    "\ud800",
)
XML_SIGNS += [b"\x1f\x8b\x08", b"\xff\xfe", b"\x85", b"\xc0\x80"]

_RECORDS = (ROOT / "data" / "sample" / "pubmed-sample.xml").read_bytes()
_FIRST = _RECORDS[: _RECORDS.index(b"</PubmedArticle>")] + b"</PubmedArticle></PubmedArticleSet>"
_BOOK = (
    b"<PubmedArticleSet><PubmedBookArticle><BookDocument><PMID Version='1'>5</PMID><ArticleTitle>[T<sub>2</sub>.]"
    b"</ArticleTitle><Book><BookTitle>B</BookTitle><PubDate><Year>2020</Year><Season>Spring</Season></PubDate></Book>"
    b"<Abstract><AbstractText Label='A'>x<sup>3</sup></AbstractText></Abstract></BookDocument></PubmedBookArticle>"
    b"<DeleteCitation><PMID>7</PMID><PMID>8</PMID></DeleteCitation></PubmedArticleSet>"
)
_REFERENCES = _FIRST.replace(
    b"</PubmedArticle>",
    b"<ReferenceList><Reference><Citation>c</Citation></Reference><ReferenceList/></ReferenceList></PubmedArticle>",
)


def _check_record(record: Abstract) -> None:
    assert 1 <= record.pmid <= MAX_PMID and 1 <= record.version <= MAX_PMID
    assert normalize_text(record.text) == record.text and normalize_text(record.title) == record.title
    end = 0
    for start, stop in sentences(record.text):
        assert end <= start < stop <= len(record.text)
        end = stop
    assert all(0 <= s.start < s.end <= len(record.text) for s in record.sections)
    assert re.fullmatch(r"(\d{4}(-\d\d(-\d\d)?)?)?", record.pub_date)
    assert len(record.content_hash) == 32


def records(data: bytes, folder: Path) -> None:
    for record in parse_records(BytesIO(data), name="file.xml"):
        if isinstance(record, Abstract):
            _check_record(record)


_SEARCH = (
    b'<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN" '
    b'"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd">\n<eSearchResult><Count>2</Count>'
    b"<RetMax>2</RetMax><RetStart>0</RetStart><IdList><Id>1</Id>\n<Id>2</Id></IdList><TranslationSet/>"
    b"<QueryTranslation>x[All Fields]</QueryTranslation><ErrorList><PhraseNotFound>y</PhraseNotFound></ErrorList>"
    b"<WarningList><PhraseIgnored>z</PhraseIgnored><OutputMessage>No items found.</OutputMessage></WarningList>"
    b"</eSearchResult>"
)
_ERRORS = _bytes(
    '{"error":"API rate limit exceeded","count":"11"}',
    "<eSearchResult><ERROR>Search Backend failed: try again</ERROR></eSearchResult>",
    "<!DOCTYPE html><html><body>Service unavailable</body></html>",
    '{"esearchresult":{"ERROR":"Invalid db name specified: x"}}',
)


def answers(given: tuple[bytes, int], folder: Path) -> None:
    body, status = given
    for decode, roots in (
        (decode_search, ("eSearchResult",)),
        (decode_count, ("eSearchResult",)),
        (lambda body: _decode_records(body, "answer"), ("PubmedArticleSet",)),
    ):
        _answer(body, status, decode, roots)


def _answer(body: bytes, status: int, decode: Callable[[bytes], object], roots: tuple[str, ...]) -> None:
    with contextlib.suppress(SourceError):
        check_status(status, body)
        check_body(body, roots)
        decode(body)


# HTTP


class _RawServer:
    """Sends the same bytes to whoever connects, whatever is asked, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2)
                # The request is read, so that closing sends no reset before the answer is taken.
                head = connection.recv(65536)
                while head and b"\r\n\r\nx=1" not in head:
                    head += connection.recv(65536)
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)


class _NoLimit:
    def acquire(self) -> object:
        return object()

    def release(self, token: object, **told: int | None) -> None:
        pass


_HTTP_SIGNS = _words(
    "\r\n \r \n : HTTP/1.1 HTTP/0.9 100 200 204 304 99999 -1 Content-Length:",
    " OK",
    "Transfer-Encoding: chunked",
    "Content-Encoding: gzip\r\n",
    "X-RateLimit-Limit: 99999999999999999999\r\n",
    "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "X: " + "a" * 5000 + "\r\n",
    " folded",
    "\0",
    "\u0661",
)
_HTTP_SIGNS += [b"\xff"]
_HEADS = _bytes(
    "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 5\r\nX-RateLimit-Remaining: 2\r\n\r\n<a/>\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n<a/\r\n1\r\n>\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 3\r\nConnection: close\r\n\r\nbusy",
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
)
_server: list[tuple[_RawServer, Exchange]] = []


def heads(data: bytes, folder: Path) -> None:
    if not _server:
        server = _RawServer()
        settings = EntrezSettings(base_url=server.url, timeout_seconds=2, try_seconds=2, max_body_bytes=1 << 20)
        _server.append((server, Exchange(settings, _NoLimit())))  # type: ignore[arg-type]
    server, exchange = _server[0]
    server.answer = data
    answer = exchange.post(server.url, b"x=1")
    assert 100 <= answer.status <= 999 and len(answer.body) <= 1 << 20
    assert isinstance(httpx.Headers(dict(answer.headers)), httpx.Headers)


# Files of a user's


_QUESTION_SIGNS = _words(
    "\t , \" ' \n \r \r\n # \0 \x1b \ufeff { } [ ] : null true 1e999 -0 \\ud800 \\u0000 question id query",
    "\u200b",
    "\u2028",
    "\x85",
    "\u0301" * 50,
    "What?",
    "1" * 5000,
    "[" * 2000,
    '{"question": ' * 300,
    "x" * 3000,
)
_QUESTION_SIGNS += [b"\xff\xfe", b"\xfe\xff\0", b"\xe9", b"\xed\xa0\x80"]
_QUESTIONS = {
    ".txt": _bytes("# c\nWhat is BRCA1?\n\nWho found insulin?\r\nWhat is BRCA1?\n", "\ufeffWhat?"),
    ".csv": _bytes('question,id,query\n"What, ""is"" it?",1,"a[ti] AND (b OR c)"\nWho?,,\n', "question\nWhat?\nWhat?"),
    ".tsv": _bytes("id\tquestion\n1\tWhat is it?\n2\tWho?\n"),
    ".jsonl": _bytes('{"question": "What?", "id": 7, "query": null}\n{"question": "Wh\\u00f6?"}\n'),
    ".ndjson": _bytes('{"id": "a", "question": "What?", "query": "x[tiab]"}\n'),
    ".json": _bytes('[{"question": "What?"}]'),
}


def question_files(given: tuple[str, bytes], folder: Path) -> None:
    suffix, data = given
    path = folder / f"q{suffix}"
    path.write_bytes(data)
    asked = read_questions(path).questions
    assert len({q.id for q in asked}) == len(asked) > 0
    for question in asked:
        assert 0 < len(question.text) <= MAX_QUESTION_CHARS and len(question.id) <= MAX_ID_CHARS
        assert len(question.query or "") <= MAX_QUERY_CHARS
        question.text.encode(), question.id.encode()


def queries(given: tuple[str, str | None, frozenset[str]], folder: Path) -> None:
    text, query, missing = given
    for step in build_queries(Question("q", text, query), filters=QueryFilters(), missing=missing):
        assert step.term and (query is not None or step.term.count("(") == step.term.count(")"))


def pmid_lists(data: bytes, folder: Path) -> None:
    path = folder / "pmids.txt"
    path.write_bytes(data)
    found = [name for name in read_list(path) if isinstance(name, int)]
    assert found and len(set(found)) == len(found) and all(0 < pmid <= MAX_PMID for pmid in found)


_JSON_SIGNS = _bytes(
    *'{|}|[|]|"|,|:|null|true|NaN|-Infinity|1e999|-1|0.5|\\ud800|\\u0000|data|qas|answers|"id": 3,|\ufeff'.split("|"),
    "1" * 5000,
    "[" * 3000,
    '{"a":' * 3000,
)
_SQUAD = _bytes(
    '{"version": "v2.0", "data": [{"title": "T", "paragraphs": [{"context": "A b c.", "qas": [{"id": "1", "question": '
    '"Q?", "is_impossible": false, "answers": [{"text": "b", "answer_start": 2}, {"text": "", "answer_start": 0}]}, '
    '{"id": "2", "question": "R?", "is_impossible": true, "answers": []}]}]}]}'
)
_PREDICTIONS = _bytes('{"1": "b", "2": ""}', '{"1": 0.5, "2": -3}')


def squad_files(given: tuple[bytes, bytes, bytes], folder: Path) -> None:
    for name, data in zip(("squad.json", "predictions.json", "odds.json"), given, strict=True):
        (folder / name).write_bytes(data)
    paragraphs = read_squad(folder / "squad.json")
    gold = [GoldQuestion(q.id, tuple(a.text for a in q.answers)) for p in paragraphs for q in p.questions]
    predictions = read_predictions(folder / "predictions.json", gold)
    odds = read_no_answer_scores(folder / "odds.json", gold)
    assert all(map(math.isfinite, official_metrics(gold, predictions, odds).values()))


_TOML_SIGNS = _words(
    "[ ] [[ ]] = \" ' \n # . { } inf nan -1 1e400 true 9999-12-31 0x10 data path recipe.toml other.toml \ufeff \x00",
    "1" * 5000,
    "[" * 2000,
    "a." * 2000,
    "a = " + "{a=" * 500,
)
_TOML_SIGNS += [b"\xff"]


def recipes(data: bytes, folder: Path) -> None:
    (folder / "recipe.toml").write_bytes(data)
    read_recipe(folder / "recipe.toml", data_root=folder)


# Folders


def _broken_files(folder: Path, names: Sequence[str], signs: Sequence[bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    contents = {name: (folder / name).read_bytes() for name in names}
    return st.sampled_from(list(names)).flatmap(
        lambda name: st.tuples(st.just(name), broken([contents[name]], [*signs, *contents.values()]))
    )


@contextlib.contextmanager
def _with_file(source: Path, copy: Path, name: str, data: bytes) -> Iterator[None]:
    """The folder with one file exchanged, for as long as this lasts."""
    if not copy.exists():
        shutil.copytree(source, copy)
    (copy / name).write_bytes(data)
    try:
        yield
    finally:
        shutil.copyfile(source / name, copy / name)


_MODEL_FILES = ("config.json", "bioqa.json", "tokenizer_config.json", "vocab.txt")


def checkpoints(given: tuple[str, bytes], folder: Path) -> None:
    with _with_file(OLD / "checkpoint", folder / "model", *given):
        checkpoint = open_checkpoint(str(folder / "model"))
        tokens = checkpoint.tokenizer()(["The gene TP53 causes cancer."])[0]
        assert all(0 <= i < checkpoint.config.vocab_size for i in tokens.ids)
        assert math.isfinite(checkpoint.settings.score_diff_threshold)
        if calibration := checkpoint.settings.calibration:
            assert 0 <= calibration.probability(1.0, 2) <= 1


_DATASET_FILES = tuple(
    str(path.relative_to(OLD / "dataset"))
    for path in sorted((OLD / "dataset").rglob("*"))
    if path.suffix in {".parquet", ".json"}
)


def data_sets(given: tuple[str, bytes], folder: Path) -> None:
    with _with_file(OLD / "dataset", folder / "dataset", *given):
        dataset = Dataset(folder / "dataset")
        dataset.runs()
        for frame in (dataset.answers(), dataset.answers(current=True), dataset.chunks(), dataset.summary()):
            # These files are of an early version, without digests: what polars finds in their pages is polars' to say.
            with suppress(pl.exceptions.PolarsError):
                frame.collect()
        dataset.done(["0" * 32])


TARGETS = {
    "records": Target(broken([_FIRST, _BOOK, _REFERENCES], XML_SIGNS), records, weight=4),
    "answers": Target(
        st.tuples(
            broken([_SEARCH, _SEARCH, *_ERRORS, _FIRST], XML_SIGNS),
            st.sampled_from((200, 200, 200, 400, 302, 500, 999)),
        ),
        answers,
        weight=4,
    ),
    "heads": Target(broken(_HEADS, _HTTP_SIGNS), heads),
    "question files": Target(
        st.sampled_from(list(_QUESTIONS)).flatmap(
            lambda suffix: st.tuples(st.just(suffix), broken(_QUESTIONS[suffix], _QUESTION_SIGNS))
        ),
        question_files,
        weight=4,
    ),
    "queries": Target(
        st.tuples(
            st.text(max_size=300),
            st.none() | st.text(alphabet='()[]" ABNDORT:~,x*“\ufb01', max_size=60),
            st.frozensets(st.text(max_size=20), max_size=3),
        ),
        queries,
        weight=2,
    ),
    "PMID lists": Target(broken(_bytes("1\n2 # two\n\n30000000\n"), _QUESTION_SIGNS), pmid_lists),
    "SQuAD files": Target(
        st.tuples(
            broken(_SQUAD, _JSON_SIGNS), broken(_PREDICTIONS, _JSON_SIGNS), broken(_PREDICTIONS[1:], _JSON_SIGNS)
        ),
        squad_files,
        weight=2,
    ),
    "recipes": Target(
        broken(
            [(ROOT / "data" / "model" / "recipe.toml").read_bytes(), b'base_model = "b"\n[[data]]\npath = "p"\n'],
            _TOML_SIGNS,
        ),
        recipes,
    ),
    "checkpoints": Target(_broken_files(OLD / "checkpoint", _MODEL_FILES, _JSON_SIGNS), checkpoints),
    "data sets": Target(_broken_files(OLD / "dataset", _DATASET_FILES, _JSON_SIGNS), data_sets, weight=0.5),
}
