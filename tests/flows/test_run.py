"""The main job, end to end, over the sample records: as a Prefect flow and without Prefect."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.run.executor import Executor
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import RunResult, ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob
from flows.commands.run import main
from support.small_runs import sample_config

QUESTIONS = "What causes scurvy?\n# a comment\n\nWhich gene is mutated in cystic fibrosis?\nWho discovered insulin?\n"


@pytest.fixture
def config(tmp_path: Path, model: Path) -> RunConfig:
    return sample_config(tmp_path, model, QUESTIONS, most=8, shard_pairs=5)


def committed(config: RunConfig) -> pl.DataFrame:
    return Dataset(config.out).answers().collect().sort("pair_id")


def check_rows(config: RunConfig) -> None:
    """Every answer is the text it points at, and the windows of a pair give its scores."""
    answers = committed(config)
    assert answers["pair_id"].is_unique().all()
    store_texts = texts(config)
    for row in answers.iter_rows(named=True):
        text = store_texts[row["pmid"]]
        assert all(text[s["start"] : s["end"]] == s["text"] for s in row["n_best"])
        assert row["is_answerable"] == (row["score_diff"] is not None and row["score_diff"] <= row["threshold"])
        if row["is_answerable"]:
            assert row["answer"] == text[row["answer_start"] : row["answer_end"]] == row["n_best"][0]["text"]
            assert row["answer"] in row["evidence"]
        else:
            assert row["answer"] is None
        assert text[row["evidence_start"] : row["evidence_end"]] == row["evidence"]
    windows = Dataset(config.out).chunks().collect()
    per_pair = windows.group_by("pair_id").agg(
        pl.len().alias("n"), pl.col("null_score").min(), pl.col("span_score", "margin").max()
    )
    joined = answers.join(per_pair, on="pair_id", suffix="_w")
    assert len(joined) == len(answers)
    assert (joined["n"] == joined["n_windows"]).all()
    for column in ("null_score", "span_score", "margin"):
        assert (joined[column] - joined[f"{column}_w"]).abs().max() < 1e-6


def texts(config: RunConfig) -> dict[int, str]:
    from bioqa_pipeline.sources import open_source

    source = open_source(config.source)
    pmids = committed(config)["pmid"].unique().to_list()
    return {a.pmid: a.text for a in source.store.get(pmids)}


def test_a_run_commits_every_pair_once_and_a_second_one_scores_nothing(config: RunConfig) -> None:
    first = run_job(config)
    manifest = first.manifest
    assert manifest.status == "completed" and not first.failures
    assert manifest.n_scored == manifest.n_pairs == len(committed(config)) > 10
    assert sum(manifest.statuses.values()) >= committed(config)["pmid"].n_unique()
    assert len({a.question_id for a in first.answers}) == manifest.n_questions == 3
    check_rows(config)

    second = run_job(config)
    assert (second.manifest.n_scored, second.manifest.n_reused) == (0, manifest.n_pairs)
    assert second.answers == first.answers
    assert [m.run_id for m in Dataset(config.out).runs()] == [manifest.run_id, second.manifest.run_id]
    assert {p.name for p in config.out.iterdir()} <= {
        "_bioqa.json",
        "_log",
        "answers",
        "chunks",
        "current",
        "summary",
        "runs",
        ".lock",
        "_staging",
    }
    assert not [p for p in (config.out / "_staging").rglob("*") if p.is_file()]


def test_what_one_engine_scored_the_other_does_not_score_again(config: RunConfig, tmp_path: Path) -> None:
    pytest.importorskip("bioqa_pipeline.qa.openvino_engine")
    own = run_job(config)
    model = config.model.model_copy(update={"engine": "openvino"})
    assert run_job(config.model_copy(update={"model": model})).manifest.n_scored == 0
    other = config.model_copy(update={"model": model, "out": tmp_path / "openvino"})
    assert run_job(other).manifest.n_scored == own.manifest.n_scored
    scores = ["null_score", "span_score", "score_diff", "margin"]
    ours, theirs = (committed(c).select("pair_id", "is_answerable", "answer_start", *scores) for c in (config, other))
    assert ours.drop(scores).equals(theirs.drop(scores))
    assert max((ours[s] - theirs[s]).abs().max() for s in scores) < 1e-4


def test_a_new_question_costs_only_its_own_pairs(config: RunConfig) -> None:
    run_job(config)
    before = committed(config)
    config.questions.write_text("Where is insulin made?\n" + QUESTIONS)
    result = run_job(config)
    assert result.manifest.n_reused == len(before)
    assert result.manifest.n_scored == len(committed(config)) - len(before) > 0
    assert committed(config).filter(pl.col("pair_id").is_in(before["pair_id"].implode())).equals(before)


def test_another_threshold_needs_no_scoring_and_changes_the_summary(config: RunConfig) -> None:
    run_job(config)
    none = run_job(config.model_copy(update={"threshold": -1e9}))
    every = run_job(config.model_copy(update={"threshold": 1e9}))
    assert none.manifest.n_scored == every.manifest.n_scored == 0
    assert [a.answer for a in none.answers] == [None] * 3
    assert all(a.answer is not None and a.evidence for a in every.answers)
    summary = Dataset(config.out).summary().filter(run_id=every.manifest.run_id).collect()
    assert summary["n_support"].to_list() == [a.n_support for a in every.answers]


def test_shard_size_does_not_change_a_row(config: RunConfig, tmp_path: Path) -> None:
    run_job(config)
    other = config.model_copy(update={"out": tmp_path / "other", "shard_pairs": 1000})
    run_job(other)
    exact = ["pair_id", "question_id", "pmid", "answer", "answer_start", "evidence", "rank", "is_answerable"]
    assert committed(config).select(exact).equals(committed(other).select(exact))
    for column in ("span_score", "null_score", "margin", "null_log_prob"):
        assert (committed(config)[column] - committed(other)[column]).abs().max() < 1e-4


class FailingExecutor(Executor):
    """Loses the shard in one row group."""

    def score(self, job: ScoringJob, shards: list[ShardPlan], progress: Progress) -> object:  # type: ignore[override]
        from bioqa_pipeline.errors import ShardError

        for shard in shards:
            if shard.row_group == 1:
                yield ShardError("the worker died", shard_id=shard.shard_id)
            else:
                yield from super().score(job, [shard], progress)


def test_a_lost_shard_is_reported_and_the_next_run_takes_it_up(config: RunConfig) -> None:
    first: RunResult = run_job(config, executor=FailingExecutor())
    assert first.manifest.status == "partial"
    assert first.manifest.n_failed == 5
    assert first.manifest.n_scored == first.manifest.n_pairs - 5 == len(committed(config))
    assert first.failures and "the worker died" in first.failures[0]
    second = run_job(config)
    assert (second.manifest.n_scored, second.manifest.n_reused) == (5, first.manifest.n_scored)
    check_rows(config)


def test_a_run_that_breaks_off_leaves_a_manifest_that_says_why(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> ShardReport:
        raise RuntimeError("the machine is on fire")

    monkeypatch.setattr(ScoringJob, "score", broken)
    with pytest.raises(RuntimeError, match="on fire"):
        run_job(config)
    [manifest] = Dataset(config.out).runs()
    assert (manifest.status, manifest.error) == ("failed", "RuntimeError: the machine is on fire")


def command(config: RunConfig, *options: str) -> list[str]:
    return [
        *("--questions", str(config.questions), "--out", str(config.out), "--model", config.model.name),
        *("--max-abstracts", "8", "--shard-pairs", "5", "--device", "cpu", "--precision", "fp32", *options),
    ]


def test_the_command_line_runs_a_prefect_flow(
    config: RunConfig, prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(config)) == 0
    shown = capsys.readouterr()
    assert "What causes scurvy?" in shown.out and str(config.out) in shown.out
    assert "scoring" in shown.err
    check_rows(config)
    assert main(command(config)) == 0
    assert "scored 0 new pairs" in capsys.readouterr().out


def test_without_prefect_the_rows_are_the_same(config: RunConfig, tmp_path: Path, prefect_server: None) -> None:
    assert main(command(config)) == 0
    other = config.model_copy(update={"out": tmp_path / "other"})
    assert main(command(other, "--no-prefect", "--quiet")) == 0
    own = ["run_id", "scored_at"]
    assert committed(config).drop(own).equals(committed(other).drop(own))


def test_a_failed_part_exits_with_1_and_is_named(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bioqa_pipeline.errors import ShardError

    def broken(self: ScoringJob, shard: ShardPlan, progress: Progress | None = None) -> ShardReport:
        raise ShardError("the worker died", shard_id=shard.shard_id)

    monkeypatch.setattr(ScoringJob, "score", broken)
    assert main(command(config, "--no-prefect")) == 1
    shown = capsys.readouterr().out
    assert "the worker died" in shown and "the next run tries again" in shown


def test_the_manifest_and_every_file_hold_the_resolved_configuration(config: RunConfig) -> None:
    import pyarrow.parquet as pq

    result = run_job(config)
    manifest = json.loads((config.out / "runs" / f"{result.manifest.run_id}.json").read_text())
    assert manifest["config"]["threshold"] == 0.0
    assert manifest["config"]["model"]["precision"] == "fp32"
    files = list(config.out.glob("*/*.parquet"))
    assert len(files) > 3
    for file in files:
        metadata = pq.read_schema(file).metadata
        assert json.loads(metadata[b"bioqa.config"]) == manifest["config"]


def test_the_store_of_the_sample_is_not_written_by_a_run(config: RunConfig) -> None:
    from bioqa_pipeline.sources import open_source

    run_job(config)
    store: AbstractStore = open_source(config.source).store
    files = {p: p.stat().st_mtime_ns for p in store.path.rglob("*.parquet")}
    assert files
    run_job(config)
    assert {p: p.stat().st_mtime_ns for p in store.path.rglob("*.parquet")} == files


def test_a_deployed_run_with_a_failed_part_fails_and_keeps_the_rest(
    config: RunConfig, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.run

    monkeypatch.setattr(flows.run, "_executor", lambda config: nullcontext(FailingExecutor()))
    with pytest.raises(flows.run.PartialRunError, match=r"1 failures: .*the worker died.*lost with it: .*PMID"):
        flows.run.run(config)
    state = flows.run.run(config.model_copy(update={"out": config.out.with_name("other")}), return_state=True)
    assert state.is_failed() and "the worker died" in str(state.message)
    [manifest] = Dataset(config.out).runs()
    assert manifest.status == "partial" and manifest.n_scored == len(committed(config)) > 0
    monkeypatch.undo()
    assert flows.run.run(config).n_scored == manifest.n_failed == 5


def test_all_state_is_in_the_data_set(
    config: RunConfig, prefect_server: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever Prefect's database says, or that it is gone: a copy of the folder alone is gone on with."""
    assert main(command(config)) == 0
    scored = committed(config)
    shutil.copytree(config.out, tmp_path / "copy")
    capsys.readouterr()
    copied = config.model_copy(update={"out": tmp_path / "copy"})
    assert main(command(copied, "--no-prefect")) == 0
    assert "scored 0 new pairs" in capsys.readouterr().out
    assert committed(copied).equals(scored)
