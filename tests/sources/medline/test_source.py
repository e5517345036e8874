from __future__ import annotations

import gzip
import logging
import multiprocessing
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import bioqa_pipeline.sources.medline.importing as medline_import
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import BioqaError, ConfigError, SourceError
from bioqa_pipeline.records.texts import Abstract, FetchStatus, Missing, Question, RetrievalOutcome
from bioqa_pipeline.sources import open_source
from bioqa_pipeline.sources.medline.files import list_files
from bioqa_pipeline.sources.medline.source import MedlineSource
from bioqa_pipeline.sources.sample import SampleSource
from support.medline_folder import Article, file_xml, import_folder, numbered, write_file, write_md5, write_twin
from support.outside import OutsideMaterial
from support.source_failures import word_of
from support.store_processes import held_pmids
from support.waiting import wait_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def found(source: MedlineSource, question: str, limit: int = 10) -> list[int]:
    return [hit.pmid for hit in source.search(Question("q", question), limit).hits]


def texts(source: MedlineSource) -> dict[int, str]:
    return {a.pmid: a.text for a in source.store.get(held_pmids(source.store))}


def parts(source: MedlineSource) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in source.store.path.rglob("*.parquet")}


TWIN = {1: "Aspirin thins blood.", 2: "Revised wording.", 3: "Warfarin is back.", 4: "", 5: "Zebrafish larvae."}


@pytest.mark.parametrize("workers", [1, 2])
def test_files_are_applied_in_the_order_of_their_numbers(folder: Path, home: Path, workers: int) -> None:
    write_twin(folder)
    source = MedlineSource(folder, home=home, workers=workers)
    assert texts(source) == TWIN
    assert found(source, "What thins blood?") == [1]
    assert found(source, "Which wording was revised?") == [2]
    assert found(source, "zebrafish") == [5]
    assert found(source, "a title", 100) == [1, 2, 3, 5]
    assert source.describe() == {
        "kind": "medline",
        "folder": str(folder),
        "generation": "pubmed99",
        "files": "4",
        "last_file": "pubmed99n0004.xml.gz",
        "abstracts": "4",
        "without_abstract": "1",
        "filters": "",
        "left_out_by_filters": "",
        "bad_records": "0",
        "bad_record_examples": "",
        "not_read": "",
        "import_report": str(home / "pubmed99" / "imports.json"),
        "replaced_generations": "",
        "dates": "",
    }


def test_files_one_by_one_give_the_same_as_all_at_once(folder: Path, home: Path, tmp_path: Path) -> None:
    write_twin(tmp_path / "all")
    for number in (1, 2, 3, 4):
        folder.mkdir(exist_ok=True)
        for name in (numbered(folder, number).name, numbered(folder, number).name + ".md5"):
            (tmp_path / "all" / name).rename(folder / name)
        source = MedlineSource(folder, home=home)
        pmids = [pmid for pmid in held_pmids(source.store) if pmid != 4]
        assert sorted(found(source, "a title", 100)) == pmids
        assert (3 in pmids) == (number != 3)
    assert texts(source) == TWIN
    assert found(source, "What thins blood?") == [1]
    assert found(source, "old") == []


