"""Records as Biopython's parser reads them, field by field."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from bioqa_pipeline.pubmed.fields import split_title
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.records.texts import Abstract
from support.biopython_reading import fitting_dtd, joined, read, split
from support.outside import OutsideMaterial
from support.pubmed_reading import normal, text_of_markup

EVERY = 25  # of the large files; Biopython takes 4 ms a record, and each is read twice


def chosen(test_data: OutsideMaterial) -> list[bytes]:
    samples = [
        *test_data.files("pubmed/eutils_samples/biopython/pubmed*.xml"),
        *test_data.files("pubmed/eutils_samples/efetch*"),
    ]
    large = [record for path in test_data.files("pubmed/records/*.xml.gz") for record in split(path)]
    return [record for path in sorted(samples) for record in split(path)] + large[::EVERY]


def flat(abstract: Any) -> str | None:
    """None where there are formulas, which Biopython leaves as they are."""
    if any("<math" in part for part in abstract):
        return None
    parts = [(normal(part.attributes.get("Label", "")), text_of_markup(str(part))) for part in abstract]
    silent = ("", "UNLABELLED", "UNASSIGNED")
    return " ".join(text if label in silent else f"{label}: {text}" for label, text in parts if text)


def compare(record: Abstract, other: Any) -> None:
    body = other["BookDocument"] if record.is_book else other["MedlineCitation"]
    article = body if record.is_book else body["Article"]
    assert (record.pmid, record.version) == (int(body["PMID"]), int(body["PMID"].attributes["Version"]))
    text = flat(article["Abstract"]["AbstractText"]) if "Abstract" in article else ""
    if text:
        assert len(record.text) == len(text)
        assert record.text == text
    if record.is_book:
        return
    vernacular = normal(article.get("VernacularTitle", "")) or None
    assert record.title == split_title(text_of_markup(article["ArticleTitle"]), vernacular)
    assert record.vernacular_title == vernacular
    assert record.journal == normal(article["Journal"]["Title"])
    assert list(record.languages) == list(dict.fromkeys(language.lower() for language in article["Language"]))
    names = [author.get("CollectiveName") or author["LastName"] for author in article.get("AuthorList", [])]
    assert len(record.authors) == len(names)
    assert all(author.startswith(normal(name)) for author, name in zip(record.authors, names, strict=True))
    mesh = [normal(heading["DescriptorName"]) for heading in body.get("MeshHeadingList", [])]
    assert list(record.mesh_terms) == list(dict.fromkeys(mesh))
    assert list(record.publication_types) == [normal(name) for name in article["PublicationTypeList"]]
    links = [link.attributes["RefType"] for link in body.get("CommentsCorrectionsList", [])]
    assert [link.ref_type for link in record.corrections] == [kind for kind in links if kind != "Cites"]
    identifiers = other["PubmedData"]["ArticleIdList"]
    dois = [str(i).lower() for i in identifiers if i.attributes["IdType"] == "doi" and i.startswith("10.")]
    assert not dois or record.doi == dois[0]
    assert record.status == body.attributes["Status"]
    if "DateRevised" in body:
        assert record.date_revised.split("-") == [f"{int(p):02d}" for p in body["DateRevised"].values()]


def test_fields_agree_with_biopython(test_data: OutsideMaterial, tmp_path: Path) -> None:
    by_dtd: dict[str, list[bytes]] = {}
    for record in chosen(test_data):
        by_dtd.setdefault(fitting_dtd(record, tmp_path), []).append(record)
    n_compared = 0
    for dtd, records in by_dtd.items():
        document = joined(records, dtd)
        ours = [r for r in parse_records(io.BytesIO(document), name=dtd) if isinstance(r, Abstract)]
        theirs = read(document, tmp_path)
        assert len(ours) == len(theirs) == len(records)
        for record, other in zip(sorted(ours, key=lambda r: r.is_book), theirs, strict=True):
            compare(record, other)
            n_compared += 1
    assert n_compared > 60 and len(by_dtd) == 2
