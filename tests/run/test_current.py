"""Night after night: what `current` says right after each run, to the data set and to the queries of the README."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest
from lxml import html

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.verify import verify
from bioqa_pipeline.report.page import make_run_page
from bioqa_pipeline.run.job import run_job
from flows.commands.console import print_answers, print_changes, print_outcome
from flows.report import main
from support.medline_folder import Article
from support.paths import ROOT
from support.small_runs import ARTICLES, QUESTION, small_config, write_records

OTHER = "What does quinine treat?"
QUIET = "what --quiet says:\n"


def night(config: RunConfig) -> str:
    result = run_job(config)
    assert (result.manifest.status, result.failures) == ("completed", ())
    print_answers(result.answers)
    print_outcome(result, config.out)
    sys.stdout.write(QUIET)
    print_changes(result, config.out)
    report = verify(Dataset(config.out).storage)
    assert (report.findings, report.notes) == ([], [])
    return result.manifest.run_id


def rows(config: RunConfig) -> dict[tuple[int, ...], dict[str, object]]:
    """The answers to the first question, by the records that give them."""
    current = Dataset(config.out).current().filter(question=QUESTION).sort("rank").collect()
    return {tuple(sorted(row["support_pmids"])): row for row in current.iter_rows(named=True)}


def stamps(config: RunConfig) -> list[tuple[str, bytes, int]]:
    return [(p.name, p.read_bytes(), p.stat().st_ino) for p in (config.out / "current").iterdir()]


def readme_rows(config: RunConfig) -> list[tuple[object, ...]]:
    """What the README's query gives, run as it stands."""
    [query] = re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    found: list[tuple[object, ...]] = duckdb.sql(query.replace("'answers/", f"'{config.out}/")).fetchall()
    return found


def shown(config: RunConfig, run_id: str) -> tuple[list[str], int]:
    """What the page of a run lists as changed, and how many answers it shows; it is the page that can be made again."""
    page = (config.out / "runs" / f"{run_id}.html").read_text("utf-8")
    assert make_run_page(Dataset(config.out), run_id) == page
    tree = html.fromstring(page)
    changes = [" ".join(item.text_content().split()) for item in tree.xpath("//*[@id='changes']//li")]
    return changes, len(tree.xpath("//ol[@class='found']/li"))


def listed(config: RunConfig) -> list[list[str]]:
    tree = html.fromstring((config.out / "runs" / "index.html").read_text("utf-8"))
    assert all((config.out / "runs" / link).is_file() for link in tree.xpath("//tbody//a/@href"))
    return [[cell.text_content() for cell in row.xpath("./td")][1:] for row in tree.xpath("//tbody/tr")]


