"""A data set into tables, spreadsheets and references, each read again by somebody else's reader."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
import rispy
from hypothesis import given, settings
from hypothesis import strategies as st

from bioqa_pipeline.dataset.manifest import RetrievalRecord
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import AnswerRow, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.errors import ConfigError, DatasetError
from bioqa_pipeline.export import spreadsheets
from bioqa_pipeline.export.export import export
from bioqa_pipeline.export.references import as_bibtex, as_ris
from bioqa_pipeline.export.selection import Selection, select
from bioqa_pipeline.export.spreadsheets import as_csv, as_xlsx
from bioqa_pipeline.export.writing import write_target
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import RetrievalOutcome
from bioqa_pipeline.sources.files.bibtex import bibtex_records
from bioqa_pipeline.sources.files.ris import ris_records
from bioqa_pipeline.sources.files.values import FoundRecord
from bioqa_pipeline.text import normalize_text
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest, merged_answer, unanswered_row

FORMULAS = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "＝1+1",
    "%0A=1",
    "|x",
    "-1; =2",
    "\ufeff=1",
    "\u200b=1",
)
HARMLESS = ("-5", "+5.5", "-5.5%", "-1; -2.5", "-1e-05; 3", "5 mg", "a=b", "", "BRCA1", "–5", "'x", "1-2")
STARTED = datetime(2026, 11, 23, tzinfo=UTC)
CHROMOSOME = {"question_id": "q2", "question": "Which chromosome?"}


def commit(dataset: Dataset, run_id: str, rows: Sequence[AnswerRow], merged: Sequence[MergedAnswer], day: int) -> None:
    """The questions as they come in `merged`."""
    asked = dict.fromkeys(answer.question_id for answer in merged)
    searches = tuple(RetrievalRecord(question_id=i, outcome=RetrievalOutcome.OK, hits=1) for i in asked)
    with dataset.writer(run_id) as writer:
        if rows:
            shard = make_shard_id([row.pair_id for row in rows])
            assert isinstance(dataset.storage.location, str)
            write_staged(dataset.storage, run_id, shard, rows, chunk_rows(rows), METADATA)
            writer.commit_shard(shard)
        writer.write_summary(merged, METADATA)
        started = STARTED + timedelta(days=day)
        writer.finish(manifest(run_id, started_at=started, finished_at=started, retrievals=searches))


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A run of two questions, and a later one, first by its name, of the first question alone."""
    dataset = Dataset(tmp_path_factory.mktemp("set") / "answers")
    rows = [
        answer_row(1, title="=HYPERLINK(1)", run_id="r2", mesh_terms=("Genes", "Humans"), answerability=0.5),
        answer_row(2, run_id="r2", answerability=0.9, is_retracted=True, retraction="withdrawn", user_columns=None),
        unanswered_row(3, run_id="r2", **CHROMOSOME),
    ]
    nothing = {"support_pmids": (), "work_pmids": (), "retracted_pmids": (), "variants": (), "best_pmid": None}
    merged = [
        merged_answer(1, answer=None, evidence=None, answerability=0.1, **nothing, **CHROMOSOME),
        merged_answer(1, support_pmids=(2, 1), work_pmids=(2, 1), answerability=0.9),
    ]
    commit(dataset, "r2", rows, merged, 0)
    commit(dataset, "r1", [], [merged_answer(1, answer="brca1", best_pmid=1, support_pmids=(1,), work_pmids=(1,))], 1)
    return dataset


