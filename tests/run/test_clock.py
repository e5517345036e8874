"""A machine whose clock was put back: times in a data set go on, and what a wrong clock wrote hides nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.run.job import run_job
from support.checkpoints import make_checkpoint
from support.dataset_rows import manifest
from support.small_runs import small_config, write_records


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    write_records(tmp_path / "records")
    return small_config(tmp_path, make_checkpoint(tmp_path / "model", layers=1))


def test_a_run_begins_after_all_that_the_data_set_holds(config: RunConfig, caplog: pytest.LogCaptureFixture) -> None:
    ahead = datetime.now(UTC) + timedelta(days=3)
    dataset = Dataset(config.out)
    with dataset.writer("ahead") as writer:
        writer.finish(manifest("ahead", started_at=ahead - timedelta(hours=1), finished_at=ahead))
    first = run_job(config).manifest
    assert "the clock was put back" in caplog.text
    assert ahead < first.started_at <= first.finished_at < ahead + timedelta(minutes=5)
    [scored] = dataset.answers().collect()["scored_at"].unique()
    assert scored >= first.started_at
    second = run_job(config).manifest
    assert second.started_at > max(first.finished_at, scored)
    assert [run.run_id for run in dataset.runs()] == ["ahead", first.run_id, second.run_id]


def test_a_clock_that_is_right_is_believed(config: RunConfig, caplog: pytest.LogCaptureFixture) -> None:
    before = datetime.now(UTC)
    found = run_job(config).manifest
    assert before <= found.started_at <= found.finished_at <= datetime.now(UTC)
    assert "clock" not in caplog.text


@pytest.mark.parametrize("year", [2099, 9999])
def test_a_time_far_ahead_is_said_and_moves_no_run(
    config: RunConfig, caplog: pytest.LogCaptureFixture, year: int
) -> None:
    dataset = Dataset(config.out)
    before = datetime.now(UTC)
    far = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    soon = before + timedelta(days=3)
    for run_id, time in (("far", far), ("soon", soon)):
        with dataset.writer(run_id) as writer:
            writer.finish(manifest(run_id, started_at=before, finished_at=time))
    found = run_job(config).manifest
    assert f"bears the time {far}" in caplog.text and "30 days ahead" in caplog.text
    assert soon < found.started_at <= found.finished_at < soon + timedelta(minutes=5)
