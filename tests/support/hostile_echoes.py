"""Answers that repeat the API key that was sent, in every field and spelling; see `hostile_service`."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

from support.hostile_service import (
    FIRST_PMID,
    PLAIN_TEXT,
    Asked,
    Mode,
    error,
    found,
    http,
    of_fetches,
    of_searches,
    record,
    records,
)


def spellings(key: str) -> list[str]:
    """The key as an XML document can repeat it."""
    middle = len(key) // 2
    return [
        key,
        key.swapcase(),
        quote(key, safe=""),
        "".join(f"%{ord(c):02X}" for c in key),
        "".join(f"%25{ord(c):02x}" for c in key),
        "".join(f"&#{ord(c)};" for c in key),
        "".join(f"&amp;#x{ord(c):x};" for c in key),
        f"{key[:middle]}<b>{key[middle:]}</b>",
        f"{key[:9]}<!-- > -->{key[9:]}",
        "\u200b".join(key),
        f"{key[: middle + 2]}...",
        base64.b64encode(f"user:{key}".encode()).decode(),
        key.encode().hex(),
    ]


def _echoed_search(asked: Asked) -> bytes:
    all_of_it = " ".join(spellings(asked.key))
    remarks = "".join(
        f"<{kind}>{spelling}</{kind}>"
        for kind in ("PhraseIgnored", "OutputMessage")
        for spelling in spellings(asked.key)
    )
    body = found(
        "".join(f"<Id>{FIRST_PMID + i}</Id>" for i in range(3)),
        count=3,
        translation=f"vitamin AND {all_of_it}",
        more=f"<ErrorList><PhraseNotFound>{asked.key}</PhraseNotFound></ErrorList><WarningList>{remarks}</WarningList>",
    )
    return _echoed(body, asked.key)


def _echoed(body: str, key: str, status: str = "200") -> bytes:
    names = ("X-Api-Key", "Set-Cookie", "Retry-After", "Date", "X-RateLimit-Limit", "Location", "Warning")
    return http(body, *(f"{name}: {key}" for name in names), status=f"{status} {key}")


def _echoed_records(asked: Asked) -> bytes:
    key, every = asked.key, " ".join(spellings(asked.key))
    article = (
        f"<Journal><Title>Journal of {key}</Title><JournalIssue><PubDate><MedlineDate>{key}</MedlineDate></PubDate>"
        f"</JournalIssue></Journal><AuthorList><Author><LastName>{key}</LastName><ForeName>{key}</ForeName></Author>"
        f"</AuthorList><VernacularTitle>{key}</VernacularTitle><Language>{key}</Language><PublicationTypeList>"
        f"<PublicationType>{key}</PublicationType></PublicationTypeList>"
        f'<ELocationID EIdType="doi">10.1234/{key}</ELocationID>'
    )
    more = (
        f"<MeshHeadingList><MeshHeading><DescriptorName>{key}</DescriptorName></MeshHeading></MeshHeadingList>"
        f'<OtherAbstract Type="{key}" Language="eng"><AbstractText>{key}</AbstractText></OtherAbstract>'
        f'<CommentsCorrectionsList><CommentsCorrections RefType="{key}"><RefSource>{key}</RefSource>'
        "</CommentsCorrections></CommentsCorrectionsList>"
    )
    text = f"{PLAIN_TEXT} {every} Oranges heal it."
    whole = [record(pmid, title=f"Scurvy and {every}.", text=text, article=article, more=more) for pmid in asked.pmids]
    return _echoed(records(*whole, record(key), record(FIRST_PMID + 99, title=key)), key)


def _echo_of_error(text: Callable[[str], str], status: str = "200") -> Mode:
    return of_searches(lambda asked: _echoed(text(asked.key), asked.key, status))


ECHOES: dict[str, Mode] = {
    "echo": lambda asked: iter([_echoed_search(asked) if asked.utility == "esearch" else _echoed_records(asked)]),
    "echoed error": _echo_of_error(lambda key: error(f"bad query {' '.join(spellings(key))}")),
    "echoed error that is cut": _echo_of_error(lambda key: error(f"{'A' * 270}{key}")),
    "echoed error in lower case": _echo_of_error(lambda key: error(f"bad {key.lower()}")),
    "echoed root": _echo_of_error(lambda key: f'<?xml version="1.0"?><{key}/>'),
    "echoed id": _echo_of_error(lambda key: found(f"<Id>{key}</Id>", count=1)),
    "echoed json": _echo_of_error(lambda key: f'{{"ERROR":"no {key}"}}'),
    "echoed in no xml": _echo_of_error(lambda key: key),
    "echoed encoding": _echo_of_error(lambda key: f'<?xml version="1.0" encoding="{key}"?><eSearchResult/>'),
    "echoed with 403": _echo_of_error(lambda key: f"<ERROR>key {key} is blocked</ERROR>", "403"),
    "echoed with 429": _echo_of_error(lambda key: key, "429"),
    "echoed pmid": of_fetches(lambda asked: records(record(asked.key))),
    "echoed version": of_fetches(lambda asked: records(record(1).replace('Version="1"', f'Version="{asked.key}"'))),
    "echoed tags": of_fetches(lambda asked: records(f"<{asked.key}>")),
    "echoed root of records": of_fetches(lambda asked: f"<{asked.key}></{asked.key}>"),
}