def cells(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_merged_answers_are_those_of_each_questions_newest_run(data_set: Dataset) -> None:
    frame = select(data_set, Selection())
    assert frame.select("question_id", "run_id", "answer").rows() == [("q1", "r1", "brca1"), ("q2", "r2", None)]


def test_questions_come_as_they_were_asked_with_a_word_for_each_probability(data_set: Dataset) -> None:
    frame = select(data_set, Selection(run_id="r2"))
    assert frame.select("question_id", "answer", "strength").rows() == [("q2", None, None), ("q1", "BRCA1", "strong")]
    assert frame.columns[:6] == ["question", "answer", "answerability", "strength", "best_pmid", "title"]
    assert frame.columns[-2:] == ["question_id", "run_id"]
    # The best abstract by name.
    newest = select(data_set, Selection())
    assert newest.select("best_pmid", "title", "pub_year").rows() == [(1, "=HYPERLINK(1)", 1998), (None, None, None)]
    answers = select(data_set, Selection("answers", run_id="r2"))
    assert answers.select("pmid", "strength").rows() == [(3, None), (1, "weak"), (2, "strong")]
    assert select(data_set, Selection("answers"))["pmid"].to_list() == [1, 2, 3]
    columns = ("pmid", "probability", "strength", "answer_probability", "answer_strength")
    evidence = select(data_set, Selection("evidence", run_id="r2", columns=columns)).cast({pl.Float32: pl.Float64})
    assert evidence.rows() == [(2, *[pytest.approx(0.9), "strong"] * 2), (1, 0.5, "weak", pytest.approx(0.9), "strong")]


@pytest.mark.parametrize(
    ("wanted", "pmids"),
    [
        (Selection("answers"), [1, 2, 3]),
        (Selection("answers", questions=("q2",)), [3]),
        (Selection("answers", questions=("GENE?", "chromosome")), [1, 2, 3]),
        (Selection("answers", min_probability=0.6), [2]),
        (Selection("answers", pmids=(3, 1)), [1, 3]),
        (Selection("answers", run_id="r1"), []),
        (Selection("evidence"), [1]),
        (Selection("evidence", run_id="r2"), [2, 1]),
        (Selection("evidence", run_id="r2", pmids=(1,)), [1]),
        (Selection("abstracts", run_id="r2"), [1, 2]),
        (Selection("abstracts", min_probability=0.8), []),
    ],
)
def test_filters(data_set: Dataset, wanted: Selection, pmids: list[int]) -> None:
    assert select(data_set, wanted)["pmid"].to_list() == pmids


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Selection(columns=("anser",)), "`columns anser`: there is no such column; is answer meant"),
        (Selection(run_id="r9"), "`run r9`: the data set has no such run; the newest is r1"),
        (Selection(questions=("Which gen?",)), "`question Which gen\\?`: .*is Which gene\\? meant"),
        (Selection(questions=("",)), "`question `"),
    ],
)
def test_what_is_not_there_is_said(data_set: Dataset, wanted: Selection, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select(data_set, wanted)


def test_a_table_has_flat_cells(data_set: Dataset) -> None:
    found = cells(export(data_set, Selection("answers"), "csv").data)
    first, _, third = found
    assert first["title"] == "'=HYPERLINK(1)" and first["mesh_terms"] == "Genes; Humans"
    assert (first["n_best.text"], first["n_best.score"]) == ("BRCA1; 17", "7.5; 1.5")
    assert first["user_columns.category"] == "génes" and "user_columns" not in first
    assert first["scored_at"] == "2026-11-23T06:30:15.123456Z" and first["score_diff"] == "-8.75"
    assert (third["answer"], third["is_answerable"]) == ("", "false")
    assert list(cells(export(data_set, Selection("answers", columns=("doi", "pmid")), "csv").data)[0]) == [
        "doi",
        "pmid",
    ]


def test_the_same_rows_are_the_same_bytes(data_set: Dataset) -> None:
    for form in ("csv", "xlsx", "ris", "bibtex", "jsonl"):
        first, second = (export(data_set, Selection(), form) for _ in range(2))
        assert first == second and first.n_rows == (1 if form in ("ris", "bibtex") else 2)
    assert export(data_set, Selection(), "csv").data.startswith(b"\xef\xbb\xbfquestion,answer,")
    assert export(data_set, Selection(), "csv", bom=False).data.startswith(b"question,")


def test_json_lines_keep_what_is_nested(data_set: Dataset) -> None:
    lines = export(data_set, Selection("answers"), "jsonl").data.decode().splitlines()
    first = json.loads(lines[0])
    assert first["n_best"][1]["text"] == "17" and first["mesh_terms"] == ["Genes", "Humans"]
    assert first["title"] == "=HYPERLINK(1)" and json.loads(lines[2])["answer"] is None


def sheet(data: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(data)).active


def test_a_spreadsheet_has_numbers_texts_and_no_formula(data_set: Dataset) -> None:
    found = sheet(export(data_set, Selection("answers"), "xlsx").data)
    header, first = ([*row] for row in list(found.iter_rows())[:2])
    by_name = {name.value: cell for name, cell in zip(header, first, strict=True)}
    assert (by_name["title"].value, by_name["title"].data_type) == ("=HYPERLINK(1)", "s")
    assert by_name["title"].quotePrefix and not by_name["journal"].quotePrefix
    assert (by_name["pmid"].value, by_name["score_diff"].value, by_name["is_retracted"].value) == (1, -8.75, False)
    assert by_name["scored_at"].value == datetime(2026, 11, 23, 6, 30, 15, 123000)


@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS])
def test_no_text_is_computed(text: str) -> None:
    frame = pl.DataFrame({"a": [text], "b": [-1.5]})
    (row,) = cells(as_csv(frame, bom=True))
    assert row["a"] == (f"'{text}" if text in FORMULAS else text) and row["b"] == "-1.5"
    cell = sheet(as_xlsx(frame, "s")[0])["A2"]
    assert cell.data_type != "f" and bool(cell.quotePrefix) is (text in FORMULAS)


