"""What of a record is asked and what rows say of it: abstract or title and abstract, kinds, headings, dates."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.config import ScoringConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.records.texts import Abstract, FetchStatus
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.progress import Reporter
from support.checkpoints import make_checkpoint
from support.pubmed_reading import article, document
from support.small_runs import small_config

TITLED = article(311, title="Quinine treats malaria.")
BOTH = article(
    312,
    title="Which drug treats malaria",
    abstract="A drug that treats malaria is quinine. It is old.",
    journal="<JournalIssue><PubDate><Year>1965</Year><Month>Jun</Month></PubDate></JournalIssue><Title>J</Title>",
    article="<Language>eng</Language><Language>fre</Language><PublicationTypeList><PublicationType>Review"
    "</PublicationType></PublicationTypeList><ArticleDate><Year>2008</Year><Month>1</Month></ArticleDate>",
    citation="<CommentsCorrectionsList>"
    '<CommentsCorrections RefType="ExpressionOfConcernIn"><RefSource>J 2020</RefSource></CommentsCorrections>'
    '<CommentsCorrections RefType="ErratumIn"><RefSource>J</RefSource><PMID>99</PMID></CommentsCorrections>'
    "</CommentsCorrectionsList><MeshHeadingList><MeshHeading><DescriptorName>Malaria</DescriptorName></MeshHeading>"
    "</MeshHeadingList>",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Both records asked by their list, as abstracts and then with their titles, in one data set."""
    folder = tmp_path_factory.mktemp("runs")
    model = make_checkpoint(folder / "model", layers=1)
    (folder / "records").mkdir()
    (folder / "records" / "r.xml").write_bytes(document(TITLED, BOTH))
    (folder / "pmids.txt").write_text("311\n312\n")
    source = {"kind": "pmids", "pmids_file": folder / "pmids.txt", "medline_dir": folder / "records"}
    for passage, n_scored in (("abstract", 1), ("title+abstract", 2), ("abstract", 0)):
        config = small_config(folder, model, source=source, threshold=100.0, scoring={"passage": passage})
        manifest = run_job(config).manifest
        assert (manifest.n_scored, len(manifest.skipped)) == (n_scored, passage == "abstract")
    return Dataset(folder / "out").answers().collect()


@pytest.mark.parametrize("kind", ["pmids", "medline", "files"])
def test_records_that_do_not_pass_are_counted_and_a_title_alone_is_found(tmp_path: Path, kind: str) -> None:
    model = make_checkpoint(tmp_path / "model", layers=1)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "r.xml").write_bytes(document(TITLED, BOTH))
    (tmp_path / "pmids.txt").write_text("311\n312\n")
    source = {"kind": kind, "medline_dir": tmp_path / "records"}
    if kind == "pmids":
        source["pmids_file"] = tmp_path / "pmids.txt"
    if kind == "files":
        source = {"kind": kind, "files": [tmp_path / "records" / "r.xml"]}
    said: list[str] = []
    for filters, passage, n_new in (({"language": "French"}, "abstract", 1), ({}, "title+abstract", 2)):
        reporter = Reporter()
        reporter.say = said.append  # type: ignore[method-assign]
        config = small_config(tmp_path, model, source=source | filters, scoring={"passage": passage})
        manifest = run_job(config, reporter=reporter).manifest
        assert manifest.n_scored == n_new
        # The same pairs without a filter, and with another that they pass, are not scored again.
        again = small_config(tmp_path, model, source=source | {"mesh": ["malaria"]}, scoring={"passage": passage})
        assert run_job(again).manifest.n_scored == 0
    left_out = "1 of 2 records left out by filters" if kind != "medline" else "0 of 1 records left out by filters"
    assert any(line.startswith(left_out) for line in said)
    assert (FetchStatus.FILTERED in run_job(again).manifest.statuses) == (kind != "medline")


def test_offsets_count_in_the_passage_that_the_row_names(rows: pl.DataFrame) -> None:
    texts = {
        (312, "abstract"): "A drug that treats malaria is quinine. It is old.",
        (312, "title+abstract"): "Which drug treats malaria. A drug that treats malaria is quinine. It is old.",
        (311, "title+abstract"): "Quinine treats malaria.",
    }
    assert set(rows.select("pmid", "passage").iter_rows()) == texts.keys()
    assert rows["scoring_key"].n_unique() == 2
    for row in rows.iter_rows(named=True):
        text = texts[row["pmid"], row["passage"]]
        assert row["n_best"] and all(text[s["start"] : s["end"]] == s["text"] for s in row["n_best"])
        assert text[row["evidence_start"] : row["evidence_end"]] == row["evidence"]
        assert text[row["answer_start"] : row["answer_end"]] == row["answer"]


def test_rows_say_what_the_record_says(rows: pl.DataFrame) -> None:
    columns = ("pub_date", "print_date", "electronic_date", "languages", "publication_types", "mesh_terms")
    found = rows.filter(pmid=312).select(*columns, "expressions_of_concern", "errata").to_dicts()[0]
    assert found == {
        "pub_date": "1965-06",
        "print_date": "1965-06",
        "electronic_date": "2008-01",
        "languages": ["eng", "fre"],
        "publication_types": ["Review"],
        "mesh_terms": ["Malaria"],
        "expressions_of_concern": ["J 2020"],
        "errata": ["99"],
    }
    bare = rows.filter(pmid=311).to_dicts()[0]
    assert (bare["electronic_date"], bare["mesh_terms"], bare["errata"]) == (None, [], [])


def test_the_key_of_the_default_is_that_of_earlier_versions() -> None:
    def key(config: ScoringConfig) -> str:
        return config.key(checkpoint_digest="d", precision="fp32", schema_version=1)

    assert key(ScoringConfig()) == "28888257599d94205e69318e8bae531d" == key(ScoringConfig(passage="abstract"))
    assert key(ScoringConfig(passage="title+abstract")) != key(ScoringConfig())


@pytest.mark.parametrize(
    ("title", "text", "passage"),
    [("T", "x.", "T. x."), ("T?", "x.", "T? x."), ("T.", "", "T."), ("", "x.", "x."), ("", "", "")],
)
def test_a_title_is_the_first_sentence(title: str, text: str, passage: str) -> None:
    record = Abstract(pmid=1, title=title, text=text)
    assert (record.passage_text("title+abstract"), record.passage_text("abstract")) == (passage, text)
