"""Fields of PubMed records that need reading, not copying: numbers, dates, DOIs, titles. Strings in, strings out."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from bioqa_pipeline.text import normalize_text

_MOST_DIGITS = 10
# What a column of 32 bits holds.
MAX_PMID = 2**31 - 1
# No longer part of a date is one, and none is kept in the cache; no longer DOI is registered.
_MOST_DATE_CHARS = 40
_MOST_DOI_CHARS = 2048
_YEAR = re.compile(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,2}", re.ASCII)
_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, start=1)}
# "1998 Dec 12-19", "2019 Jan - Feb", "1998 Dec-1999 Jan": what follows the first year, as far as it is a date.
_PRINTED = re.compile(
    rf"\s*({'|'.join(_MONTH_NAMES)})[a-z]*\.?(?:\s+([0-9]{{1,2}})(?![0-9]))?", re.ASCII | re.IGNORECASE
)
# "15 Mar 2001", "July-August 2003": what stands before the year.
_BEFORE_YEAR = re.compile(
    rf"(?:\b(?P<day>[0-9]{{1,2}})(?:\s?[-–]\s?[0-9]{{1,2}})?\s+)?\b(?P<month>{'|'.join(_MONTH_NAMES)})[a-z]*\.?"
    r"(?:\s?[-–/]\s?[A-Za-z]{3,9}\.?)?,?\s*$",
    re.ASCII | re.IGNORECASE,
)
_DOI = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/\S+)", re.IGNORECASE)
_NO_TITLE = frozenset(("not available", "in process citation"))


def whole_number(text: str | None) -> int | None:
    """A number from 1 to `MAX_PMID` in ASCII digits; None for anything else."""
    text = (text or "").strip()
    number = int(text) if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS else 0
    return number if 1 <= number <= MAX_PMID else None


def iso_date(year: str | None, month: str | None, day: str | None) -> str:
    """ISO 8601, as precise as the parts are usable: "1998", "1998-12" or "1998-12-03"; "" without a year.

    Months come as "07", "7", "Jul", "July" or, from seasons, "Jul-Aug"; of a range the first counts.
    """
    return _iso_date(*((part or "").strip()[:_MOST_DATE_CHARS] for part in (year, month, day)))


@lru_cache(maxsize=4096)
def _iso_date(year: str, month: str, day: str) -> str:
    found = _YEAR.fullmatch(year)
    if not found:
        return ""
    number = _month(month)
    if not number:
        return found.group()
    try:
        return date(int(found.group()), number, int(_first_number(day))).isoformat()
    except ValueError:
        return f"{found.group()}-{number:02d}"


def printed_date(text: str) -> str:
    """ISO 8601 of the start of a date as printed: "1998 Dec-1999 Jan" gives "1998-12", "Mar 2000" "2000-03"."""
    year = _YEAR.search(text)
    if not year:
        return ""
    if rest := _PRINTED.match(text, year.end()):
        return iso_date(year.group(), *rest.groups())
    before = _BEFORE_YEAR.search(text, 0, year.start())
    return iso_date(year.group(), *(before["month"], before["day"]) if before else (None, None))


def _month(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else _MONTHS.get(text[:3].lower(), 0)
    return number if number <= 12 else 0


def _first_number(text: str) -> str:
    found = _NUMBER.match(text)
    return found.group() if found else ""


def clean_doi(text: str | None) -> str | None:
    """A DOI in lower case without "doi:" or resolver; None where it is none."""
    text = normalize_text(text or "")
    found = _DOI.fullmatch(text) if len(text) <= _MOST_DOI_CHARS else None
    return found.group(1).lower() if found else None


def earlier_date(printed: str, electronic: str) -> str:
    """The earlier of two ISO dates, of which either may be "" or end with its year or month.

    Where they agree as far as both go the longer one counts.
    """
    if not printed or not electronic:
        return printed or electronic
    shared = min(len(printed), len(electronic))
    if printed[:shared] == electronic[:shared]:
        return max(printed, electronic, key=len) if len(printed) != len(electronic) else electronic
    return min(printed, electronic)


def split_title(title: str, vernacular: str | None) -> str:
    """A title without the square brackets that PubMed puts around its translation of a foreign one.

    Where PubMed has no translation ("[Not Available].") the vernacular title stands in.
    """
    inner = _bracketed(title)
    if inner is None:
        return title
    if inner.rstrip(".").casefold() in _NO_TITLE:
        return vernacular or ""
    return inner if not inner or inner.endswith((".", "?", "!")) else inner + "."


def _bracketed(title: str) -> str | None:
    """What stands in the one pair of brackets around a whole title."""
    body = title.rstrip(".")
    if not (body.startswith("[") and body.endswith("]")):
        return None
    depth = 0
    for i, character in enumerate(body):
        depth += (character == "[") - (character == "]")
        if depth == 0:
            return body[1:-1].strip() if i == len(body) - 1 else None
    return None
