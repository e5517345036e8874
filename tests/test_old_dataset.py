"""A data set that an older version wrote is read, is not scored again and is added to; see its README.

Commit da5435d wrote it. Whatever makes a test here fail breaks the data sets that people have.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.config import ModelConfig, RunConfig, ScoringConfig, SourceConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS, SCHEMA_VERSION, SUMMARY, TABLES, make_pair_id
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.dataset.tables import file_metadata
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.run.job import run_job
from support.paths import TESTS

OLD = TESTS / "data" / "dataset_da5435d"
SCORING_KEY = "0e1faf9721d1dab088bff1ddd8eccc83"
DIGEST = "35ec5542d10e9c57569d26dd901f178a1fea53d893163ec125f1969afffc31c9"
SCURVY, MADE, FORMED = (
    "Which vitamin deficiency causes scurvy?",
    "Where is insulin made?",
    "Where is insulin formed?",
)
ONE, TWO, THREE = (
    "877d3faec64daaa4f12de536c644f94e",
    "19cde1dfb94677e69ce0f81367ace663",
    "4493d38e52260fa9c5ec04f680722778",
)
# Pair id, question, PMID, content hash, answer.
ROWS = [
    ("2bd1d82e9aa3dfb238b9a032f9b7b943", SCURVY, 90800001, ONE, "lemons in 1747"),
    ("953327af6cf06056fb048fb608b0a25a", FORMED, 90800002, TWO, "causes diabetes"),
    ("bf48dc725589a97f02bcb0b76a92f12e", SCURVY, 90800002, TWO, "by the pancreas. Its"),
    ("c2bee42b58d8863cf8076abb30111b4d", MADE, 90800002, TWO, "is made by the pancreas. Its"),
    ("d1145816fb4dc4f1024db391a425b3aa", SCURVY, 90800003, THREE, "causes disease 44. Sentence 45 says"),
]
NULL_SCORES = [-13.611992, -13.608231, -13.605830, -13.606828, -13.632514]
QUESTION_IDS = {SCURVY: "q-e4abb28885", MADE: "q-0c1a6a7240", FORMED: "q-e51b9f32b1"}
RUNS = ["20261126T235020Z-9f9bd0", "20261126T235046Z-55f233"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy, to be written to."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def config(folder: Path, *more: str) -> RunConfig:
    """The run that wrote its last part, with further questions."""
    questions = folder / "questions.txt"
    questions.write_text("".join([questions.read_text("utf-8"), *(f"{question}\n" for question in more)]), "utf-8")
    return RunConfig(
        questions=questions,
        out=folder / "dataset",
        model=ModelConfig(name=str(folder / "checkpoint"), device="cpu", precision="fp32", engine="torch"),
        source=SourceConfig(kind="medline", medline_dir=folder / "records", max_abstracts=3),
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All files of the data set but the lock."""
    root = folder / "dataset"
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.glob("[acrs]*/*") if p.is_file()}


def old_files(table: Table) -> list[Path]:
    return sorted((OLD / "dataset" / table.name).glob("*.parquet"))


def test_its_rows_are_read_as_they_were_written() -> None:
    dataset = Dataset(OLD / "dataset")
    answers = dataset.answers().collect().sort("pair_id")
    assert answers.columns == ANSWERS.schema.names
    assert list(answers.select("pair_id", "question", "pmid", "content_hash", "answer").iter_rows()) == ROWS
    assert answers["null_score"].to_list() == pytest.approx(NULL_SCORES, abs=1e-6)
    assert dict(answers.select("question", "question_id").iter_rows()) == QUESTION_IDS
    assert answers["n_windows"].to_list() == [1, 1, 1, 1, 11]
    assert answers["threshold"].unique().to_list() == [1.5]
    assert set(answers["scoring_key"]) == {SCORING_KEY}
    best = [spans[0] for spans in answers["n_best"]]
    assert [(s["text"], s["start"], s["end"]) for s in best] == list(
        answers.select("answer", "answer_start", "answer_end").iter_rows()
    )
    assert dataset.answers(current=True).collect().height == 5


def test_its_windows_summaries_and_manifests_are_read() -> None:
    dataset = Dataset(OLD / "dataset")
    windows = dataset.chunks().collect()
    assert windows.columns == CHUNKS.schema.names
    counts = dict(windows.group_by("pair_id").len().iter_rows())
    assert counts == {row[0]: 11 if row[2] == 90800003 else 1 for row in ROWS}
    lowest = dict(windows.group_by("pair_id").agg(pl.col("null_score").min()).iter_rows())
    assert lowest == dict(dataset.answers().select("pair_id", "null_score").collect().iter_rows())
    summary = dataset.summary().collect()
    assert summary.columns == SUMMARY.schema.names
    assert summary.group_by("run_id").len().sort("run_id").rows() == [(run_id, 4) for run_id in RUNS]
    assert summary.filter(run_id=RUNS[1], question=FORMED)["answer"].to_list() == ["causes diabetes"]
    first, second = dataset.runs()
    assert [first.run_id, second.run_id] == RUNS
    assert [(m.status, m.n_scored, m.n_reused, m.scoring_key) for m in (first, second)] == [
        ("completed", 4, 0, SCORING_KEY),
        ("completed", 1, 3, SCORING_KEY),
    ]
    assert first.model["digest"] == DIGEST
    # Its settings are settings still.
    assert RunConfig.model_validate(second.config).threshold == 1.5