def test_what_was_imported_is_not_read_again(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_twin(folder)
    before = parts(MedlineSource(folder, home=home))
    with monkeypatch.context() as patch:
        patch.setattr(medline_import, "file_md5", None)
        assert parts(MedlineSource(folder, home=home)) == before
    os.utime(numbered(folder, 1))
    with monkeypatch.context() as patch:
        patch.setattr(medline_import, "parse_file", None)
        assert parts(MedlineSource(folder, home=home)) == before
    # An update file whose predecessors were deleted to save space.
    numbered(folder, 1).unlink()
    write_file(numbered(folder, 5), [Article(6)])
    assert texts(MedlineSource(folder, home=home)) == {**TWIN, 6: "Plain words."}


def test_a_changed_file_is_applied_with_all_that_follow(folder: Path, home: Path) -> None:
    write_twin(folder)
    MedlineSource(folder, home=home)
    write_file(numbered(folder, 2), [Article(3, "Newer.", revised="2022-01-01")], deleted=[1])
    source = MedlineSource(folder, home=home)
    assert texts(source) == {pmid: text for pmid, text in TWIN.items() if pmid != 1}
    assert found(source, "aspirin") == []
    assert source.ensure([5, 1, 3, 99, 1]) == [
        Missing(1, FetchStatus.DELETED, "PubMed has deleted the record"),
        Missing(99, FetchStatus.NOT_FOUND, f"no file in {folder} has it"),
    ]


def spoil_gzip(folder: Path) -> None:
    path = numbered(folder, 3)
    path.write_bytes(path.read_bytes()[:-20])
    write_md5(path)


def spoil_content(folder: Path) -> None:
    path = numbered(folder, 3)
    path.write_bytes(gzip.compress(file_xml([Article(9)]).encode()))


def spoil_md5(folder: Path) -> None:
    numbered(folder, 3).with_name("pubmed99n0003.xml.gz.md5").write_text("<html>404</html>")


def spoil_xml(folder: Path) -> None:
    write_file(numbered(folder, 3), ["<PubmedArticle>"])


def lose_file(folder: Path) -> None:
    numbered(folder, 3).unlink()


def double_number(folder: Path) -> None:
    write_file(folder / "updatefiles" / "pubmed99n0003.xml.gz", [])


@pytest.mark.parametrize(
    ("spoil", "kind", "n_imported", "workers"),
    [
        (spoil_gzip, "bad_xml", 2, 1),
        (spoil_content, "bad_md5", 2, 1),
        (spoil_content, "bad_md5", 2, 2),
        (spoil_md5, "bad_md5", 2, 1),
        (spoil_xml, "bad_xml", 2, 1),
        (lose_file, "gap", 0, 1),
        (double_number, "two_files", 0, 1),
    ],
)
def test_a_bad_file_stops_the_import_and_is_named(
    folder: Path, home: Path, spoil: Callable[[Path], None], kind: str, n_imported: int, workers: int
) -> None:
    write_twin(folder)
    spoil(folder)
    with pytest.raises(SourceError, match=r"pubmed99n0003\.xml\.gz") as caught:
        MedlineSource(folder, home=home, workers=workers)
    assert word_of(caught.value) == kind
    kept = held_pmids(AbstractStore(home / "pubmed99"))
    assert kept == ([1, 2, 3, 4] if n_imported else [])
    for path in folder.rglob("pubmed99n0003*"):
        path.unlink()
    write_twin(folder)
    assert texts(MedlineSource(folder, home=home)) == TWIN


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (b"<!-- \xe9 --><PubmedArticleSet>", ": byte 0xe9 is not UTF-8 (after"),
        (b'<?xml version="1.0" encoding="latin1"?><PubmedArticleSet>', "is in the encoding 'latin1', not in UTF-8"),
        (b"\xff\xfe<\0P\0", "is no XML in UTF-8, it starts with"),
    ],
    ids=["byte", "declared", "utf-16"],
)
def test_a_file_in_another_encoding_is_named_with_the_way_out(
    folder: Path, home: Path, spoiled: bytes, said: str
) -> None:
    folder.mkdir()
    content = file_xml([Article(1)]).encode()
    (folder / "mine.xml").write_bytes(spoiled + content[content.index(b"<PubmedArticle>") :])
    with pytest.raises(SourceError) as caught:
        MedlineSource(folder, home=home)
    assert str(caught.value).startswith(f"{folder / 'mine.xml'}: ") and said in str(caught.value)
    assert "save it as UTF-8, or move it out of the folder" in str(caught.value)


