"""Records into works: a preprint, its article and its republication are one. Pure.

Records are one work where PubMed says so, where they bear one DOI, or where their abstracts are the same text. Links
lead on: two records that are versions of a third are one work, also where that third is not among them.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator

from bioqa_pipeline.records.texts import Abstract, content_digest

# CommentsCorrections/@RefType between versions of one work. A comment, an erratum or a retraction is another text, and
# may concern several.
_SAME_WORK = frozenset(
    f"{relation}{side}"
    for relation, sides in {
        "Update": ("In", "Of"),
        "Republished": ("In", "From"),
        "CorrectedandRepublished": ("In", "From"),
        "RetractedandRepublished": ("In", "From"),
        "Reprint": ("In", "Of"),
    }.items()
    for side in sides
)
_DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>]{1,200}")
# Preprint servers number the versions of one work: 10.21203/rs.3.rs-1/v2.
_VERSION = re.compile(r"[./]?v\d{1,2}$")
_WORD = re.compile(r"[^\W_]+")


def group_works(records: Iterable[Abstract]) -> dict[int, int]:
    """PMID -> the lowest PMID of its work among the records."""
    parents: dict[Hashable, Hashable] = {}
    pmids: list[int] = []
    for record in records:
        pmids.append(record.pmid)
        for link in _links(record):
            parents[_root(parents, link)] = _root(parents, record.pmid)
    lowest: dict[Hashable, int] = {}
    for pmid in sorted(pmids):
        lowest.setdefault(_root(parents, pmid), pmid)
    return {pmid: lowest[_root(parents, pmid)] for pmid in pmids}


def _links(record: Abstract) -> Iterator[Hashable]:
    """What versions of one work have in common with the record: PMIDs, DOIs, a text."""
    if record.doi:
        yield _VERSION.sub("", record.doi.casefold())
    words = " ".join(_WORD.findall(_prose(record).casefold()))
    if words:
        yield "text", content_digest(words)
    for correction in record.corrections:
        if correction.ref_type in _SAME_WORK:
            if correction.pmid is not None:
                yield correction.pmid
            for doi in _DOI.findall(correction.citation):
                yield _VERSION.sub("", doi.rstrip(".,;)").casefold())


def _prose(record: Abstract) -> str:
    """The abstract without its labels, which a preprint server leaves out."""
    if not record.sections:
        return record.text
    pieces = []
    end = 0
    for section in record.sections:
        label = f"{section.label}: "
        pieces.append(record.text[end : section.start].removesuffix(label))
        pieces.append(record.text[section.start : section.end])
        end = section.end
    return " ".join([*pieces, record.text[end:]])


def _root(parents: dict[Hashable, Hashable], node: Hashable) -> Hashable:
    root = node
    while (parent := parents.get(root, root)) != root:
        root = parent
    while (parent := parents.get(node, root)) != root:
        parents[node] = root
        node = parent
    return root
