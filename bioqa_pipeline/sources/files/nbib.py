"""PubMed's MEDLINE format (.nbib, "PubMed" among the formats to save): Bio.Medline's fields into what the record's XML
gives, so that it makes no difference for an answer in which of the two it came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from Bio import Medline

from bioqa_pipeline.pubmed.fields import clean_doi, earlier_date, iso_date, printed_date, split_title, whole_number
from bioqa_pipeline.records.retraction import is_retracted
from bioqa_pipeline.records.texts import Abstract, Correction
from bioqa_pipeline.sources.files.chunks import Chunk, chunks
from bioqa_pipeline.sources.files.fields import checked, pmcid_in, pmid_in
from bioqa_pipeline.sources.files.values import NO_PMID, BadPart, Part
from bioqa_pipeline.text import normalize_text

TAG = re.compile(r"([A-Z][A-Z0-9 ]{3})- ?(.*)")
_COMPACT_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_KIND = re.compile(r"\[(doi|pii)\]", re.IGNORECASE)
# The tags of links to other records, as XML calls them.
_LINKS = {
    "CIN": "CommentIn", "CON": "CommentOn", "CRF": "CorrectedandRepublishedFrom", "CRI": "CorrectedandRepublishedIn",
    "DDIN": "DatasetDescriptionIn", "DRIN": "DatasetUseReportedIn", "ECF": "ExpressionOfConcernFor",
    "ECI": "ExpressionOfConcernIn", "EFR": "ErratumFor", "EIN": "ErratumIn", "ORI": "OriginalReportIn",
    "PRIN": "PartialRetractionIn", "PROF": "PartialRetractionOf",
    "RIN": "RetractionIn", "ROF": "RetractionOf", "RPF": "RepublishedFrom", "RPI": "RepublishedIn",
    "RRF": "RetractedandRepublishedFrom", "RRI": "RetractedandRepublishedIn", "SPIN": "SummaryForPatientsIn",
    "UIN": "UpdateIn", "UOF": "UpdateOf",
}  # fmt: skip


def nbib_records(text: str) -> Iterator[Part]:
    """The records of a file. One whose PMID cannot be read is left out; one without a PMID may have a DOI."""
    for chunk in chunks(text, TAG, first="PMID", blank_ends=True):
        yield chunk if isinstance(chunk, BadPart) else _record(chunk)


def _record(chunk: Chunk) -> Part:
    lines = [f"{tag:4}- {value}\n" for tag, value in chunk.fields]
    fields: Mapping[str, Any] = next(Medline.parse(lines), {})  # type: ignore[no-untyped-call]
    said = _one(fields, "PMID")
    pmid = whole_number(said)
    if said and pmid is None:
        return BadPart(chunk.line, f"its PMID is {said[:40]!r}")
    vernacular = _one(fields, "TT") or None
    title = split_title(_one(fields, "TI") or _one(fields, "BTI"), vernacular)
    text = _one(fields, "AB")
    doi = _doi(fields)
    if not (pmid or doi):
        return BadPart(chunk.line, f"it has no PMID; it begins with {lines[0].strip()[:60]!r}")
    types, links = _all(fields, "PT"), tuple(_links(fields))
    printed = _one(fields, "DP")
    online = _compact_date(_one(fields, "DEP"))
    record = Abstract(
        pmid=pmid or NO_PMID,
        title=title,
        text=text,
        journal=_one(fields, "JT") or _one(fields, "BTI") or _one(fields, "TA"),
        pub_date=earlier_date(printed_date(printed), online),
        pub_date_raw=printed or online,
        print_date=printed_date(printed),
        electronic_date=online,
        doi=doi,
        languages=tuple(dict.fromkeys(name.lower() for name in _all(fields, "LA"))),
        vernacular_title=vernacular,
        authors=(*_all(fields, "AU"), *_all(fields, "CN")),
        mesh_terms=tuple(dict.fromkeys(filter(None, map(_descriptor, _all(fields, "MH"))))),
        publication_types=types,
        corrections=links,
        copyright=_one(fields, "CI") or None,
        is_retracted=is_retracted(title, types, links),
        is_book=bool(_one(fields, "BTI")),
        status=_one(fields, "STAT"),
        date_revised=_compact_date(_one(fields, "LR")),
    )
    return checked(record, chunk.line, pmcid_in(_one(fields, "PMC")))


def _all(fields: Mapping[str, Any], tag: str) -> tuple[str, ...]:
    """The values of a tag, which Bio.Medline joins for some tags and lists for others."""
    value: str | Sequence[str] = fields.get(tag, ())
    return tuple(filter(None, map(normalize_text, [value] if isinstance(value, str) else value)))


def _one(fields: Mapping[str, Any], tag: str) -> str:
    return " ".join(_all(fields, tag))


def _doi(fields: Mapping[str, Any]) -> str | None:
    # "10.1000/x [doi]"; AID first, as the XML's list of identifiers comes before its locations.
    for tag in ("AID", "LID"):
        for said in _all(fields, tag):
            values = _KIND.split(said)
            for value, kind in zip(values[::2], values[1::2], strict=False):
                if kind.lower() == "doi" and (doi := clean_doi(value.strip())):
                    return doi
    return None


def _links(fields: Mapping[str, Any]) -> Iterator[Correction]:
    for tag, name in _LINKS.items():
        for said in _all(fields, tag):
            yield Correction(name, pmid_in(said), normalize_text(said.partition(" PMID:")[0]))


def _compact_date(text: str) -> str:
    found = _COMPACT_DATE.match(text)
    return iso_date(*found.groups()) if found else ""


def _descriptor(heading: str) -> str:
    """ "*Ascorbic Acid/*therapeutic use" into its descriptor."""
    return heading.partition("/")[0].strip("* ")
