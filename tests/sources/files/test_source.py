"""Exported files as a source: what is asked, what is left out and said, what comes from PubMed."""

from __future__ import annotations

import bz2
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.paths import SAMPLE
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.records.texts import Abstract, FetchStatus, Question
from bioqa_pipeline.sources import check_source, open_source, what_source_leaves_out
from bioqa_pipeline.sources.base import Source
from bioqa_pipeline.sources.files import reading
from bioqa_pipeline.sources.files.source import FilesSource, describe_files
from bioqa_pipeline.sources.pmids import PmidsSource, read_list
from support import exported_files as files
from support.eutils_records import read_records
from support.eutils_server import EutilsServer
from support.work import ends

QUESTION = Question("q", "What treats malaria?")
QUININE, ZINC = 90_000_001, 90_000_002


@pytest.fixture(autouse=True)
def _nobodys_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCBI_EMAIL", raising=False)


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text, "utf-8")
    return folder


def opened(*paths: Path, **settings: object) -> Source:
    config = SourceConfig.checked({"files": paths, **settings})
    assert config.kind == "files"
    check_source(config)
    return open_source(config)


def asked(source: Source) -> list[int]:
    return [hit.pmid for hit in source.search(QUESTION, 1).hits]


def test_every_record_is_asked_whatever_the_limit(tmp_path: Path) -> None:
    source = opened(write(tmp_path / "in", a_nbib=files.NBIB) / "a.nbib")
    assert asked(source) == [QUININE, ZINC]
    assert source.ensure([QUININE, ZINC]) == []
    assert [a.pmid for a in source.store.get([QUININE, ZINC])] == [QUININE, ZINC]
    index = source.store.index([QUININE, ZINC]).sort("pmid")
    assert index["has_abstract"].to_list() == [True, False] and index["is_retracted"].to_list() == [False, True]
    assert source.describe()["formats"] == "1 × PubMed's MEDLINE format (.nbib)"


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("%PDF-1.7", "is a PDF"), ("%PDF-1.7" + " " * (1 << 16), "is a PDF"), ("TY  - JOUR\n", "RIS")],
)
def test_files_that_hold_nothing_are_refused_before_a_run_is_started(tmp_path: Path, text: str, said: str) -> None:
    folder = write(tmp_path / "in", a_nbib=text)
    with pytest.raises(InputError, match=rf"a\.nbib:?.* {said}"):
        check_source(SourceConfig.checked({"files": [folder / "a.nbib"]}))


def test_folders_and_patterns_are_read_and_links_out_of_them_are_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", a_nbib=files.NBIB, b_ris=files.RIS, README_txt="Read me.", c_log="x")
    outside = write(tmp_path / "out", c_txt="90000077\n")
    (folder / "link.txt").symlink_to(outside / "c.txt")
    (folder / "hidden").mkdir()
    (folder / "hidden" / "d.TXT").write_text("90000005")
    assert asked(opened(folder)) == [QUININE, ZINC, 90_000_005]
    for name in ("one", "two"):
        (folder / "hidden" / name).symlink_to(folder)  # which whoever follows them never leaves
    (folder / "hidden" / ".e.txt").write_text("90000006")
    assert asked(opened(folder / "*.r?s")) == [QUININE, ZINC]
    with ends():
        assert asked(opened(folder / "**/d.*")) == [90_000_005]
    assert asked(opened(folder / "**/.*.txt")) == [90_000_006]
    with pytest.raises(InputError, match="no file of records is there"):
        opened(folder / "link.*")
    with pytest.raises(InputError, match="no file of records is there"):
        opened(folder / "*.none")
    with pytest.raises(InputError, match=r"none\.nbib: cannot be read: there is no such file"):
        opened(folder / "none.nbib")


def test_parts_that_are_no_records_are_bounded_as_records_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_RECORDS", 3)
    assert asked(opened(write(tmp_path / "in", a_txt="90000001 x\ny\n") / "a.txt")) == [QUININE]
    with pytest.raises(InputError, match=r"b\.txt:2: holds over 3 records"):
        opened(write(tmp_path / "in", b_txt="90000001 x\ny z\n") / "b.txt")


def test_a_pmid_of_two_files_is_asked_once_by_the_better_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = files.NBIB.replace("20210305", "20230101").replace("Fever fell", "It")
    folder = write(tmp_path / "in", a_nbib=files.NBIB, b_nbib=newer, c_csv=files.PUBMED_CSV, d_txt=files.LIST)
    source = opened(folder)
    assert asked(source)[:2] == [QUININE, ZINC]
    (quinine,) = source.store.get([QUININE])
    assert "It in 50%" in quinine.text
    said = [line for line in caplog.messages if line.startswith(f"PMID {QUININE}")]
    assert said == [f"PMID {QUININE} stands at {folder}/c.csv:2 and at {folder}/b.nbib:1, the one with an abstract, "
                    "which counts"]  # fmt: skip


def test_a_record_without_a_pmid_takes_it_from_the_record_with_its_doi(tmp_path: Path) -> None:
    without = files.ZOTERO_CSV.replace("PMID: 90000001\nPMCID: PMC9900001", "")
    source = opened(write(tmp_path / "in", a_csv=files.PUBMED_CSV, b_csv=without))
    assert asked(source) == [QUININE, ZINC]
    assert [record.text[:7] for record in source.store.get([QUININE])] == ["Malaria"]
    assert source.describe()["without_pmid"] == "1" and source.describe()["converted"] == "1"


