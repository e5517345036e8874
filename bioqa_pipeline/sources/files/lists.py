"""A list of PMIDs, PMCIDs and DOIs, as people keep and paste them: one a line or several, with prefixes or a header."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bioqa_pipeline.pubmed.fields import clean_doi, whole_number
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.files.fields import pmid_in
from bioqa_pipeline.sources.files.values import NO_PMID, BadPart, FoundRecord, Part

_PARTED = re.compile(r"[\s,;|]+")
_PREFIX = re.compile(r"\b(?:PMIDs?|PMCIDs?|DOIs?|PubMed[ -]?IDs?)\s*[:=]?\s*(?=[0-9P])", re.IGNORECASE)
_ZEROS = re.compile(r"^0+(?=[0-9])")
_PMCID = re.compile(r"PMC[0-9]{1,10}(?:\.[0-9]+)?", re.IGNORECASE)
_MOST_WORD_CHARS = 2_100


def list_records(text: str) -> Iterator[Part]:
    """The identifiers of a list; blank lines, what follows a # and a first line of words alone are passed over."""
    is_first = True
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.partition("#")[0].strip() if "doi.org/" not in raw else raw.strip()
        if not line:
            continue
        if is_first and not any(sign.isdigit() for sign in line):
            is_first = False
            continue
        is_first = False
        for word in filter(None, _PARTED.split(_PREFIX.sub(" ", line))):
            yield _identifier(word.strip("\"'()[]<>"), number)


def _identifier(word: str, line: int) -> Part:
    if pmid := whole_number(_ZEROS.sub("", word)) or pmid_in(word[:_MOST_WORD_CHARS]):
        return FoundRecord(Abstract(pmid=pmid), line)
    if _PMCID.fullmatch(word):
        return FoundRecord(Abstract(pmid=NO_PMID), line, word.upper().partition(".")[0])
    if doi := clean_doi(word.rstrip(".")):
        return FoundRecord(Abstract(pmid=NO_PMID, doi=doi), line)
    return BadPart(line, f"{word[:40]!r} is not a PMID, PMCID or DOI")
