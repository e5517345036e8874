"""Which row of a revised record is the current one, and that nobody commits without the lock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import AnswerRow, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import DatasetError
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest, merged_answer

EARLY = datetime(2026, 1, 1, tzinfo=UTC)


def stage(root: Path, run_id: str, rows: list[AnswerRow]) -> str:
    shard_id = make_shard_id([row.pair_id for row in rows])
    write_staged(root, run_id, shard_id, rows, chunk_rows(rows), METADATA)
    return shard_id


def commit(root: Path, *rows: AnswerRow) -> None:
    for number, row in enumerate(rows):
        with Dataset(root).writer(f"run-{number}") as writer:
            assert writer.commit_shard(stage(root, writer.run_id, [row]))


def current(root: Path) -> list[str]:
    return Dataset(root).answers(current=True).collect()["content_hash"].to_list()


def test_the_row_that_was_scored_last_is_current_whatever_its_version(tmp_path: Path) -> None:
    commit(
        tmp_path / "set",
        answer_row(1, content_hash="z-second-version", pmid_version=2, scored_at=EARLY),
        answer_row(1, content_hash="a-first-version", pmid_version=1, scored_at=EARLY + timedelta(microseconds=1)),
    )
    assert current(tmp_path / "set") == ["a-first-version"]


def test_of_rows_of_one_moment_the_higher_version_is_current(tmp_path: Path) -> None:
    commit(
        tmp_path / "set",
        answer_row(1, content_hash="a-second-version", pmid_version=2, scored_at=EARLY),
        answer_row(1, content_hash="z-first-version", pmid_version=1, scored_at=EARLY),
    )
    assert current(tmp_path / "set") == ["a-second-version"]


STEPS: dict[str, Callable[[DatasetWriter, str], object]] = {
    "commit_shard": lambda writer, shard: writer.commit_shard(shard),
    "write_summary": lambda writer, shard: writer.write_summary([merged_answer(1)], METADATA),
    "write_page": lambda writer, shard: writer.write_page("<p>"),
    "finish": lambda writer, shard: writer.finish(manifest("run")),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_writer_that_lost_its_lock_writes_nothing_more(tmp_path: Path, step: str) -> None:
    root = tmp_path / "set"
    with Dataset(root).writer("run") as writer:
        shard = stage(root, "run", [answer_row(1)])
        (root / ".lock").unlink()
        with pytest.raises(DatasetError, match="lock file was deleted while run run wrote"):
            STEPS[step](writer, shard)
    assert not [path for path in root.glob("[acrs]*/*") if path.is_file()]


def test_the_newest_run_decides_what_answers(tmp_path: Path) -> None:
    """As committed, rows keep the threshold of the run that scored them."""
    root = tmp_path / "set"
    row = answer_row(1)
    with Dataset(root).writer("run-0") as writer:
        writer.commit_shard(stage(root, "run-0", [row]))
        facts = {"started_at": EARLY, "finished_at": EARLY, "scoring_key": row.scoring_key}
        writer.finish(manifest("run-0", config={"threshold": row.threshold}, **facts))
    assert Dataset(root).answers(current=True).collect().equals(Dataset(root).answers().collect())
    decisions = []
    for number, (threshold, status) in enumerate(
        [(row.score_diff - 1, "completed"), (row.score_diff, "partial"), (-1e9, "failed")], start=1
    ):
        with Dataset(root).writer(f"run-{number}") as writer:
            later = EARLY + timedelta(days=300 + number)
            facts = {"started_at": later, "finished_at": later, "status": status, "scoring_key": row.scoring_key}
            writer.finish(manifest(f"run-{number}", config={"threshold": threshold}, **facts))
        (found,) = Dataset(root).answers(current=True).collect().to_dicts()
        decisions.append((found["is_answerable"], found["answer"], found["answer_start"], found["answer_end"]))
        assert found["threshold"] == pytest.approx(threshold if status != "failed" else row.score_diff)
    best = row.n_best[0]
    answers = (True, best.text, best.start, best.end)
    assert decisions == [(False, None, None, None), answers, answers]
    assert Dataset(root).answers().collect()["threshold"].to_list() == pytest.approx([row.threshold])
