"""A folder searched by what its records are, and by titles alone; with what an earlier version left in the cache."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from bioqa_pipeline.abstracts.documents import schema
from bioqa_pipeline.abstracts.fulltext import FullTextIndex
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.records.texts import Question
from bioqa_pipeline.sources.medline.source import MedlineSource
from support.pubmed_reading import article, document

TRIAL = "<PublicationTypeList><PublicationType>Randomized Controlled Trial</PublicationType></PublicationTypeList>"
LANCET = "<ISSN>0140-6736</ISSN><Title>Lancet (London, England)</Title><ISOAbbreviation>Lancet</ISOAbbreviation>"
HEADINGS = "<MeshHeadingList><MeshHeading><DescriptorName>Fever, Q</DescriptorName></MeshHeading></MeshHeadingList>"
RECORDS = (
    article(1, abstract="Quinine treats malaria.", article=f"<Language>eng</Language>{TRIAL}", journal=LANCET),
    article(2, abstract="Quinine treats malaria, too.", article="<Language>fre</Language>", citation=HEADINGS),
    article(3, title="Quinine treats malaria.", article=f"<Language>eng</Language>{TRIAL}"),
    article(4, abstract="Quinine.", article="<Language>scc</Language>"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "r.xml").write_bytes(document(*RECORDS))
    return tmp_path / "files"


def opened(folder: Path, *, with_titles: bool = False, **filters: tuple[str, ...]) -> MedlineSource:
    config = SourceConfig(**filters)
    return MedlineSource(folder, config, home=folder.parent / "home", with_titles=with_titles, workers=1)


def found(source: MedlineSource) -> set[int]:
    return {hit.pmid for hit in source.search(Question("q", "Does quinine treat malaria?"), 10).hits}


@pytest.mark.parametrize(
    ("filters", "pmids"),
    [
        ({}, {1, 2, 4}),
        ({"publication_type": ("clinical trial",)}, {1}),
        ({"mesh": ("Fever, Q",)}, {2}),
        ({"mesh": ("Fever",)}, set()),
        ({"journal": ("The Lancet", "A Journal")}, {1, 2, 4}),
        ({"journal": ("0140-6736",)}, {1}),
        ({"language": ("Serbian", "fr")}, {2, 4}),
        ({"language": ("eng",), "mesh": ("Fever, Q",)}, set()),
    ],
)
def test_a_search_finds_what_passes_alone(folder: Path, filters: dict[str, tuple[str, ...]], pmids: set[int]) -> None:
    source = opened(folder, **filters)
    assert found(source) == pmids
    assert source.describe()["left_out_by_filters"] == (f"{3 - len(pmids)} of 3 records" if filters else "")


def test_titles_alone_are_found_where_they_are_asked(folder: Path) -> None:
    before = opened(folder)
    scores = before.search(Question("q", "Does quinine treat malaria?"), 10).hits
    assert found(opened(folder, with_titles=True)) == {1, 2, 3, 4}
    assert found(opened(folder, with_titles=True, publication_type=("Clinical Trial",))) == {1, 3}
    after = opened(folder)
    assert after.search(Question("q", "Does quinine treat malaria?"), 10).hits == scores
    assert after.describe()["without_abstract"] == "1"


def test_an_index_of_an_earlier_version_serves_until_a_filter_needs_more(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generation = opened(folder).store.path
    made_by_old_version(generation)
    caplog.set_level(logging.WARNING)
    assert found(opened(folder)) == {1, 2, 4}
    (folder / "s.xml").write_bytes(document(article(5, abstract="Quinine treats malaria again.")))
    assert found(opened(folder)) == {1, 2, 4, 5}
    assert [path.name for path in (generation / "fulltext").iterdir()] == ["v1"]
    assert found(opened(folder, with_titles=True)) == {1, 2, 3, 4, 5}
    assert not caplog.records
    assert found(opened(folder, language=("fre",))) == {2}
    assert "the full-text index is made anew" in caplog.text
    assert {path.name for path in (generation / "fulltext").iterdir()} == {"v2", "v2-titles"}
    assert found(opened(folder)) == {1, 2, 4, 5}


def test_records_without_names_of_their_journals_are_imported_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generation = opened(folder).store.path
    state = json.loads((generation / "imports.json").read_text())
    for values in state["files"].values():
        del values["has_journal_names"]
    del state["n_without_abstract"]
    (generation / "imports.json").write_text(json.dumps(state))
    assert opened(folder, language=("fre",)).describe()["without_abstract"] == "1"
    assert "imported again" not in caplog.text
    assert found(opened(folder, journal=("0140-6736",))) == {1}
    assert "1 files are imported again, for all names of their journals" in caplog.text
    caplog.clear()
    assert found(opened(folder, journal=("0140-6736",))) == {1}
    assert not caplog.records


def made_by_old_version(generation: Path) -> None:
    FullTextIndex(generation / "fulltext").discard()
    index = FullTextIndex(generation / "fulltext")
    index._folder, index._schema = generation / "fulltext" / "v1", schema(filtered=False)
    index.update(AbstractStore(generation))
