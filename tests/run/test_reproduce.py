"""A run scored again: the same bits wherever its rows lie, and each thing that can be other is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.compaction import compact
from bioqa_pipeline.dataset.quarantine import quarantine
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import CheckpointError, ConfigError, ShardError, SourceError
from bioqa_pipeline.run.executor import Executor
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.reproduce import Reproduction, reproduce
from bioqa_pipeline.run.score import ScoringJob
from bioqa_pipeline.run.workers import Pooled
from flows.commands.reproduce import main
from support.checkpoints import make_checkpoint
from support.medline_folder import Article
from support.paths import TESTS
from support.small_runs import ARTICLES, QUESTION, small_config, write_records

OLD = TESTS / "data" / "dataset_da5435d"
# Of several windows each, so that windows of several lengths share batches.
LONG = Article(14, "A drug treats malaria. " + "No drug treats malaria in the heart or the liver. " * 90)
QUESTIONS = (QUESTION, "Which malaria treats a drug?")


@pytest.fixture
def config(tmp_path: Path, model: Path) -> RunConfig:
    write_records(tmp_path / "records", [*ARTICLES, LONG])
    return small_config(tmp_path, model, *QUESTIONS, shard_pairs=3)


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def counts(found: Reproduction) -> dict[str, tuple[str, ...]]:
    return {f"{table}.{column}": why for table, column, why in found.differences.counts}


def test_it_comes_out_to_the_bit_wherever_its_rows_lie(
    tmp_path: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run_job(config).manifest.run_id
    assert len(list((tmp_path / "out" / "answers").iterdir())) > 1
    before = contents(tmp_path / "out")
    found = reproduce(Dataset(config.out), run_id)
    assert found.is_same and not found.causes and not found.notes
    assert (found.n_pairs, found.n_chosen, found.n_scored) == (8, 8, 8) and found.n_windows > 10
    assert contents(tmp_path / "out") == before

    # A run with pairs of its own and others that were there.
    config.questions.write_text("\n".join([*QUESTIONS, "Where is malaria?"]), "utf-8")
    second = run_job(config).manifest
    assert second.n_scored == 4 and compact(Dataset(config.out).storage)
    assert [reproduce(Dataset(config.out), name).n_scored for name in (run_id, second.run_id)] == [8, 4]
    assert main(["--data-set", str(config.out), "--run", run_id, "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "8 of 8 pairs scored again" in lines[0] and lines[1:] == ["the same bits in every column"]


class Interrupted(Executor):
    """Ctrl-C behind the first shard."""

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Generator[ShardReport | ShardError]:
        yield job.score(shards[0], progress)
        raise KeyboardInterrupt


def test_an_interrupted_run_says_what_it_scored_and_comes_out(config: RunConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_job(config, executor=Interrupted())
    dataset = Dataset(config.out)
    [run] = dataset.runs()
    rows = dataset.answers().collect()
    assert (run.status, run.n_scored) == ("failed", len(rows)) == ("failed", 3)
    assert run.n_windows == len(dataset.chunks().collect())
    assert run.cost is not None and run.cost.engines == ("torch",) and run.cost.seconds > 0
    found = reproduce(dataset, run.run_id)
    assert found.is_same and found.n_scored == 3 and not found.causes
    assert found.notes == ("summary: not compared, for the run broke off",)


def test_a_run_that_goes_on_keeps_its_engine(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bioqa_pipeline.qa.openvino_engine")
    monkeypatch.setattr("bioqa_pipeline.qa.engines.OPENVINO_PAYS", 8)
    config = config.changed(model=config.model.changed(engine="auto"))
    with pytest.raises(KeyboardInterrupt):
        run_job(config, executor=Interrupted())
    rest = run_job(config)
    assert rest.manifest.n_scored == 5 < 8 == rest.manifest.n_pairs
    engines = [run.cost.engines for run in Dataset(config.out).runs() if run.cost]
    assert engines == [("openvino",), ("openvino",)]


@pytest.mark.slow
def test_a_run_on_two_workers_comes_out_on_one(config: RunConfig) -> None:
    run_id = run_job(config, executor=Pooled(2)).manifest.run_id
    assert reproduce(Dataset(config.out), run_id).is_same


def test_some_pairs_are_chosen_by_their_seed(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run_job(config).manifest.run_id
    dataset = Dataset(config.out)
    some = ["--data-set", str(config.out), "--run", run_id, "--quiet", "--limit", "3"]
    assert main(some) == 0
    not_compared = "summary: not compared, for --limit takes 3 of 8 pairs"
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"note: {not_compared}",
        "the same bits in every column of answers and chunks",
    ]
    alter(Path(str(config.out)), "answers", lambda t: nudged(t, "null_score", range(t.num_rows)))

    def chosen(seed: int) -> set[str]:
        found = reproduce(dataset, run_id, limit=3, seed=seed)
        assert (found.n_pairs, found.n_chosen, found.n_scored) == (8, 3, 3)
        return found.differences.pair_ids

    assert main([*some, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["notes"] == [not_compared]
    assert chosen(0) == chosen(0) and len(chosen(0)) == 3 and len({frozenset(chosen(n)) for n in range(5)}) > 1


def alter(root: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Changes rows by hand, and the log with them, so that no digest tells."""
    for path in sorted((root / table).glob("*.parquet")):
        old = pq.read_table(path)
        changed = change(old)
        pq.write_table(changed.replace_schema_metadata(old.schema.metadata), path)
        record(root, path)


