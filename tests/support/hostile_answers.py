"""Answers that lie, drip and burst; see `hostile_service`."""

from __future__ import annotations

import gzip
from functools import cache

from support.hostile_service import Mode, endless, error, found, good, http, of_fetches, of_searches, record, records

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "endless 100s": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "flood of 100s": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4000),
    "endless status line": endless(b"", b"H"),
    "endless header": endless(_OK + b"X-A: ", b"a"),
    "endless headers": endless(_OK, b"X-A: a\r\n"),
    "endless chunk extension": endless(_CHUNKED + b"5;", b"a"),
    "endless trailers": endless(_CHUNKED + b"1\r\n<\r\n0\r\n", b"X-T: a\r\n"),
    "endless body": endless(_OK + b"Content-Length: 100000\r\n\r\n<", b"a"),
    "flood of chunk extensions": endless(_CHUNKED, b"1;" + b"a" * 60_000 + b"\r\n<\r\n"),
}
# A status that lasts, and then a body that does not end.
_LASTING_STATUS = {"error that drips": endless(b"HTTP/1.1 404 No\r\nContent-Length: 100000\r\n\r\n<", b"a")}
_BAD_LENGTHS = ("abc", "-1", "1, 2", "9" * 30, "\u00b2", "+5", "0x10")


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(32 << 20), 1)


def _entities(*declared: str) -> str:
    return f'<!DOCTYPE eSearchResult SYSTEM "a><eSearchResult>" [{"".join(declared)}]>'


_LAUGHS = [f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol" * 10}">' for i in range(10)]
MODES: dict[str, Mode] = (
    ENDLESS
    | _LASTING_STATUS
    | {
        f"refused with length {i}": of_searches(
            lambda asked, value=value: http(b"x", f"Content-Length: {value}", status="404 No")  # type: ignore[misc]
        )
        for i, value in enumerate(_BAD_LENGTHS)
    }
    | {
        "good": of_searches(good),
        "length abc": of_searches(lambda asked: http(found(), "Content-Length: abc")),
        "length too long": of_searches(lambda asked: http(found(), "Content-Length: 5000")),
        "length too short": of_searches(lambda asked: http(found(), "Content-Length: 50")),
        "two lengths": of_searches(lambda asked: http(found(), "Content-Length: 50", "Content-Length: 60")),
        "no http": of_searches(lambda asked: b"<html>no http</html>"),
        "nothing": of_searches(lambda asked: b""),
        "five hundred headers": of_searches(lambda asked: http(found(), *[f"X-{i}: a" for i in range(500)])),
        "a long header": of_searches(lambda asked: http(found(), f"X-A: {'a' * 90_000}")),
        "refused with a thousand headers": of_searches(
            lambda asked: http(b"x", *[f"X-{i}: a" for i in range(1000)], status="404 No")
        ),
        "limit of three million": of_searches(
            lambda asked: http(found(), "X-RateLimit-Limit: 3000000", "X-RateLimit-Remaining: 0")
        ),
        **{
            f"limit {value}": of_searches(
                lambda asked, value=value: http(  # type: ignore[misc]
                    found().encode(), f"X-RateLimit-Limit: {value}", f"X-RateLimit-Remaining: {value}"
                )
            )
            for value in ("0", "-1", "NaN", "999999999999999999", "9" * 400, "\uff13", "1e9", "1, 1")
        },
        "limit 1": of_searches(lambda asked: http(found(), "X-RateLimit-Limit: 1", "X-RateLimit-Remaining: 0")),
        **{
            f"pause {value}": of_searches(
                lambda asked, value=value: http(  # type: ignore[misc]
                    b"",
                    f"Retry-After: {value}",
                    "Date: Mon, 01 Jan 0001 00:00:00 +2359",
                    status="429 Too Many",
                )
            )
            for value in ("999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "NaN", "-5", "1e99", "\uff15")
        },
        "redirection": of_searches(lambda asked: http(b"", "Location: http://127.0.0.1:9/x", status="302 Found")),
        "packed lie": of_searches(lambda asked: http(b"\x1f\x8bjunk", "Content-Encoding: gzip")),
        "packed bomb": of_searches(lambda asked: http(_bomb(), "Content-Encoding: GZIP")),
        "doctype": of_searches(lambda asked: found(translation="[&x;]", doctype=_entities('<!ENTITY x "EXPANDED">'))),
        "laughs": of_searches(lambda asked: found(translation="&l9;", doctype=_entities(*_LAUGHS))),
        "file entity": of_searches(
            lambda asked: found(translation="&x;", doctype=_entities('<!ENTITY x SYSTEM "file:///etc/hostname">'))
        ),
        "huge id": of_searches(lambda asked: found("<Id>99999999999999999</Id><Id>1</Id>", count=2)),
        "negative id": of_searches(lambda asked: found("<Id>-1</Id><Id>0</Id>", count=2)),
        "huge count": of_searches(lambda asked: found(count="9" * 30)),
        "two million ids": of_searches(lambda asked: found("<Id>1</Id>" * 2_000_000, count=2_000_000)),
        "many ids": of_searches(lambda asked: found("".join(f"<Id>{i}</Id>" for i in range(1, 9999)), count=9998)),
        "million deep": of_searches(lambda asked: f"<eSearchResult>{'<a>' * 10**6}{'</a>' * 10**6}</eSearchResult>"),
        "deep": of_searches(lambda asked: f"<eSearchResult>{'<a>' * 10**5}{'</a>' * 10**5}</eSearchResult>"),
        "translation of 20 MB": of_searches(lambda asked: found(translation="x" * 20_000_000)),
        "translation of 2 MB": of_searches(lambda asked: found(translation="x" * 2_000_000)),
        "many remarks": of_searches(
            lambda asked: found(more=f"<WarningList>{'<OutputMessage>x</OutputMessage>' * 50_000}</WarningList>")
        ),
        "terminal": of_searches(lambda asked: error("bad \u009b31mRED\u009d0;title x \u202egnp\u2066")),
        "terminal remark": of_searches(
            lambda asked: found(
                translation="\u009b31m\u202eq\u200e",
                more="<WarningList><OutputMessage>\u009b2J\u2066 &#x9b;H</OutputMessage></WarningList>",
            )
        ),
        "script": of_fetches(
            lambda asked: records(*(record(p, title='&lt;script&gt;fetch("//x")&lt;/script&gt;') for p in asked.pmids))
        ),
        "deep records": of_fetches(lambda asked: records("<a>" * 10**5)),
        "records of others": of_fetches(lambda asked: records(*map(record, range(1, 500)))),
        "fetched entity": of_fetches(
            lambda asked: (
                _entities('<!ENTITY x "y">').replace("eSearchResult", "PubmedArticleSet")
                + f"<PubmedArticleSet>{record(1, title='&x;')}</PubmedArticleSet>"
            )
        ),
    }
)
