"""Records that are revised or retracted, between runs and under a run: new content is a new row, all else is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.records.texts import FetchStatus
from bioqa_pipeline.run.executor import Executor
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob
from bioqa_pipeline.sources.medline.source import MedlineSource
from support.medline_folder import Article
from support.small_runs import ARTICLES, small_config, write_records

CHANGES = {
    "retracted": replace(ARTICLES[0], is_retracted=True, revised="2024-02-02"),
    "another version of the same words": replace(ARTICLES[0], version=2, revised="2024-02-02"),
    "revised": replace(ARTICLES[0], text="Artemisinin is the drug that treats malaria.", revised="2024-02-02"),
}


@pytest.mark.parametrize("later", CHANGES.values(), ids=CHANGES)
def test_new_content_is_a_new_row_and_the_old_one_is_history(tmp_path: Path, model: Path, later: Article) -> None:
    config = small_config(tmp_path, model)
    write_records(tmp_path / "records")
    first = run_job(config).manifest
    assert (first.n_scored, first.n_reused) == (3, 0)
    before = Dataset(config.out).answers().collect()

    write_records(tmp_path / "records", [later], number=2)
    second = run_job(config).manifest
    assert (second.n_scored, second.n_reused) == (1, 2)

    dataset = Dataset(config.out)
    rows = dataset.answers().collect()
    assert rows.filter(run_id=first.run_id).sort("pair_id").equals(before.sort("pair_id"))
    [new] = rows.filter(run_id=second.run_id).iter_rows(named=True)
    assert (new["pmid"], new["pmid_version"], new["is_retracted"]) == (11, later.version, later.is_retracted)
    current = dataset.answers(current=True).collect()
    assert dict(current.select("pmid", "run_id").iter_rows()) == {
        11: second.run_id,
        12: first.run_id,
        13: first.run_id,
    }
    again = run_job(config).manifest
    assert (again.n_scored, again.n_reused) == (0, 3)


def test_a_revision_of_what_no_row_shows_costs_nothing(tmp_path: Path, model: Path) -> None:
    config = small_config(tmp_path, model)
    write_records(tmp_path / "records")
    run_job(config)
    write_records(tmp_path / "records", [replace(ARTICLES[0], revised="2024-02-02")], number=2)
    assert run_job(config).manifest.n_scored == 0


def test_a_retracted_record_is_scored_and_counted_as_retracted(tmp_path: Path, model: Path) -> None:
    write_records(tmp_path / "records", [replace(ARTICLES[0], is_retracted=True), *ARTICLES[1:]])
    config = small_config(tmp_path, model, threshold=1e9)
    result = run_job(config)
    assert result.manifest.statuses == {FetchStatus.SCORED: 2, FetchStatus.SCORED_RETRACTED: 1}
    assert {pmid for answer in result.answers for pmid in answer.retracted_pmids} == {11}
    # Reused rows are counted alike.
    assert run_job(config).manifest.statuses == result.manifest.statuses


class Revising(Executor):
    """Brings a record up to date after the plan was made and before it is scored, as another run can."""

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Iterator[ShardReport | ShardError]:
        store = AbstractStore(job.store_path)
        [record] = store.get([11])
        store.add([replace(record, text="Revised since.", date_revised="2024-02-02")], origin="another run")
        yield from super().score(job, shards, progress)


def test_a_record_that_changes_under_a_run_is_not_scored_under_its_old_id(tmp_path: Path, model: Path) -> None:
    write_records(tmp_path / "records")
    config = small_config(tmp_path, model)
    result = run_job(config, executor=Revising())
    assert (result.manifest.status, result.manifest.n_scored, result.manifest.n_failed) == ("partial", 2, 1)
    [failure] = result.failures
    assert "PMID 11" in failure and "changed in the abstract store" in failure
    assert result.manifest.statuses == {FetchStatus.SCORED: 2, FetchStatus.SCORE_ERROR: 1}
    rows = Dataset(config.out).answers().collect()
    assert sorted(rows["pmid"]) == [12, 13]

    config.questions.write_text("What was revised since?", "utf-8")
    assert run_job(config).manifest.n_scored == 1
    [row] = Dataset(config.out).answers().filter(pmid=11).collect().iter_rows(named=True)
    [record] = MedlineSource(tmp_path / "records").store.get([11])
    assert (row["content_hash"], record.text) == (record.content_hash, "Revised since.")