def record(root: Path, path: Path) -> None:
    name, data = path.relative_to(root).as_posix(), path.read_bytes()
    for entry in sorted((root / "_log").iterdir()):
        said = json.loads(entry.read_text("utf-8"))
        for file in said["files"]:
            if file["path"] == name:
                file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        text = json.dumps(said).encode()
        entry.unlink()
        kind = entry.name.partition("-")[0]
        (root / "_log" / f"{kind}-{hashlib.sha256(text).hexdigest()}.json").write_bytes(text)


def put(table: pa.Table, column: str, values: list[Any]) -> pa.Table:
    field = table.schema.field(column)
    return table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))


def nudged(table: pa.Table, column: str, rows: range) -> pa.Table:
    """A last bit."""
    values = table[column].to_numpy().copy()
    values[list(rows)] = np.nextafter(values[list(rows)], np.float32(np.inf))
    return put(table, column, values.tolist())


def first(table: pa.Table, column: str, value: Any) -> pa.Table:
    return put(table, column, [value, *table[column].to_pylist()[1:]])


BY_HAND: dict[str, tuple[str, Callable[[pa.Table], pa.Table]]] = {
    "answers.null_score": ("answers", lambda t: nudged(t, "null_score", range(1))),
    "answers.answer": ("answers", lambda t: first(t, "answer", "aspirin")),
    "answers.n_best": ("answers", lambda t: first(t, "n_best", t["n_best"].to_pylist()[0][:-1])),
    "answers.title": ("answers", lambda t: first(t, "title", "Another title")),
    "answers.pair_id": ("answers", lambda t: first(t, "question", "Which drug heals malaria?")),
    "chunks.span_logsumexp": ("chunks", lambda t: nudged(t, "span_logsumexp", range(1))),
    "chunks.window_index": ("chunks", lambda t: t.slice(1)),
    "answers.rows": ("answers", lambda t: t.slice(1)),
    "summary.support_pmids": ("summary", lambda t: first(t, "support_pmids", [99])),
    "summary.margin": ("summary", lambda t: nudged(t, "margin", range(1))),
    "summary.rank": ("summary", lambda t: t.slice(0, t.num_rows - 1)),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, str]:
    """A folder with a run's data set and records, to be copied, and the run."""
    folder = tmp_path_factory.mktemp("written")
    write_records(folder / "records", [*ARTICLES, LONG])
    return folder, run_job(small_config(folder, model, *QUESTIONS)).manifest.run_id