def test_other_records_in_the_folder(folder: Path, home: Path) -> None:
    write_twin(folder)
    (folder / "more").mkdir()
    (folder / "more" / "mine.xml").write_text(file_xml([Article(90, "Mine."), Article(2, "Older than revised.")]))
    (folder / os.fsdecode(b"\xff.xml")).write_text(file_xml([Article(91, "Odd name.")]))
    source = MedlineSource(folder, home=home)
    assert texts(source) == {**TWIN, 90: "Mine.", 91: "Odd name."}
    assert list(medline_import.ImportState.load(source.store).files)[-2:] == ["more/mine.xml", "?.xml"]


def test_without_numbers_a_changed_folder_is_imported_anew(folder: Path, home: Path) -> None:
    folder.mkdir()
    (folder / "a.xml").write_text(file_xml([Article(1, "One."), Article(2, "Two.")]))
    first = MedlineSource(folder, home=home)
    (folder / "b.xml").write_text(file_xml([Article(3, "Three.")]))
    second = MedlineSource(folder, home=home)
    assert second.store.path == first.store.path
    assert texts(second) == {1: "One.", 2: "Two.", 3: "Three."}
    (folder / "a.xml").write_text(file_xml([Article(1, "One again.")]))
    third = MedlineSource(folder, home=home)
    assert texts(third) == {1: "One again.", 3: "Three."}
    (folder / "b.xml").unlink()
    assert texts(MedlineSource(folder, home=home)) == {1: "One again."}
    # The first two are still read here, the third as well.
    assert texts(first) == {1: "One.", 2: "Two.", 3: "Three."}
    del first, second, third
    last = MedlineSource(folder, home=home)
    assert [path.name for path in home.iterdir() if path.is_dir()] == [last.store.path.name]