def test_the_limits_of_a_sheet_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data, notes = as_xlsx(pl.DataFrame({"a": ["🧬" * 20_000, "short"]}), "s")
    value = sheet(data)["A2"].value
    assert len(value.encode("utf-16-le")) // 2 <= 32_767 and value.endswith("🧬…")
    assert notes == ["1 texts were cut at the 32,767 characters that a cell of Excel takes"]
    monkeypatch.setattr(spreadsheets, "MAX_ROWS", 2)
    assert as_xlsx(pl.DataFrame({"a": [1]}), "s")[1] == []
    with pytest.raises(ConfigError, match=r"2 rows of 1 columns are more than .*`format csv`"):
        as_xlsx(pl.DataFrame({"a": [1, 2]}), "s")


def test_references_carry_their_answers(data_set: Dataset) -> None:
    wanted = Selection(run_id="r2")
    ris = export(data_set, wanted, "ris").data.decode()
    first, second = rispy.loads(ris)
    assert ris.startswith("TY  - JOUR\n")
    assert (first["title"], first["accession_number"], first["year"]) == ("=HYPERLINK(1)", "1", "1998")
    assert first["notes"] == ["PMID: 1", "Which gene? – BRCA1 (probability 0.50): “The α-gene is BRCA1.”"]
    assert second["notes"][1] == "Withdrawn."
    bibtex = export(data_set, wanted, "bibtex").data.decode()
    assert bibtex.startswith("@article{pmid1,\n  title = {{=HYPERLINK(1)}},\n") and bibtex.count("@article") == 2
    with pytest.raises(ConfigError, match="leave out `what` and `columns`"):
        export(data_set, Selection("answers"), "ris")


