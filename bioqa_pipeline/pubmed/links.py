"""Ids of records into the addresses of their pages; numbers that PubMed has not given have none."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

# PubMed has given some 42 million; records that are invented, as those that come with this project, stand above.
LAST_PMID = 90_000_000
_PUBMED = "https://pubmed.ncbi.nlm.nih.gov/"


def pubmed_url(pmid: int | None) -> str | None:
    """None for none, and for a number that PubMed has not given, which may be a real record's some day."""
    return f"{_PUBMED}{pmid}/" if pmid is not None and pmid <= LAST_PMID else None


def pubmed_list_url(pmids: Iterable[int]) -> str | None:
    """The page that lists these records; None where PubMed has none of them."""
    real = [str(pmid) for pmid in pmids if pmid <= LAST_PMID]
    return f"{_PUBMED}?term={','.join(real)}" if real else None


def doi_url(doi: str) -> str:
    return "https://doi.org/" + quote(doi, safe="/")