# Said in other words since, and of the same meaning.
IN_PLAIN_WORDS = frozenset(
    "answer n_windows span_score null_score span_log_prob null_log_prob margin n_best pair_id window_index char_start "
    "char_end n_tokens best_start best_end span_logsumexp".split()
)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_schemas_are_those_of_today(table: Table) -> None:
    for path in old_files(table):
        schema = pq.read_schema(path)
        same = [field for field in table.schema if field.name in schema.names]
        assert all(field.nullable for field in table.schema if field.name not in schema.names)
        for found, ours in zip(schema, same, strict=True):
            # Null where a checkpoint has no calibration, since; rows of before always hold a number.
            became_nullable = ours.name == "answerability"
            assert (found.name, found.type, found.nullable or became_nullable) == (ours.name, ours.type, ours.nullable)
            if ours.name not in IN_PLAIN_WORDS:
                assert ours.metadata[b"description"].startswith(found.metadata[b"description"])
        metadata = file_metadata(schema)
        assert metadata.keys() == {"config", "schema_version", "table"}
        assert (metadata["schema_version"], metadata["table"]) == (str(SCHEMA_VERSION), table.name)
        assert RunConfig.model_validate(json.loads(metadata["config"]))
        assert [name for name in schema.metadata if name.startswith(b"bioqa.")] == [
            b"bioqa.config",
            b"bioqa.schema_version",
            b"bioqa.table",
        ]


def test_the_ids_and_keys_are_those_of_today() -> None:
    checkpoint = open_checkpoint(str(OLD / "checkpoint"))
    assert checkpoint.digest == DIGEST and checkpoint.settings.score_diff_threshold == 1.5
    scoring = ScoringConfig(windows=checkpoint.settings.windows)
    key = scoring.key(checkpoint_digest=checkpoint.digest, precision="fp32", schema_version=SCHEMA_VERSION)
    assert key == SCORING_KEY
    for pair_id, question, pmid, content_hash, _ in ROWS:
        assert make_pair_id(QUESTION_IDS[question], question, pmid, content_hash, key) == pair_id


def test_nothing_of_it_is_scored_again(folder: Path) -> None:
    before = contents(folder)
    result = run_job(config(folder))
    assert (result.manifest.n_scored, result.manifest.n_reused, result.manifest.n_windows) == (0, 4, 0)
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    new = {name.partition("/")[0] for name in after.keys() - before.keys()}
    assert new == {"summary", "runs", "current"}
    old = Dataset(OLD / "dataset").summary().filter(run_id=RUNS[1]).drop("run_id").collect()
    ours = Dataset(folder / "dataset").summary().filter(run_id=result.manifest.run_id).drop("run_id").collect()
    # Its checkpoint was never calibrated: what earlier versions wrote as a probability was none.
    assert ours["answerability"].null_count() == ours.height
    assert old["outcome"].null_count() == old.height and set(ours["outcome"]) == {"answered"}
    # Answers are ordered in another way now.
    assert ours["work_pmids"].to_list() == ours["support_pmids"].to_list()
    later = ["answerability", "outcome", "rank", "user_columns", "work_pmids"]
    by = ["question_id", "question", "answer"]
    assert ours.drop(later).sort(by).equals(old.drop(later).sort(by))


def test_what_is_added_is_read_together_with_it(folder: Path) -> None:
    before = contents(folder)
    result = run_job(config(folder, MADE, "What was cured with lemons?"))
    assert not result.failures
    n_new = result.manifest.n_scored
    # The question of the first run is asked again, and its pair is there.
    assert (n_new, result.manifest.n_reused) == (result.manifest.n_pairs - 5, 5) and n_new >= 1
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    new = Dataset(folder / "dataset").answers().filter(run_id=result.manifest.run_id).collect()
    assert new.height == n_new and set(new["question"]) == {"What was cured with lemons?"}

    pair_ids = sorted([*(row[0] for row in ROWS), *new["pair_id"]])
    pattern = str(folder / "dataset" / "answers" / "*.parquet")
    # Files of this version have columns that older ones lack; the first file's are taken here.
    everything = pl.scan_parquet(pattern, missing_columns="insert", extra_columns="ignore").collect()
    assert sorted(everything["pair_id"]) == pair_ids
    ours = Dataset(folder / "dataset").answers().collect()
    assert everything.sort("pair_id").equals(ours.select(everything.columns).sort("pair_id"))
    for table in TABLES:
        # One schema for all files: pyarrow refuses to put others together.
        found = pads.dataset(folder / "dataset" / table.name, format="parquet", schema=table.schema).to_table()
        assert found.num_rows == sum(pq.read_metadata(p).num_rows for p in (folder / "dataset" / table.name).iterdir())
    query = f"SELECT pair_id, answer, n_best[1].text FROM '{pattern}' WHERE is_answerable ORDER BY pair_id"
    rows = duckdb.sql(query).fetchall()
    assert [row[0] for row in rows] == pair_ids and all(answer == best for _, answer, best in rows)


def test_today_it_would_be_written_as_it_was(folder: Path, tmp_path: Path) -> None:
    """The same run from nothing: ids and answers to the letter, scores as near as another processor can be."""
    new = config(folder, MADE).model_copy(update={"out": tmp_path / "new"})
    assert run_job(new).manifest.n_scored == 5
    old, ours = (Dataset(p).answers().collect().sort("pair_id") for p in (OLD / "dataset", tmp_path / "new"))
    scores = ["span_score", "null_score", "score_diff", "span_log_prob", "null_log_prob", "margin"]
    later = set(ours.columns) - set(pq.read_schema(old_files(ANSWERS)[0]).names)
    assert all(old[name].null_count() == old.height for name in later)
    own = ["n_best", "model", "run_id", "scored_at", "answerability", *scores, *later]
    assert ours["answerability"].null_count() == ours.height
    assert ours.drop(own).equals(old.drop(own))
    for name in scores:
        assert ours[name].to_list() == pytest.approx(old[name].to_list(), abs=1e-3)