@pytest.mark.parametrize(
    ("name", "ris", "bibtex"),
    [
        ("Makar AB", "Makar, AB", "Makar, AB"),
        ("van der Berg J", "van der Berg, J", "van der Berg, J"),
        ("Ivanov IuA", "Ivanov, IuA", "Ivanov, IuA"),
        ("King ML Jr", "King, ML, Jr", "King, Jr, ML"),
        ("The Group of Ü", "The Group of Ü", "{The Group of Ü}"),
        ("EPIC and DOG", "EPIC and DOG", "{EPIC and DOG}"),
        ("et al.", "et al.", "others"),
    ],
)
def test_surnames_are_told_from_initials(name: str, ris: str, bibtex: str) -> None:
    row = {
        "pmid": 1, "title": "T", "journal": "J", "pub_date": "2019", "pub_year": 2019, "doi": None,
        "is_retracted": False, "authors": [name], "answers": [],
    }  # fmt: skip
    frame = pl.DataFrame([row], schema_overrides={"answers": pl.List(pl.Null)})
    assert f"AU  - {ris}\n" in as_ris(frame) and f"  author = {{{bibtex}}},\n" in as_bibtex(frame)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(TEXTS, st.lists(TEXTS, max_size=3), st.none() | st.floats(width=32, allow_nan=False)), max_size=5
    )
)
def test_csv_comes_back(rows: list[tuple[str, list[str], float | None]]) -> None:
    schema = {"a": pl.String, "b": pl.List(pl.String), "c": pl.Float32}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    again = pl.read_csv(as_csv(frame, bom=True), schema_overrides={"a": pl.String, "b": pl.String, "c": pl.Float32})
    assert again.height == len(rows) or not rows
    for (text, parts, number), found in zip(rows, again.iter_rows(), strict=True):
        for before, after in ((text, found[0] or ""), ("; ".join(parts), found[1] or "")):
            assert after in (before, f"'{before}")
            assert not after.startswith(("=", "@"))
        assert number == found[2]


@settings(max_examples=60)
@given(TEXTS, TEXTS, TEXTS)
def test_references_come_back(title: str, journal: str, answer: str) -> None:
    given_answer = {"question": "Q?", "answer": answer, "probability": 0.5, "evidence": title}
    row = {
        "pmid": 90_000_001, "title": title, "journal": journal, "pub_date": "2019-12-03", "pub_year": 2019,
        "doi": "10.1234/x_(y)", "is_retracted": False, "answers": [given_answer],
    }  # fmt: skip
    frame = pl.DataFrame([row])
    (ris,) = ris_records(as_ris(frame))
    (bibtex,) = bibtex_records(as_bibtex(frame))
    for text, found in ((as_ris(frame), ris), (as_bibtex(frame), bibtex)):
        assert "PMID: 90000001, not in PubMed" in text and isinstance(found, FoundRecord)
        record = found.abstract
        assert (record.pmid, record.pub_date, record.doi) == (90_000_001, "2019-12-03", "10.1234/x_(y)")
        assert (record.title, record.journal) == (normalize_text(title), normalize_text(journal))


def test_a_file_is_written_whole_and_over_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.csv"
    write_target(path, b"one", overwrite=False)
    with pytest.raises(ConfigError, match=r"there is a file already.*`overwrite`"):
        write_target(path, b"two", overwrite=False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(DatasetError, match=r"No space left"):
            write_target(path, b"two", overwrite=True)
    assert path.read_bytes() == b"one" and names(path.parent) == ["a.csv"]
    write_target(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two" and names(path.parent) == ["a.csv"]
    write_target(tmp_path / f"{'a' * 251}.csv", b"as long as a name may be", overwrite=False)
    (tmp_path / "link.csv").symlink_to(path)
    (tmp_path / "set" / "answers").mkdir(parents=True)
    (tmp_path / "set" / "_bioqa.json").write_bytes(b"a data set's")
    (tmp_path / "other").symlink_to(tmp_path / "set" / "answers")
    in_data_set = (
        tmp_path / "set" / "_bioqa.json",
        tmp_path / "set" / "answers" / "a.csv",
        tmp_path / "other" / "a.csv",
    )
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    no_files = (tmp_path / "loop" / "a.csv", tmp_path / ("a" * 300), Path("x\0y"), Path("s3://bucket/a.csv"))
    for wrong in (tmp_path, tmp_path / "link.csv", Path("/dev/null"), path / "below.csv", *in_data_set, *no_files):
        with pytest.raises((ConfigError, DatasetError)):
            write_target(wrong, b"three", overwrite=True)
    assert path.read_bytes() == b"two"