def test_what_is_left_out_is_said_with_the_way_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "in", a_ris=files.RIS) / "a.ris"
    assert asked(opened(path)) == [QUININE, ZINC]
    assert f"{path}:34: no PMID and no DOI: A book without any number" in caplog.messages
    table = write(tmp_path / "in", b_csv=files.PUBMED_CSV) / "b.csv"
    source = opened(table)
    config = SourceConfig(files=(table,))
    (said,) = what_source_leaves_out(source.describe(), config, "abstract")
    assert said == (
        "2 records without an abstract: not searched; `passage title+abstract` asks their titles; with `email`, or "
        "NCBI_EMAIL, they come from PubMed"
    )
    assert "without an abstract" not in caplog.text
    (said,) = what_source_leaves_out(source.describe(), config, "title+abstract")
    assert "with `email`" in said and "asks their titles" not in said
    assert not list(what_source_leaves_out(source.describe(), config.changed(email="me@example.org"), "abstract"))
    assert source.ensure([QUININE, ZINC]) == []
    listed = opened(write(tmp_path / "in", c_txt="90000001\n") / "c.txt")
    assert [missing.status for missing in listed.ensure([QUININE])] == [FetchStatus.NOT_FOUND]
    with pytest.raises(InputError, match=r"d.txt:1: none of 1 records has a PMID.*give an e-mail address"):
        opened(write(tmp_path / "in", d_txt="10.9999/own.1\n") / "d.txt")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"mindate": "1999"}, [QUININE]),
        ({"maxdate": "1998-11"}, []),
        ({"maxdate": "1998"}, [ZINC]),
        ({"mindate": "2021-03-05", "datetype": "mdat"}, [QUININE]),
    ],
)
def test_dates_bound_what_is_asked(tmp_path: Path, settings: dict[str, str], wanted: Sequence[int]) -> None:
    path = write(tmp_path / "in", a_nbib=files.NBIB) / "a.nbib"
    assert asked(opened(path, **settings)) == wanted
    with pytest.raises(ConfigError, match="datetype pdat"):
        opened(path, mindate="2000", datetype="edat")


def test_an_old_content_leaves_the_cache_once_nobody_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path / "in", a_nbib=files.NBIB) / "a.nbib"
    first = opened(path)
    path.write_text(files.NBIB.replace("Fever", "It"))
    second = opened(path)
    assert first.store.path.exists() and first.store.path != second.store.path
    gone = first.store.path
    del first
    opened(path)
    assert not gone.exists() and second.store.path.exists()


def test_what_files_lack_comes_from_pubmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = read_records(sorted(SAMPLE.glob("*.xml")))
    known = next(
        a for a in parse_records(min(SAMPLE.glob("*.xml")), name="sample") if isinstance(a, Abstract) and a.doi
    )
    text = f"PMID list\n{known.pmid}\n90000088\n"
    folder = write(tmp_path / "in", a_txt=text, b_nbib=files.NBIB, c_txt=f"doi:{known.doi}\n10.9999/none\n")
    with EutilsServer(records, limit=None, key_limit=None) as server:
        monkeypatch.setenv("BIOQA_EUTILS_URL", server.base_url)
        source = opened(folder / "a.txt", folder / "b.nbib", email="me@example.org")
        missing = source.ensure(asked(source))
        assert [m.pmid for m in missing if m.status is FetchStatus.NOT_FOUND] == [90_000_088]
        assert [bool(a.text) for a in source.store.get([known.pmid])] == [True]
        converted = opened(folder / "c.txt", email="me@example.org")
        assert asked(converted) == [known.pmid]
        assert (converted.describe()["converted"], converted.describe()["without_pmid"]) == ("1", "1")
        listed = open_source(SourceConfig(pmids_file=folder / "c.txt", email="me@example.org"))
        assert isinstance(listed, PmidsSource) and asked(listed) == [known.pmid]
        assert (listed.describe()["converted"], listed.describe()["not_converted"]) == ("1", "1")


def test_a_list_of_pmids_may_be_any_export(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", a_nbib=files.NBIB, b_csv=files.ZOTERO_CSV, c_txt=files.LIST)
    assert read_list(folder / "a.nbib") == (QUININE, ZINC)
    assert read_list(folder / "b.csv") == (QUININE, "10.9999/own.2")
    assert len(read_list(folder / "c.txt")) == 9


def test_a_dry_run_says_what_is_in_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    folder = write(tmp_path / "in", a_nbib=files.NBIB + "\nPMID- x\n", b_ris=files.RIS, README_txt="Words.")
    (folder / "C.XML.BZ2").write_bytes(bz2.compress(files.NBIB.encode()))
    a, b = (os.fspath(folder / name) for name in ("a.nbib", "b.ris"))
    assert describe_files([folder]) == [
        f"{a}: PubMed's MEDLINE format (.nbib): 2 records, 1 with an abstract, 1 without, 1 that cannot be read",
        f"  {a}:51 is left out: its PMID is 'x'",
        f"{b}: RIS: 3 records, 3 with an abstract, 0 without, 1 without a PMID",
        f"not read: {folder}/C.XML.BZ2: is no text: an archive or a file of another program; unpack it, or export it "
        "as text",
        f"not read: {folder}/README.txt: read as a list of identifiers, it holds no PMID, PMCID or DOI",
        f"  PMID {QUININE} stands at {b}:1 and at {a}:1, the newer one, which counts",
        f"  PMID {ZINC} stands at {a}:39 and at {b}:22, the one with an abstract, which counts",
        f"  {b}:34: no PMID and no DOI: A book without any number",
        "in all 2 distinct PMIDs, 0 of them without an abstract; 1 record without a PMID",
    ]
    assert not list((folder.parent).glob("cache/*"))
    assert isinstance(opened(folder), FilesSource)
