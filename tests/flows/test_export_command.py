"""From an exported file and questions to a page and a table, as a newcomer does it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.dataset.log import LogReader
from bioqa_pipeline.dataset.manifest import FileRecord
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.storage.places import storage_at
from flows import report
from flows.commands import export, run
from support.checkpoints import make_checkpoint

DRUGS = {"malaria": "quinine", "pain": "aspirin", "diabetes": "metformin", "scurvy": "vitamin C", "diarrhoea": "zinc"}


def nbib(n_records: int) -> str:
    """So many records in PubMed's MEDLINE format."""
    records = []
    for number in range(n_records):
        disease, drug = list(DRUGS.items())[number % len(DRUGS)]
        records.append(
            f"PMID- {90_000_001 + number}\nOWN - NLM\nSTAT- MEDLINE\nDP  - 2019 Dec 3\n"
            f"TI  - {drug.capitalize()} for {disease}: trial {number}.\n"
            f"LID - 10.9999/own.{number} [doi]\nAB  - BACKGROUND: The treatment of {disease} is old. CONCLUSION: The\n"
            f"      drug that treats {disease} is {drug}.\nLA  - eng\nPT  - Journal Article\nJT  - Journal of our own\n"
        )
    return "\r\n".join("\n".join(records).split("\n"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newcomer's folder after the first command."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "export.nbib").write_text(nbib(50), newline="")
    (folder / "questions.txt").write_text("".join(f"What treats {disease}?\n" for disease in DRUGS))
    model = make_checkpoint(folder / "model", layers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BIOQA_CACHE", str(folder / "cache"))
        options = ["--questions", "questions.txt", "--files", "export.nbib", "--out", "answers", "--no-prefect"]
        assert run.main([*options, "--model", str(model), "--threshold", "100", "--device", "cpu"]) == 0
    return folder


def test_the_first_command_asks_every_record_every_question(folder: Path) -> None:
    [page] = (folder / "answers" / "runs").glob("*Z-*.html")
    assert "<h1>Answers from your records, " in page.read_text("utf-8")
    answers = Dataset(folder / "answers").answers().collect()
    assert len(answers) == 50 * len(DRUGS) and answers["pmid"].n_unique() == 50
    assert set(answers["journal"]) == {"Journal of our own"}


def test_the_second_command_makes_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert export.main(["--data-set", "answers", "--out", "answers.csv"]) == 0
        assert "rows of merged as csv, answers.csv" in capsys.readouterr().err
        table = pl.read_csv("answers.csv")
        assert set(table["question"]) == {f"What treats {disease}?" for disease in DRUGS}
        assert export.main(["--data-set", "answers", "--out", "answers.csv"]) == 2
        assert "error: --out answers.csv: there is a file already; name another one, or add --overwrite" in (
            capsys.readouterr().err
        )


def test_what_stands_now_is_a_table_with_what_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        [run_id] = Dataset("answers").run_ids()
        for run_options in ([], ["--run", run_id]):
            assert export.main(["--data-set", "answers", "--what", "current", "--out", "-", *run_options]) == 0
            table = pl.read_csv(capsys.readouterr().out.encode())
            assert set(table["question"]) == {f"What treats {disease}?" for disease in DRUGS}
            assert set(table["change"]) == {"new"} and set(table["why"]) == {"new_question"}
            assert set(table["first_run_id"]) == {run_id}


def test_what_is_exported_is_read_in_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for form in ("ris", "bibtex", "csv"):
            asked = ["--what", "abstracts", "--out", f"again.{form}", "--overwrite"]
            assert export.main(["--data-set", "answers", *asked]) == 0
            capsys.readouterr()
            options = ["--questions", "questions.txt", "--files", f"again.{form}", "--dry-run"]
            assert run.main(options) == 0
            assert "distinct PMIDs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            ["--out", "x.txt"],
            2,
            "its name ends with none of .csv, .xlsx, .ris, .bib, .bibtex, .jsonl, .ndjson; give --format",
        ),
        (["--out", "-", "--format", "xlsx"], 2, "--out -: a spreadsheet is no text"),
        (["--out", "-", "--columns", "anser"], 2, "--columns anser: there is no such column; is answer meant?"),
        (["--out", "-", "--question", "xyz"], 2, "--question xyz: the data set asks none"),
        (["--out", "-", "--min-probability", "2"], 2, "--min-probability 2.0: give a number from 0 to 1"),
        (["--out", "-", "--data-set", "nowhere"], 2, "nowhere: there is no data set here"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    folder: Path, options: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert export.main(["--data-set", "answers", *options]) == code
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def forge(data_set: Path, table: str, forged: Callable[[pa.Table], bytes]) -> str:
    """Other bytes in place of a file, and their digest in the log."""
    [path, *_] = (data_set / table).glob("*.parquet")
    path.write_bytes(forged(pq.read_table(path)))
    for name, entry in LogReader(storage_at(data_set)).read(str(Dataset(data_set).id())).entries.items():
        files = [(record, (data_set / record.path).read_bytes()) for record in entry.files]
        written = entry.changed(files=tuple(FileRecord.of(r.path, data, r.rows) for r, data in files)).encode()
        (data_set / name).unlink()
        (data_set / written[0]).write_bytes(written[1])
    return str(path)


def renumbered(table: pa.Table) -> bytes:
    data = io.BytesIO()
    numbers = pa.array(range(len(table)))
    pq.write_table(table.set_column(table.schema.get_field_index("question"), "question", numbers), data)
    return data.getvalue()


@pytest.mark.parametrize("table", ["answers", "summary", "current"])
@pytest.mark.parametrize(
    ("forged", "said"),
    [(renumbered, "question"), (lambda table: b"PAR1 and so on", "Parquet"), (lambda table: b"", "Parquet")],
    ids=["type", "garbage", "empty"],
)
def test_a_file_that_is_forged_with_its_log_is_named_in_one_line(
    folder: Path,
    tmp_path: Path,
    table: str,
    forged: Callable[[pa.Table], bytes],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(folder / "answers", tmp_path / "forged")
    path = forge(tmp_path / "forged", table, forged)
    commands = [(export.main, ["--out", "-", "--what", "merged" if table == "summary" else table])]
    commands += [(report.main, [])] if table != "summary" else []
    for main, options in commands:
        assert main(["--data-set", str(tmp_path / "forged"), *options]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"error: {path}: ") and said in err and err.count("\n") == 1


def test_standard_output_is_the_table_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--what", "answers", "--pmid", "90000001", "--question", "malaria", "--columns", "pmid,question"]
    assert export.main(["--data-set", str(folder / "answers"), *options, "--out", "-"]) == 0
    assert capsys.readouterr().out == "pmid,question\n90000001,What treats malaria?\n"