def test_a_new_year_replaces_everything(
    folder: Path, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "mine").mkdir(parents=True)
    (home / "pubmed24").mkdir()
    (home / "pubmed24" / "thesis.docx").touch()
    (tmp_path / "elsewhere").mkdir()
    (home / "pubmed23").symlink_to(tmp_path / "elsewhere")
    write_file(numbered(folder, 1, year=25), [Article(1, "Old year."), Article(2)])
    assert sorted(texts(MedlineSource(folder, home=home))) == [1, 2]
    write_file(numbered(folder, 1, year=26), [Article(1, "New year.")])
    with caplog.at_level(logging.WARNING):
        source = MedlineSource(folder, home=home)
    assert texts(source) == {1: "New year."}
    assert source.describe()["replaced_generations"] == "pubmed25"
    assert "files of pubmed25 are left out" in caplog.text
    assert "pubmed26 has replaced everything imported as pubmed25" in caplog.text
    assert not (home / "pubmed25").exists()
    # Only what it has made itself is deleted.
    assert (home / "mine").is_dir() and (home / "pubmed23").is_symlink()
    assert [path.name for path in (home / "pubmed24").iterdir()] == ["thesis.docx"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_no_file_of_the_folder_is_named_and_not_read(
    folder: Path, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_file(folder / "real.xml.gz", [Article(1)])
    elsewhere = write_file(tmp_path / "elsewhere" / "x.xml.gz", [Article(2)])
    (folder / "sub").mkdir()
    (folder / "sub" / "inside.xml.gz").symlink_to(Path("..", "real.xml.gz"))
    (folder / "outside.xml.gz").symlink_to(elsewhere)
    (folder / "dangling.xml").symlink_to(folder / "nowhere")
    (folder / "loop.xml").symlink_to(folder / "loop.xml")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.xml")
    with caplog.at_level(logging.WARNING):
        source = MedlineSource(folder, home=home)
    assert (texts(source).keys(), source.describe()["files"]) == ({1}, "2")
    reasons = (
        "dangling.xml (it leads to nothing), loop.xml (it leads to nothing), "
        "outside.xml.gz (a link that leads out of the folder), pipe.xml (a named pipe)"
    )
    assert f"{folder}: 4 paths are not read: {reasons}" in caplog.text
    assert source.describe()["not_read"] == f"4 paths: {reasons}"
    (folder / "real.xml.gz").unlink()
    with pytest.raises(SourceError, match=r"no \*.xml or \*.xml.gz file in it; not read: dangling.xml"):
        MedlineSource(folder, home=home)


def test_suffixes_count_without_case_and_other_formats_are_named(
    folder: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_file(folder / "PUBMED99N0001.XML.GZ", [Article(1)])
    write_file(folder / "pubmed99n0002.xml.gz", [Article(2)])
    (folder / "ONE.XML").write_text(file_xml([Article(3)]))
    for name in ("three.xml.zip", "Four.NBIB", "five.csv", "six.json", "seven.tar.gz", "nine.pdf"):
        (folder / name).write_bytes(b"whatever")
    (folder / "eight.txt").write_text("\n\nPMID- 97\nTI  - x\n")
    (folder / "README.txt").write_text("PubMed's files\n")
    (folder / "questions.txt").write_text("What is PMID short for?\n")
    with caplog.at_level(logging.WARNING):
        source = MedlineSource(folder, home=home)
    assert (texts(source).keys(), source.describe()["files"]) == ({1, 2, 3}, "3")
    not_read = (
        "7 paths: Four.NBIB (no PubMed XML; save the records as XML), eight.txt (no PubMed XML; save the records as "
        "XML), five.csv (no PubMed XML; save the records as XML), nine.pdf (a document; save the "
        "records as XML), seven.tar.gz (an archive; unpack it) and 2 more"
    )
    assert source.describe()["not_read"] == not_read and "7 paths are not read: Four.NBIB" in caplog.text
    for name in ("PUBMED99N0001.XML.GZ", "pubmed99n0002.xml.gz", "ONE.XML"):
        (folder / name).unlink()
    with pytest.raises(SourceError, match=r"no \*.xml or \*.xml.gz file in it; not read: Four.NBIB"):
        MedlineSource(folder, home=home)


def test_the_xml_in_a_zip_is_read_and_what_cannot_be_is_named(
    folder: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    with zipfile.ZipFile(folder / "Saved.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../b/TWO.XML", file_xml([Article(2), Article(103, "bad \x0b char")]))
        archive.writestr("one.xml.gz", gzip.compress(file_xml([Article(1), "<PubmedArticle/>"]).encode()))
        archive.writestr("__MACOSX/._one.xml", b"\0")
        archive.writestr("photo.png", b"x")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.writestr("photo.png", b"x")
    (folder / "broken.zip").write_bytes(b"PK\3\4 and no more")
    locked = bytearray((folder / "Saved.ZIP").read_bytes())
    for at in range(len(locked) - 4):
        if locked[at : at + 4] == b"PK\1\2":
            locked[at + 8] |= 1
    (folder / "locked.zip").write_bytes(locked)
    source = MedlineSource(folder, home=home)
    assert texts(source).keys() == {1, 2}
    assert source.describe()["not_read"] == (
        "3 paths: broken.zip (an archive that cannot be read; unpack it), locked.zip (an archive with a password; "
        "unpack it), photos.zip (an archive without *.xml)"
    )
    assert (
        source.describe()["bad_records"] == "2" and "PMID 103 (Saved.ZIP)" in source.describe()["bad_record_examples"]
    )
    assert "record 2 (PMID 103)" in caplog.text and "record 4 (PMID None)" in caplog.text
    assert not (folder.parent.parent / "b").exists()


def test_a_zip_that_unpacks_to_very_much_ends_as_a_broken_file(folder: Path, home: Path) -> None:
    folder.mkdir()
    head = file_xml([Article(1)]).removesuffix("</PubmedArticleSet>\n")
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.xml", head + "<PubmedArticle>" + " " * (20 << 20))
    with pytest.raises(SourceError, match=r"bomb.zip, x.xml: more than 16,777,216 bytes without the end of a record"):
        MedlineSource(folder, home=home)
    data = bytearray((folder / "bomb.zip").read_bytes())
    data[200] ^= 0xFF
    (folder / "bomb.zip").write_bytes(data)
    with pytest.raises(SourceError, match=r"bomb.zip"):
        MedlineSource(folder, home=home)


def test_a_record_that_breaks_the_xml_is_named_and_the_rest_is_read(
    folder: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b.xml").write_text(file_xml([Article(102), Article(103, "bad \x0b char"), Article(104)]))
    (folder / "c.xml").write_text(file_xml([Article(105)]))
    with caplog.at_level(logging.WARNING):
        source = MedlineSource(folder, home=home)
    assert texts(source).keys() == {102, 104, 105}
    assert "record 2 (PMID 103) is left out: its XML is broken: PCDATA invalid Char value 11" in caplog.text
    assert source.describe()["bad_records"] == "1" and "PMID 103 (a/b.xml)" in source.describe()["bad_record_examples"]
    (missing,) = source.ensure([102, 103, 104])
    assert (missing.pmid, missing.status) == (103, FetchStatus.PARSE_ERROR) and "its XML is broken" in missing.reason


@pytest.mark.parametrize("name", ["real.xml.gz", "real.xml.gz.md5"])
def test_a_pipe_that_takes_the_place_of_a_listed_file_is_not_waited_for(folder: Path, home: Path, name: str) -> None:
    write_file(folder / "real.xml.gz", [Article(1)])
    listing = list_files(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    store = AbstractStore(home)
    with pytest.raises(BioqaError, match="it is a named pipe, not a regular file"):
        medline_import.import_files(folder, listing, store, medline_import.ImportState({}))


def test_bad_records_are_counted_with_their_reasons(folder: Path, home: Path) -> None:
    broken = Article(8).xml().replace("<Article ", "<Particle ").replace("</Article>", "</Particle>")
    nameless = Article(8).xml().replace('<PMID Version="1">8</PMID>', "")
    write_file(numbered(folder, 1), [Article(1), broken, nameless])
    source = MedlineSource(folder, home=home)
    described = source.describe()
    assert described["bad_records"] == "2"
    assert "PMID 8 (pubmed99n0001.xml.gz)" in described["bad_record_examples"]
    (missing,) = source.ensure([8, 1])
    assert (missing.pmid, missing.status) == (8, FetchStatus.PARSE_ERROR)
    assert "pubmed99n0001.xml.gz" in missing.reason
    # The same is known without another import.
    assert MedlineSource(folder, home=home).describe()["bad_records"] == "2"


def test_lost_parts_are_imported_again(folder: Path, home: Path) -> None:
    write_twin(folder)
    source = MedlineSource(folder, home=home)
    for lost in sorted((source.store.path / "parts").iterdir())[1::2]:
        lost.unlink()
    again = MedlineSource(folder, home=home)
    assert texts(again) == TWIN
    assert found(again, "a title", 100) == [1, 2, 3, 5]


def test_errors_before_anything_is_imported(folder: Path, home: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        MedlineSource(folder, home=home)
    folder.mkdir()
    with pytest.raises(SourceError, match=r"no \*\.xml"):
        MedlineSource(folder, home=home)
    write_twin(folder)
    with pytest.raises(ConfigError, match="datetype"):
        MedlineSource(folder, home=home, config=SourceConfig(mindate=date(2020, 1, 1), datetype="edat"))
    home.write_text("")
    with pytest.raises(SourceError, match="BIOQA_CACHE"):
        MedlineSource(folder, home=home)


def test_searches(folder: Path, home: Path) -> None:
    articles = [Article(i, f"Aspirin thins blood, study {i}.") for i in range(1, 9)]
    articles += [Article(20, "Aspirin. " * 30), Article(21, "Zebrafish.", title="Aspirin")]
    write_file(numbered(folder, 1), articles)
    source = MedlineSource(folder, home=home)
    retrieval = source.search(Question("q7", "Does aspirin thin blood?"), 3)
    assert (retrieval.question_id, retrieval.outcome) == ("q7", RetrievalOutcome.OK)
    assert [(hit.rank, hit.pmid) for hit in retrieval.hits] == [(1, 21), (2, 1), (3, 2)]
    assert [attempt.term for attempt in retrieval.attempts] == ["aspirin thin blood"]
    assert source.search(Question("q", "What is it?"), 3).outcome is RetrievalOutcome.NO_HITS
    assert source.search(Question("q", "Unheard-of words?"), 3).outcome is RetrievalOutcome.NO_HITS
    failed = source.search(Question("q", "x", query="aspirin[tiab]"), 3)
    assert failed.outcome is RetrievalOutcome.FAILED and "PubMed" in (failed.error or "")


@pytest.mark.parametrize(
    "text", ["zebrafish AND NOT (", 'text:"zebrafish', "pmid:0 zebrafish", "*", "zebrafish^5 [", "part:1"]
)
def test_no_text_is_read_as_a_query(folder: Path, home: Path, text: str) -> None:
    write_twin(folder)
    source = MedlineSource(folder, home=home)
    assert found(source, text) == ([5] if "zebrafish" in text else [])


def test_dates(folder: Path, home: Path) -> None:
    articles = [Article(i, published=str(2000 + i), revised=f"20{10 + i}-06-01") for i in range(1, 6)]
    write_file(numbered(folder, 1), articles)

    def opened(since: datetime | None = None, **dates: Any) -> MedlineSource:
        return MedlineSource(folder, SourceConfig(**dates), home=home, since=since)

    assert found(opened(mindate=date(2002, 1, 1), maxdate=date(2004, 1, 1)), "plain words") == [2, 3, 4]
    assert found(opened(mindate=date(2002, 1, 2)), "plain words") == [3, 4, 5]
    assert found(opened(maxdate=date(2012, 5, 31), datetype="mdat"), "plain words") == [1]
    now = datetime.now(UTC)
    assert found(opened(since=now + timedelta(minutes=1)), "plain words") == []
    write_file(numbered(folder, 2), [replace(articles[0], text="Plain words, new.", revised="2022-01-01")])
    assert found(opened(since=now), "plain words") == [1]
    assert found(opened(since=now - timedelta(minutes=5)), "plain words", 2) == [2, 3]


def test_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOQA_CACHE", str(tmp_path))
    source = SampleSource()
    assert int(source.describe()["abstracts"]) > 50
    (record,) = source.store.get([90000048])
    assert (record.version, source.name, source.store.path.parents[1]) == (2, "sample", tmp_path / "sample")
    monkeypatch.setattr("bioqa_pipeline.sources.sample.SAMPLE", tmp_path / "other")
    with pytest.raises(SourceError, match="sample"):
        SampleSource()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.xml").write_text(file_xml([Article(1)]))
    assert held_pmids(SampleSource().store) == [1]
    assert held_pmids(source.store)[0] == 90000001


def test_dates_hold_for_the_sample_too() -> None:
    question = Question(id="q", text="Which patients and which treatment?")
    found = [open_source(SourceConfig(mindate=day)).search(question, 50).hits for day in (None, date(2010, 1, 1))]
    assert len(found[0]) > len(found[1]) > 0
    with pytest.raises(ValidationError, match="`sort pub_date`"):
        SourceConfig(sort="pub_date")


N_FILES, N_ARTICLES = 8, 200


def write_many(folder: Path) -> dict[int, str]:
    """Files that revise and delete each other's records; returns what must be there in the end."""
    expected: dict[int, str] = {}
    for number in range(1, N_FILES + 1):
        pmids = range(number * 100, number * 100 + N_ARTICLES)
        articles = [Article(pmid, f"File {number}.", revised=f"20{number + 10}-01-01") for pmid in pmids]
        deleted = list(range(number * 100, number * 100 + 20))
        write_file(numbered(folder, number), articles, deleted)
        expected |= dict.fromkeys(pmids, f"File {number}.")
        for pmid in deleted:
            del expected[pmid]
    return expected


@pytest.fixture
def importer(folder: Path, home: Path) -> Iterator[Callable[[int], multiprocessing.process.BaseProcess]]:
    started = []

    def start(workers: int) -> multiprocessing.process.BaseProcess:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=import_folder, args=(folder, home, workers))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def workers_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    children = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == pid:
                children.append(int(entry.name))
    return children


def test_a_killed_import_goes_on_where_it_was(
    folder: Path, home: Path, importer: Callable[[int], multiprocessing.process.BaseProcess]
) -> None:
    expected = write_many(folder)
    store = AbstractStore(home / "pubmed99")
    process = importer(2)
    while len(store.parts()) < 3:
        assert process.is_alive()
        time.sleep(0.002)
    assert process.pid is not None
    children = workers_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert {a.text for a in store.get(held_pmids(store))} < {f"File {number}." for number in range(1, N_FILES + 1)}
    source = MedlineSource(folder, home=home, workers=1)
    assert texts(source) == expected
    assert len(store.parts()) == N_FILES
    assert len(found(source, "file", 10_000)) == len(expected)
    # Parsing processes do not outlive the importer that started them.
    assert len(children) >= 2
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "their end")


def test_two_importers_at_once(
    folder: Path, home: Path, importer: Callable[[int], multiprocessing.process.BaseProcess]
) -> None:
    expected = write_many(folder)
    both = [importer(1), importer(1)]
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    source = MedlineSource(folder, home=home)
    assert texts(source) == expected
    assert len(source.store.parts()) == N_FILES


def test_a_crash_between_commit_and_report_changes_nothing(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_twin(folder)

    class CrashError(BaseException):
        pass

    def crash(*_: object) -> None:
        raise CrashError

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(medline_import.ImportState, "save", crash)
            with pytest.raises(CrashError):
                MedlineSource(folder, home=home)
    source = MedlineSource(folder, home=home)
    assert texts(source) == TWIN
    assert len(source.store.parts()) == 4


def test_records_keep_all_that_the_files_say(test_data: OutsideMaterial, home: Path, tmp_path: Path) -> None:
    """Real records come out of the store as the parser read them."""
    from bioqa_pipeline.pubmed.xml import parse_records

    path = test_data.file("pubmed/records/pubmed-records-1.xml.gz")
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / path.name).write_bytes(path.read_bytes())
    source = MedlineSource(folder, home=home, workers=1)
    parsed = {r.pmid: r for r in parse_records(path, name="x") if isinstance(r, Abstract)}
    assert {a.pmid: a for a in source.store.get(list(parsed))} == parsed
    assert len(parsed) > 700


def test_a_name_in_capitals_is_not_the_word_that_reads_like_it(folder: Path, home: Path) -> None:
    articles = [
        Article(1, "All broken arms in children were caused by falls; no child was lost.", title="All falls"),
        Article(2, "ALL is caused by a fusion gene in many young patients."),
        Article(3, "In WAS the gene WASP carries mutations."),
        Article(4, "NO relaxes vessels.", title="Vessels"),
        Article(5, "The gene CFTR was mutated in all children with no exception."),
    ]
    write_file(numbered(folder, 1), articles)
    source = MedlineSource(folder, home=home, workers=1)
    assert found(source, "What causes ALL in children?") == [2]
    assert found(source, "Which gene is mutated in WAS?") == [3]
    assert found(source, "By way of what does NO relax?") == [4]
    assert found(source, "What do NO and ALL do in children?", 2) == [4, 2]
    assert {*found(source, "Which gene is mutated in WHO?")} == {2, 3, 5}  # nobody names it