@pytest.mark.parametrize("what", BY_HAND)
def test_a_value_that_was_changed_by_hand_is_named(tmp_path: Path, written: tuple[Path, str], what: str) -> None:
    folder, run_id = written
    table, change = BY_HAND[what]
    copy = Path(shutil.copytree(folder / "out", tmp_path / "copy"))
    alter(copy, table, change)
    found = reproduce(Dataset(copy), run_id)
    assert not found.causes and what in counts(found)
    why = {"answers.title": "revised_record", "answers.pair_id": "changed_row", "answers.rows": "lost_rows"}
    assert counts(found)[what] == (why.get(what, "unexplained"),)
    # Another question is other tokens as well.
    assert len(found.differences.pair_ids) == (what != "answers.rows" and table != "summary")
    assert what == "answers.pair_id" or sum(found.differences.counts.values()) == 1


def test_a_file_that_was_changed_by_hand_is_refused(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run_job(config).manifest.run_id
    quiet = run_job(config).manifest.run_id
    assert main(["--data-set", str(config.out), "--run", quiet, "--quiet"]) == 0
    assert f"run {quiet} scored no pair of its own" in capsys.readouterr().out
    [path, *_] = (Path(str(config.out)) / "chunks").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert main(["--data-set", str(config.out), "--run", run_id, "--quiet"]) == 2
    assert path.name in capsys.readouterr().err


def test_rows_that_were_set_aside_are_said(
    tmp_path: Path, written: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run_id = written
    copy = Path(shutil.copytree(folder / "out", tmp_path / "copy"))
    # A value of the summary, too, which has no pair: it cannot be merged again without them.
    alter(copy, "summary", BY_HAND["summary.margin"][1])
    command = ["--data-set", str(copy), "--run", run_id, "--quiet"]
    assert main(command) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "differs: 1 value of the summary"
    alter(copy, "answers", BY_HAND["answers.null_score"][1])
    assert main(command) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "differs: 1 value of 1 pair, 1 value of the summary"
    [path] = (copy / "answers").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    quarantine(Dataset(copy).storage)
    assert main(command) == 1
    lines = capsys.readouterr().out.splitlines()
    assert ": 0 of 8 pairs scored again (0 pieces of text)" in lines[0]
    assert lines[1].startswith("note: summary: 2 questions not compared, ")
    assert "the run: answers.rows: 8 then, 0 now (lost_rows)" in lines
    assert lines[-1] == "differs: the number of the run's pairs"


@pytest.mark.parametrize("option", ["--limit", "--show"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "9" * 5000])
def test_what_is_no_number_of_pairs_is_said_in_plain_words(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--data-set", "d", "--run", "r", f"{option}={value}"])
    assert f"argument {option}: give a whole number from 1 on, not '{value}'" in capsys.readouterr().err


def test_a_revised_record_is_taken_as_it_was_while_the_store_has_it(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run_job(config).manifest.run_id
    write_records(tmp_path / "records", [replace(ARTICLES[0], text="Of fever.", revised="2024-02-02")], number=2)
    found = reproduce(Dataset(config.out), run_id)
    assert found.is_same and found.n_scored == 8
    note, left_out = found.notes
    assert note.startswith("revised or deleted since") and note.endswith("PMID 11")
    assert left_out.startswith("summary: 2 questions not compared")

    # Where only the files of today are, it is not to be had; neither is one that no file has any more.
    shutil.rmtree(tmp_path / "records")
    retracted = replace(LONG, is_retracted=True)
    write_records(tmp_path / "records", [replace(ARTICLES[0], text="Of fever."), ARTICLES[1], retracted])
    monkeypatch.setenv("BIOQA_CACHE", str(tmp_path / "other cache"))
    found = reproduce(Dataset(config.out), run_id)
    assert found.n_scored == 2 and not found.causes
    assert {(d.pmid, d.column, d.why) for d in found.differences.first} == {
        (11, "content_hash", ("revised_record",)),
        (13, "content_hash", ("missing_record",)),
        (LONG.pmid, "content_hash", ("retracted_since",)),
    }
    assert len(found.differences.pair_ids) == 6
    assert "no file in" in next(d.now for d in found.differences.first if d.pmid == 13)


def test_another_model_in_its_place_is_named_and_the_same_one_elsewhere_is_the_same(
    tmp_path: Path, config: RunConfig, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Path(shutil.copytree(model, tmp_path / "model"))
    run_id = run_job(config.changed(model=config.model.changed(name=str(place)))).manifest.run_id
    shutil.rmtree(place)
    with pytest.raises(CheckpointError, match="no such folder"):
        reproduce(Dataset(config.out), run_id)
    assert main(["--data-set", str(config.out), "--run", run_id, "--quiet"]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert reproduce(Dataset(config.out), run_id, model=str(model)).is_same

    make_checkpoint(place, layers=1, seed=1)
    found = reproduce(Dataset(config.out), run_id)
    assert [cause.why for cause in found.causes] == ["model"]
    assert {"answers.pair_id", "answers.scoring_key", "answers.null_score", "chunks.null_score"} <= counts(found).keys()
    assert set(counts(found).values()) == {("model",)}
    assert main(["--data-set", str(config.out), "--run", run_id, "--quiet", "--json", "--show", "3"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["same"], said["differing_pairs"], len(said["differences"])) == (False, 8, 3)
    assert said["causes"][0]["why"] == "model" and sum(c["values"] for c in said["counts"]) > 3


def test_what_the_manifest_says_of_then_is_a_cause(tmp_path: Path, config: RunConfig) -> None:
    run_id = run_job(config).manifest.run_id
    path = Path(str(config.out)) / "runs" / f"{run_id}.json"
    said = json.loads(path.read_text("utf-8"))
    said["cost"] |= {"processors": ["Another CPU"], "engines": ["torch, not compiled"]}
    said["versions"] |= {"torch": "1.0", "bioqa": "0.0.1"}
    said["config"]["model"]["device"] = "cuda"
    said["config"]["scoring"]["spans"]["max_answer_length"] = 3
    path.write_text(json.dumps(said), "utf-8")
    record(Path(str(config.out)), path)
    found = reproduce(Dataset(config.out), run_id)
    whys = [cause.why for cause in found.causes]
    assert whys == ["settings", "engine", "device", "processor", "engine_version", "bioqa_version"]
    assert "`device cuda`: this machine has no such device" in found.notes[0]
    assert set(counts(found).values()) == {tuple(whys)}


def test_a_run_that_is_not_there_or_scored_nothing_is_said(config: RunConfig) -> None:
    run_id = run_job(config).manifest.run_id
    empty = run_job(config).manifest
    assert empty.n_scored == 0
    for name in (empty.run_id, "nope", "../x"):
        with pytest.raises(ConfigError, match=rf"run {name}`?:? .*; these runs scored pairs: {run_id}$"):
            reproduce(Dataset(config.out), name)


def test_a_data_set_of_an_early_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its manifest knows no costs; its paths are relative, and its rows lack what came since."""
    monkeypatch.chdir(OLD)
    before = contents(OLD)
    for run_id, n in (("20261126T235020Z-9f9bd0", 4), ("20261126T235046Z-55f233", 1)):
        found = reproduce(Dataset("dataset"), run_id)
        assert (found.n_scored, len(found.differences.pair_ids)) == (n, n)
        # Its checkpoint was never calibrated: what earlier versions wrote as a probability was none.
        assert counts(found)["answers.answerability"] == ("bioqa_version",)
        assert [cause.then for cause in found.causes if cause.why == "processor"] == ["not recorded"]
        assert "no such columns" in found.notes[0] and "mesh_terms" in found.notes[0]
        assert found.notes[-1] == "summary: not compared, for the version that wrote the run merged otherwise"
        # Scores as near as another processor can be; where they are other, that is why.
        others = {why for column, why in counts(found).items() if column != "answers.answerability"}
        assert all("processor" in why for why in others)
        moved = [d for d in found.differences.first if isinstance(d.then, float) and d.now is not None]
        assert all(d.now == pytest.approx(d.then, abs=1e-3) for d in moved)
    assert contents(OLD) == before
    monkeypatch.chdir(OLD.parent)
    with pytest.raises(SourceError, match="records: no such folder"):
        reproduce(Dataset(OLD / "dataset"), run_id, model=str(OLD / "checkpoint"))