@pytest.mark.parametrize("newest_only", [False, True], ids=["all records", "since the last run"])
def test_three_nights(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], newest_only: bool) -> None:
    config = small_config(tmp_path, model, QUESTION, OTHER, threshold=1e9)
    config = config.changed(source=config.source.changed(since_last_run=newest_only))
    write_records(tmp_path / "records")
    first = night(config)
    told = rows(config)
    assert set(told) == {(11,), (12,), (13,)}
    for row in told.values():
        assert (row["change"], row["why"], row["run_id"], row["first_run_id"]) == ("new", "new_question", first, first)
        assert row["gone"] is None and row["n_abstracts"] == 3
    before, asked = stamps(config), readme_rows(config)
    assert [name for name, _, _ in before] == ["current.parquet"]
    assert len(asked) == Dataset(config.out).current().collect().height
    assert shown(config, first) == ([], len(asked))
    assert listed(config) == [["2", "6", "6", "0", "complete"]]

    assert shown(config, night(config)) == ([], len(asked))
    assert listed(config) == [["2", "0", "0", "0", "complete"], ["2", "6", "6", "0", "complete"]]
    assert stamps(config) == before
    assert readme_rows(config) == asked

    retracted = replace(ARTICLES[0], is_retracted=True, revised="2024-02-02")
    new = Article(14, "Artemisinin is the drug that treats malaria in children.")
    write_records(tmp_path / "records", [retracted, new], number=2)
    assert capsys.readouterr().out.endswith(QUIET)
    third = night(config)
    terminal, _, quiet = capsys.readouterr().out.partition(QUIET)
    assert quiet.startswith("changed since the run before: 2 questions") and "scored" not in quiet
    assert quiet.endswith(f"\npage: {config.out}/runs/{third}.html\n")
    counts = "2 new, 2 changed; support retracted: 2"
    assert f"\nchanged since the run before: 2 questions ({counts})\n  " in terminal
    assert f"\n  {OTHER}: retracted support, a retraction: 11; new, a new record: 14\n" in terminal
    assert re.search(r"\nabstracts: [234] read, 1 of them retracted(; .*)?\n", terminal)
    page = html.fromstring((config.out / "runs" / f"{third}.html").read_text("utf-8")).text_content()
    assert f"Changed in this run: {counts}" in page and f" UTC: {counts}." in page
    told = rows(config)
    assert set(told) == {(11,), (12,), (13,), (14,)}
    assert all(row["n_abstracts"] == 4 for row in told.values())
    assert [told[11,][name] for name in ("change", "why", "why_pmids", "run_id", "first_run_id")] == [
        *("retracted", "retraction", [11], third, first)
    ]
    assert [told[14,][name] for name in ("change", "why", "why_pmids", "run_id", "first_run_id")] == [
        *("new", "new_record", [14], third, third)
    ]
    for pmid in (12, 13):
        assert told[pmid,]["change"] in {"new", "rank"}
        assert told[pmid,]["first_run_id"] == first
    started = {run.run_id: run.started_at for run in Dataset(config.out).runs()}
    for row in Dataset(config.out).current().collect().iter_rows(named=True):
        assert (row["first_seen"], row["last_changed"]) == (started[row["first_run_id"]], started[row["run_id"]])
    assert len(readme_rows(config)) == len(asked) + 2
    changes, n_shown = shown(config, third)
    assert n_shown == len(asked) + 2
    assert sum(line.startswith("new ") and line.endswith("a new record: 14") for line in changes) == 2
    assert sum(line.startswith("retracted support") and line.endswith("a retraction: 11") for line in changes) == 2
    assert listed(config)[0] == ["2", "4", "2", "2 support retracted: 2", "complete"]
    # A plain scan of the folder sees this state and no other.
    scanned = pl.scan_parquet(config.out / "current" / "*.parquet").collect()
    assert scanned.sort("question_id", "rank").equals(Dataset(config.out).current().collect())


def test_two_runs_compared(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path / "records")
    config = small_config(tmp_path, model, threshold=1e9)
    runs = [night(config), night(config.changed(threshold=-1e9))]
    told = Dataset(config.out).current().collect().row(0, named=True)
    assert (told["answer"], told["change"], told["why"]) == (None, "new", "new_threshold")
    assert (len(told["gone"]), told["gone_run_id"], told["gone_why"]) == (3, runs[1], "new_threshold")
    assert shown(config, runs[1])[0][0].startswith("no answer in 3 abstracts")
    assert main(["--data-set", str(config.out), "--compare", *runs]) == 0
    out = capsys.readouterr().out
    assert "threshold: 1000000000.0 -> -1000000000.0" in out
    assert out.count("\n  gone  ") == 3 and " -> no answer" in out
    assert out.endswith("1 question answered otherwise\n")
    # The page of the first run shows what is so no more: it is not lost to one that is made now.
    before = (config.out / "runs" / f"{runs[0]}.html").read_bytes()
    assert main(["--data-set", str(config.out), "--run", runs[0]]) == 2
    assert "later runs have changed its answers" in capsys.readouterr().err
    assert (config.out / "runs" / f"{runs[0]}.html").read_bytes() == before
    assert main(["--data-set", str(config.out), "--compare", runs[0], runs[0]]) == 0
    assert capsys.readouterr().out.endswith("0 questions answered otherwise\n")
    # The same answer by another abstract, for the best one was retracted.
    folder = tmp_path / "again"
    folder.mkdir()
    config = small_config(folder, model, threshold=1e9)
    articles = [ARTICLES[0], replace(ARTICLES[0], pmid=15, title="Another")]
    write_records(folder / "records", articles)
    first = run_job(config)
    best = first.answers[0].best_pmid
    assert best is not None and len(first.answers) == 1
    taken_back = [replace(a, is_retracted=True, revised="2024-02-02") for a in articles if a.pmid == best]
    write_records(folder / "records", taken_back, number=2)
    assert main(["--data-set", str(config.out), "--compare", first.manifest.run_id, night(config)]) == 0
    said = f"\n{QUESTION}\n  support retracted: {best}\n  best abstract now {26 - best}, was {best}\n\n"
    end = "0 questions answered otherwise, 1 with support retracted since, 1 with another best abstract\n"
    out = capsys.readouterr().out
    assert out.endswith(said + end) and " of 2, 1 retracted " in re.sub(r" \(2 records\)", "", out), out
