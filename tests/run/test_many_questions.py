"""Thousands of questions that come to nothing: what a run says and keeps of them has bounds, its counts have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioqa_pipeline.dataset.manifest import MOST_NAMED, MOST_SEARCHES, SEARCH_CHARS, RetrievalRecord
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.records.texts import QueryAttempt, Retrieval, RetrievalOutcome
from bioqa_pipeline.report.data import Limits, Searches
from bioqa_pipeline.run.retrieve import MOST_UNANSWERED, NAMED, TOLD
from flows.artifacts import TABLE_ROWS, answer_table, summary_markdown
from flows.commands import console
from support.dataset_rows import manifest
from support.many_questions import WAYS, Left, run_many

N = 2100
ENDS = {"sample": "no_hits", "nothing": "no_hits", "refused": "failed", "unanswered": "failed"}


def check(left: Left, folder: Path, way: str, n: int) -> None:
    manifest = left.result.manifest
    assert manifest.n_questions == n and manifest.search_outcomes == {ENDS[way]: n}
    assert len(manifest.retrievals) == min(n, MOST_SEARCHES)
    assert len(left.result.answers) == n  # in the summary each has its row
    assert Dataset(folder / "out").runs() == [manifest]
    failed = n if ENDS[way] == "failed" else 0
    assert len(left.result.failures) == failed == manifest.n_failures and len(manifest.failures) <= MOST_NAMED
    # Not one line for each question anywhere.
    assert left.log_lines <= NAMED + 10 * TOLD
    assert left.terminal_lines <= console.TABLE_ROWS + 4 * console.SHOWN
    assert left.manifest_bytes < 3_000_000 and left.page_bytes < 5_000_000
    page = (folder / "out" / "runs" / f"{manifest.run_id}.html").read_text("utf-8")
    lead = f"{n:,} questions asked; every search failed." if failed else f"0 of {n:,} questions answered"
    assert lead in page
    assert f"This page shows {Limits().questions:,} of {n:,} questions" in page
    assert len(answer_table(left.result.answers)) == min(n, TABLE_ROWS)
    markdown = summary_markdown(left.result, "out", "page")
    assert f"… and {n - 20:,} more" in markdown and markdown.count("\n") < 80


@pytest.mark.parametrize("way", ["nothing", "unanswered"])
def test_what_is_left_of_many_questions(
    way: str, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(console, "TABLE_ROWS", 50)  # the real ones take seconds to print
    left = run_many(tmp_path, model, N, way=way)
    check(left, tmp_path, way, N)
    summing_up = [record.getMessage() for record in caplog.records if "named above" in record.getMessage()]
    n_nothing, n_failed = (0, N) if way == "unanswered" else (N, 0)
    assert summing_up == [
        f"of {N} searches {n_nothing} found nothing and {n_failed} failed; the first {NAMED} are named above"
    ]
    if way == "unanswered":
        # The service is left alone once it is clear that it is down.
        not_asked = [failure for failure in left.result.failures if "not searched for" in failure]
        assert N - len(not_asked) < MOST_UNANSWERED + 70


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("way", ["sample", *WAYS])
def test_what_is_left_of_100_000_questions(way: str, tmp_path: Path, model: Path) -> None:
    left = run_many(tmp_path, model, 100_000, way=None if way == "sample" else way)
    check(left, tmp_path, way, 100_000)


def retrieval(number: int, outcome: str = "no_hits", chars: int = 10) -> Retrieval:
    attempt = QueryAttempt(level=0, term="t" * chars, translation="", count=0)
    return Retrieval(f"q{number}", (), (attempt,), RetrievalOutcome(outcome))


def test_failed_searches_are_named_before_others_and_queries_as_far_as_there_is_room() -> None:
    n = MOST_SEARCHES + 50
    retrievals = [retrieval(i, "failed" if i >= n - 10 else "no_hits", chars=2_000) for i in range(n)]
    named = RetrievalRecord.first_of(retrievals)
    assert len(named) == MOST_SEARCHES
    assert [r.question_id for r in named[-11:]] == [f"q{i}" for i in (MOST_SEARCHES - 11, *range(n - 10, n))]
    assert sum(bool(r.attempts) for r in named) == SEARCH_CHARS // 2_000
    few = RetrievalRecord.first_of(retrievals[:20])
    assert [r.attempts for r in few] == [r.attempts for r in retrievals[:20]]


def test_a_search_that_the_manifest_does_not_name_went_well_unless_failed_ones_had_no_room() -> None:
    well = manifest("r", retrievals=RetrievalRecord.first_of([retrieval(1, "failed")]), searches={"failed": 1, "ok": 9})
    unclear = manifest(
        "r", retrievals=RetrievalRecord.first_of([retrieval(1, "failed")]), searches={"failed": 2, "ok": 8}
    )
    old = manifest("r", retrievals=RetrievalRecord.first_of([retrieval(1, "failed"), retrieval(2)]))
    assert [Searches(m).went_well("q1") for m in (well, unclear, old)] == [False] * 3
    assert [Searches(m).went_well("q3") for m in (well, unclear, old)] == [True, False, False]
    assert Searches(old).went_well("q2") and old.search_outcomes == {"failed": 1, "no_hits": 1}
