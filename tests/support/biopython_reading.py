"""PubMed records read by Biopython's own parser, for comparison.

It needs a DTD that fits the record (the files here mix records of many years), reads whole files only, and wants a
folder to keep downloaded DTDs in. Those that come with it are enough; nothing is downloaded.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from Bio import Entrez

_RECORD = re.compile(rb"<(Pubmed(?:Book)?Article)[ >].*?</\1>", re.DOTALL)
DTDS = ("pubmed_250101.dtd", "pubmed_130501.dtd")


def split(path: Path) -> list[bytes]:
    """The records of a file, as they stand in it."""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    return [match.group() for match in _RECORD.finditer(data)]


def joined(records: Iterable[bytes], dtd: str) -> bytes:
    """One article set under a DTD of choice."""
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle//EN" '
        f'"https://dtd.nlm.nih.gov/ncbi/pubmed/out/{dtd}">\n<PubmedArticleSet>\n'
    )
    return head.encode() + b"\n".join(records) + b"\n</PubmedArticleSet>\n"


def read(data: bytes, folder: Path) -> list[Any]:
    """What `Bio.Entrez.read` makes of an article set: articles first, then books; a plain list under older DTDs."""
    Entrez.local_cache = str(folder)
    parsed = Entrez.read(io.BytesIO(data), validate=False)
    if isinstance(parsed, list):
        return sorted(parsed, key=lambda record: "BookDocument" in record)
    return [*parsed["PubmedArticle"], *parsed["PubmedBookArticle"]]


def fitting_dtd(record: bytes, folder: Path) -> str:
    """The newest DTD under which Biopython can read a record; its errors are ValueErrors."""
    for dtd in DTDS:
        try:
            read(joined([record], dtd), folder)
        except ValueError:
            continue
        return dtd
    raise AssertionError(f"no DTD fits {record[:200]!r}")
