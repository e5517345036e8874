"""What people see of a run in Prefect: its artifacts, and one line for what went wrong."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.report.delta import Change, Delta
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.records import RunResult
from flows import artifacts
from flows.run_logs import RAISED, log_errors_in_one_line
from support.checkpoints import make_checkpoint
from support.small_runs import small_config, write_records


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, RunConfig]:
    """A run that answers what it is asked."""
    folder = tmp_path_factory.mktemp("artifacts")
    write_records(folder / "records")
    config = small_config(folder, make_checkpoint(folder / "model", layers=1), threshold=100.0)
    return run_job(config), config


def shown(run: tuple[RunResult, RunConfig], monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}

    def table(rows: Any, key: str, description: str) -> None:
        made[key.rsplit("-", 2)[0]] = rows

    monkeypatch.setattr(artifacts, "create_table_artifact", table)
    monkeypatch.setattr(artifacts, "create_markdown_artifact", table)
    monkeypatch.setattr(artifacts, "create_link_artifact", lambda link, key, **_: table(link, key, ""))
    result, config = run
    artifacts.show_result(result, config.changed(**changes))
    return made


def test_answer_probability_and_a_link_come_first(
    run: tuple[RunResult, RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shown(run, monkeypatch)
    [row] = made["bioqa-answers"]
    answer = run[0].answers[0]
    assert list(row)[:4] == ["best answer", "probability", "PMID", "question"]
    assert row["PMID"] == f"[{answer.best_pmid}](https://pubmed.ncbi.nlm.nih.gov/{answer.best_pmid}/)"
    summary = made["bioqa-summary"]
    assert f", PMID {row['PMID']}): {answer.question}" in summary and str(answer.evidence) in summary
    # Nothing that has no value, and no file that is nobody's to read.
    source = next(line for line in summary.splitlines() if line.startswith("- source:"))
    assert ", ," not in source and " ," not in source and "imports.json" not in source


def test_the_summary_says_what_changed(run: tuple[RunResult, RunConfig]) -> None:
    change = Change("new", "Which *drug*?", "Zinc", "new", "a new record", (7,))
    delta = Delta((change,), n_new=1, n_changed=0, n_gone=0, n_moved=0, n_questions=30)
    summary = artifacts.summary_markdown(replace(run[0], delta=delta), "out", "page")
    assert "**completed**; changed since the run before: 30 questions (1 new)\n" in summary
    assert "\n## Changed\n\n- Which \\*drug\\*?: new, a new record: 7\n- … and 29 more\n" in summary
    summary = artifacts.summary_markdown(replace(run[0], delta=Delta((), 0, 0, 0, 0)), "out", "page")
    assert "**completed**; nothing changed since the run before\n" in summary and "## Changed" not in summary


def test_a_row_has_room_on_a_screen_and_links_no_pmid_of_the_sample(run: tuple[RunResult, RunConfig]) -> None:
    answer = replace(
        run[0].answers[0],
        best_pmid=90_000_013,
        retracted_pmids=(90_000_013,),
        answerability=0.9,
        answer="a" * 99,
        question="b" * 99,
    )
    [row] = artifacts.answer_table([answer])
    assert (row["PMID"], row["probability"]) == ("90000013", "0.90 retracted")
    # A sign is some 7 pixels wide, and the table has 855.
    assert sum(len(text) for text in row.values()) * 7 + len(row) * 24 < 855


def test_a_page_is_linked_where_a_browser_follows(
    run: tuple[RunResult, RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, config = run
    made = shown(run, monkeypatch)
    name = f"runs/{result.manifest.run_id}.html"
    assert "bioqa-page" not in made and f"- page: `{config.out}/{name}`" in made["bioqa-summary"]
    made = shown(run, monkeypatch, public_url="https://answers.example.org")
    assert made["bioqa-page"] == f"https://answers.example.org/{name}"
    assert f"](https://answers.example.org/{name})" in made["bioqa-summary"]


def test_each_data_set_has_artifacts_of_its_own(run: tuple[RunResult, RunConfig]) -> None:
    config = run[1]
    places = ["a/answers", "b/answers", "s3://bucket/Answers_new", "x" * 300, "ä"]
    keys = [artifacts.artifact_key("answers", config.changed(out=place)) for place in places]
    assert len(set(keys)) == len(places)
    assert all(set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(key) < 80 for key in keys)
    assert keys[0] == artifacts.artifact_key("answers", config.changed(out=Path("a/answers").absolute()))


@pytest.mark.parametrize("name", RAISED)
def test_what_is_raised_on_purpose_is_logged_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log_errors_in_one_line()
    log_errors_in_one_line()
    logger, lines = logging.getLogger(name), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))  # type: ignore[method-assign]
    # Prefect's own would send to a server, once another test has begun its logging.
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    for error in (ConfigError("`questions q.txt`: none"), ValueError("a fault")):
        try:
            raise error
        except Exception as exc:
            logger.exception("Encountered exception during execution: %r", exc)
            if isinstance(exc, ConfigError):
                logger.exception("Engine execution of flow run exited with unexpected exception")
    [meant, fault] = lines
    assert meant == "ConfigError: `questions q.txt`: none"
    assert "Traceback" in fault


@pytest.mark.parametrize("breaks", [False, True])
def test_the_progress_ends_with_the_run(
    breaks: bool, run: tuple[RunResult, RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[float, str]] = []
    monkeypatch.setattr(artifacts, "create_progress_artifact", lambda progress, key, description: key)
    monkeypatch.setattr(
        artifacts, "update_progress_artifact", lambda key, progress, description: said.append((progress, description))
    )
    with pytest.raises(KeyboardInterrupt) if breaks else nullcontext(), artifacts.progress_artifact(run[1]) as show:
        show(40.0, "fetching: 8 of 20 abstracts")
        if breaks:
            raise KeyboardInterrupt
    assert said[-1] == (
        (40.0, "broken off at: fetching: 8 of 20 abstracts") if breaks else (100.0, "the run has ended")
    )
