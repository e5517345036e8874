"""What a run makes of its questions: the user's own columns, queries, long questions, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.records.texts import Question
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.long_questions import long_question_notes
from bioqa_pipeline.run.preflight import preflight
from support.checkpoints import make_checkpoint
from support.small_runs import QUESTION, small_config, write_records


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model") / "model", layers=1)


def test_own_columns_and_notes_reach_answers_summary_manifest_and_page(tmp_path: Path, model: Path) -> None:
    write_records(tmp_path / "records")
    asked = tmp_path / "q.csv"
    asked.write_text(f"id;question;category;notes;\n1;1. {QUESTION};tropical;<b>génes</b>;\n2;What is malaria?;;;\n")
    config = small_config(tmp_path, model, questions=asked)
    result = run_job(config)
    assert not result.failures

    dataset = Dataset(config.out)
    own = {"category": "tropical", "notes": "<b>génes</b>"}
    for frame in (dataset.answers().collect(), dataset.summary().collect()):
        said = dict(frame.select("question_id", "user_columns").iter_rows())
        assert json.loads(said["1"]) == own and said["2"] is None
    category = pl.col("user_columns").str.json_path_match("$.category")
    assert dataset.answers().filter(category == "tropical").collect()["question_id"].unique().to_list() == ["1"]
    files = f"{config.out}/answers/*.parquet"
    query = f"SELECT DISTINCT question_id FROM '{files}' WHERE user_columns->>'category' = 'tropical'"
    assert duckdb.sql(query).fetchall() == [("1",)]

    notes = (
        'list marks taken off before questions: 1 (line 2 "1.")',
        "columns of your own, kept with the answers: category, notes",
    )
    assert result.manifest.notes == dataset.run(result.manifest.run_id).notes == notes
    page = next((tmp_path / "out" / "runs").glob("2*.html")).read_text("utf-8")
    assert "list marks taken off" in page and "kept with the answers: category, notes" in page
    assert "<bdi>category</bdi>: <bdi>tropical</bdi>" in page and "&lt;b&gt;génes" in page and "<b>génes" not in page

    # Asked again with other values, nothing is scored again, and the summary has the new ones.
    asked.write_text(asked.read_text().replace("tropical", "fever"))
    again = run_job(config)
    assert again.manifest.n_scored == 0
    newest = dataset.summary().filter(run_id=again.manifest.run_id, question_id="1").collect()
    assert json.loads(newest["user_columns"][0])["category"] == "fever"


LONG = "What is it that " + "the doctor who saw the heart of the man in the ward says of " * 8 + "treats {}?"


def test_names_that_pubmed_reads_as_everyday_words_are_said(tmp_path: Path, model: Path) -> None:
    lines = ["What causes relapse in ALL?", QUESTION]
    (note,) = preflight(small_config(tmp_path, model, *lines, source={"kind": "pubmed"})).notes
    assert 'finds as everyday words (ALL, WHO): 1 (line 1 "What causes relapse in ALL?")' in note
    assert not preflight(small_config(tmp_path, model, *lines, source={"kind": "sample"})).notes


def test_a_long_question_is_said_with_its_end_and_so_are_two_that_are_one(tmp_path: Path, model: Path) -> None:
    write_records(tmp_path / "records")
    lines = [LONG.format("malaria"), QUESTION, LONG.format("scurvy")]
    config = small_config(tmp_path, model, *lines)
    ready = preflight(config)
    part, same = ready.notes
    most = ready.checkpoint.settings.windows.max_query_length
    assert part.startswith(f"2 asked in part, for the model reads the first {most} tokens of a question: line 1 (")
    assert '("What is it that the doctor' in part and 'is read up to "… ' in part and "; line 3 (" in part
    assert "tokens, so that they get the same answers: line 1 (" in same and "line 3 (" in same
    said = list(ready.introduction())
    assert sum("asked in part" in line or "same answers" in line for line in said) == 2

    result = run_job(config)
    assert result.manifest.notes == ready.notes
    (page,) = (tmp_path / "out" / "runs").glob("2*.html")
    assert "asked in part" in page.read_text("utf-8")

    with pytest.raises(InputError, match=r"q\.txt: 2 asked in part.*; shorten them, or set `long_questions ask`"):
        preflight(config.changed(long_questions="refuse"))
    assert not preflight(small_config(tmp_path, model, long_questions="refuse")).notes


def test_the_cut_is_where_the_model_stops_reading(model: Path) -> None:
    tokenizer = open_checkpoint(str(model)).tokenizer()
    text = "What is the drug that treats malaria in the heart?"
    n = len(tokenizer([text])[0])
    asked = [Question("a", text), Question("b", text.replace("heart?", "heart")), Question("c", text + " Really?")]
    assert long_question_notes(asked, tokenizer, n) == [
        f'1 asked in part, for the model reads the first {n} tokens of a question: c ("{text} Really?") has '
        f'{len(tokenizer([text + " Really?"])[0])} and is read up to "… {text[-30:]}"',
        f"one question to the model, which reads their first {n} tokens, so that they get the same answers: "
        f'a ("{text}"), c ("{text} Really?")',
    ]
    assert long_question_notes(asked[:2], tokenizer, n) == []


@pytest.mark.parametrize(
    ("source", "text", "query", "note"),
    [
        ("pubmed", "scurvy[ti] AND vitamin", "scurvy[ti] AND vitamin", "sent as they are: 1 (line 1"),
        ("medline", "scurvy[ti] AND vitamin", None, "Source medline looks for their words"),
        ("medline", "Who has scurvy AND rickets?", None, None),
    ],
)
def test_a_query_in_the_place_of_a_question(
    tmp_path: Path, model: Path, source: str, text: str, query: str | None, note: str | None
) -> None:
    folder = {"medline_dir": tmp_path} if source == "medline" else {}
    ready = preflight(small_config(tmp_path, model, text, source={"kind": source, **folder}))
    assert [(q.text, q.query) for q in ready.questions.questions] == [(text, query)]
    assert any(note in said for said in ready.notes) if note else not ready.notes


@pytest.mark.parametrize(
    ("source", "lines", "message"),
    [
        ("pubmed", "exp Scurvy/ and child$.ti,ab.", r"q\.txt:1: .*\"Scurvy\"\[mh\] AND child\*\[tiab\]"),
        ("sample", "question,query\nWhat?,scurvy[ti]", r"q\.csv:2: .* source sample searches by itself"),
        ("pubmed", "question,query\nWhat?,#1 AND #2", r"q\.csv:2: .*#1, #2: the number of an earlier search"),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused(
    tmp_path: Path, model: Path, source: str, lines: str, message: str
) -> None:
    asked = tmp_path / ("q.csv" if lines.startswith("question,") else "q.txt")
    config = small_config(tmp_path, model, source={"kind": source}).changed(questions=asked)
    asked.write_text(lines + "\n")
    with pytest.raises(InputError, match=message):
        preflight(config)
