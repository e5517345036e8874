"""The page of a run: what it says of the data set, that nothing in a text gets out of its place, and its size."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import html
from lxml.html import HtmlElement

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.manifest import SkippedRecord
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.verify import verify
from bioqa_pipeline.errors import ConfigError, DatasetError
from bioqa_pipeline.export.flat import FORMULA, NUMBER
from bioqa_pipeline.export.references import GROUP, NAME
from bioqa_pipeline.html.page import asset
from bioqa_pipeline.records.texts import FetchStatus, Question, Retrieval, RetrievalOutcome
from bioqa_pipeline.report.data import Limits
from bioqa_pipeline.report.page import anchor, make_run_page
from bioqa_pipeline.run.executor import Executor
from bioqa_pipeline.run.job import run_job
from flows.report import main
from support.dataset_rows import manifest
from support.report_sets import add_run, hundred_abstracts, id_of, retrieval, said
from support.small_runs import sample_config

GENE, VITAMIN, NOBODY = "Which gene is it?", "Which vitamin is it?", "Who is it?"
HOSTILE = (
    "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(1)></td></table><!-- \u202eevil\u202c α \x00\x1b ]]>"
)


def text(element: HtmlElement) -> str:
    return " ".join(element.text_content().split())


def questions(page: str) -> dict[str, HtmlElement]:
    """The part of the page that belongs to each question."""
    bodies = html.fromstring(page).xpath("//table[@id='answers']/tbody")
    return {text(body.xpath(".//th")[0]): body for body in bodies}


def cells(body: HtmlElement) -> list[str]:
    return [text(cell) for cell in body.xpath("./tr[@class='main']/*")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "set"


@pytest.fixture
def config(tmp_path: Path, model: Path) -> RunConfig:
    questions = ("What causes scurvy?", "Who discovered insulin?", "What is zzyzx?")
    return sample_config(tmp_path, model, *questions, most=6, threshold=1e9)


def test_a_run_leaves_a_page_that_says_what_its_tables_say(config: RunConfig, tmp_path: Path, cache: Path) -> None:
    result = run_job(config)
    run_id = result.manifest.run_id
    page = (config.out / "runs" / f"{run_id}.html").read_text("utf-8")
    asked = questions(page)
    assert list(asked) == ["What causes scurvy?", "Who discovered insulin?", "What is zzyzx?"]
    best = {a.question: a for a in result.answers if a.rank == 1}
    for question in list(asked)[:2]:
        answer, body = best[question], asked[question]
        assert answer.answer is not None
        shown = cells(body)
        assert shown[2].startswith(" ".join(answer.answer.split()))
        assert shown[3:5] == ["uncalibrated", f"{len(answer.support_pmids)} of {answer.n_abstracts}"]
        marked = body.xpath(".//mark")
        assert {m.getparent().text_content() for m in marked if m.text == answer.answer} >= {answer.evidence}
        # The sample's records are invented, and so are their PMIDs and DOIs: no link leads to what others have there.
        assert all(link.startswith("#") for link in body.xpath(".//a/@href"))
        assert f"PMID {answer.best_pmid}" in text(body)
    assert cells(asked["What is zzyzx?"])[2:] == ["Nothing found", "", "0 of 0", ""]
    whole = text(html.fromstring(page))
    scored, windows = result.manifest.n_scored, result.manifest.n_windows
    for said_so in (
        f"{scored} new, 0 reused, 0 failed",
        f"Pieces of text read {windows}",
        str(config.questions),
        run_id,
    ):
        assert said_so in whole
    assert "No earlier run in this data set asked these questions" in whole
    assert "Answers from the sample records" in whole and "PMIDs are invented" in whole
    about = text(html.fromstring(page).xpath("//details[@class='about']")[0])
    for private in ("BM25", result.manifest.scoring_key, "pieces of text", str(config.questions)):
        assert private.casefold() not in whole.replace(about, "").casefold()
    assert str(cache) not in page

    assert main(["--data-set", str(config.out), "--out", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_text("utf-8") == page
    assert [m.run_id for m in Dataset(config.out).runs()] == [run_id]


def test_a_page_that_cannot_be_made_costs_the_run_nothing_else(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("no ink")

    monkeypatch.setattr("bioqa_pipeline.run.pages.render_run_page", broken)
    with caplog.at_level(logging.CRITICAL):
        result = run_job(config)
    assert result.manifest.status == "completed" and result.manifest.n_failures == 0
    assert len(result.failures) == 1
    assert "no ink" in result.failures[0] and not result.has_page
    assert {p.name for p in (config.out / "runs").iterdir()} == {
        "feed.xml",
        "index.html",
        f"{result.manifest.run_id}.json",
    }
    assert Dataset(config.out).summary().collect().height == len(result.answers)


def test_a_run_that_broke_off_has_a_page_that_says_so(config: RunConfig) -> None:
    class Stopped(Executor):
        def score(self, *args: object) -> object:  # type: ignore[override]
            raise RuntimeError("the power went <off>")

    with pytest.raises(RuntimeError):
        run_job(config, executor=Stopped())
    run_id = Dataset(config.out).runs()[0].run_id
    page = (config.out / "runs" / f"{run_id}.html").read_text("utf-8")
    whole = text(html.fromstring(page))
    assert "The run broke off. RuntimeError: the power went <off>" in whole
    assert "3 questions asked; the run broke off before it had answers" in whole
    assert [cells(body)[2] for body in questions(page).values()] == ["Not asked: the run broke off"] * 3
    assert page == make_run_page(Dataset(config.out), run_id)


def test_questions_without_an_answer_say_why(root: Path) -> None:
    asked = ["Near?", "Found nothing?", "Search broke?", "No abstracts?", "Nothing valid?"]
    page = add_run(
        root,
        "20260101",
        [
            said("Near?", 1, "far", p=0.1, before="Not "),
            said("Near?", 2, "nearly", p=0.4, before="This is "),
            said("Nothing valid?", 3, "", p=0.2, n_best=(), margin=None, span_score=None, score_diff=None),
        ],
        asked,
        retrievals=(
            retrieval("Near?", 2),
            retrieval("Found nothing?", 0),
            retrieval("Search broke?", 0, outcome=RetrievalOutcome.FAILED, error="HTTP 500 <oops>"),
            retrieval("No abstracts?", 4),
            retrieval("Nothing valid?", 1),
        ),
        status="partial",
    )
    shown = questions(page)
    assert [cells(shown[q])[2] for q in asked] == [
        "No answer in 2 abstracts nearest words, not sure enough: nearly",
        "Nothing found",
        "Search failed",
        "4 records found, no abstract to read",
        "No answer in 1 abstract",
    ]
    assert shown["Near?"].xpath("string(.//blockquote)") == "This is nearly."
    assert "HTTP 500 <oops>" in text(shown["Search broke?"])
    assert all("unanswered" in body.classes and "answered" not in body.classes for body in shown.values())
    assert "0 of 5 questions answered" in text(html.fromstring(page))


def test_what_is_new_since_the_last_run(root: Path) -> None:
    first = add_run(root, "20260101", [said(GENE, 1, "BRCA1", p=0.6), said(VITAMIN, 2, "C", p=0.9)], [NOBODY])
    assert "No earlier run" in first and not re.search('class="[^"]*\\bnew\\b', first.partition("<body>")[2])

    # A better answer, one more abstract for an old answer, an answer where there was none.
    later = [
        *(said(GENE, 1, "BRCA1", p=0.6), said(GENE, 3, "TP53", p=0.8)),
        *(said(VITAMIN, 2, "C", p=0.9), said(VITAMIN, 4, "c", p=0.7)),
        said(NOBODY, 5, "Banting", p=0.7),
    ]
    page = add_run(root, "20260102", later)
    shown = questions(page)
    assert cells(shown[GENE])[2] == "TP53 new changed before: BRCA1"
    assert cells(shown[VITAMIN])[2] == "C +1 new abstract"
    assert cells(shown[NOBODY])[2] == "Banting new changed not answered before"
    assert ["new" in shown[q].classes for q in (GENE, VITAMIN, NOBODY)] == [True, False, True]
    said_so = "Since the run of 01 January 2026, 06:00 UTC: 2 questions with new answers, 2 whose best answer changed."
    assert said_so in text(html.fromstring(page))
    marks = {e.xpath("string(.//a)"): bool(e.xpath(".//span[contains(@class, 'new')]")) for e in evidence(page)}
    assert marks == {"1": False, "2": False, "3": True, "4": True, "5": True}

    # A run that broke off before is no run to compare with: what it committed is still new to a reader.
    add_run(root, "20260103", [*later, said(GENE, 6, "KRAS", p=0.9)], status="failed")
    page = add_run(root, "20260104", [*later, said(GENE, 6, "KRAS", p=0.9)])
    assert cells(questions(page)[GENE])[2] == "KRAS new changed before: TP53"
    assert "Since the run of 02 January" in page

    # The page of an earlier run does not change with what came later, but for the time before it.
    assert make_run_page(Dataset(root), "20260102") == (root / "runs" / "20260102.html").read_text("utf-8")


def test_a_revised_record_supports_as_it_did_before(root: Path) -> None:
    add_run(root, "20260101", [said(GENE, 1, "BRCA1", p=0.6), said(VITAMIN, 2, "C", p=0.3)])
    revised = [
        said(GENE, 1, "BRCA1", p=0.7, pair_id="gene again", content_hash="revised"),
        said(VITAMIN, 2, "C", p=0.9, pair_id="vitamin again", content_hash="revised"),
    ]
    page = add_run(root, "20260102", revised)
    assert cells(questions(page)[GENE])[2] == "BRCA1"
    assert cells(questions(page)[VITAMIN])[2] == "C new changed not answered before"
    assert "1 question with new answers, 1 whose best answer changed." in text(html.fromstring(page))


def test_another_spelling_of_the_best_answer_is_no_change(root: Path) -> None:
    add_run(root, "20260101", [said(GENE, 1, "BRCA1", p=0.6)])
    page = add_run(root, "20260102", [said(GENE, 1, "BRCA1", p=0.6), said(GENE, 2, "the BRCA1 gene", p=0.8)])
    best = cells(questions(page)[GENE])[2]
    assert best.startswith("the BRCA1 gene new") and "changed" not in best
    assert "1 question with new answers, 0 whose best answer changed." in text(html.fromstring(page))


def test_an_abbreviation_and_its_full_form_are_no_change(root: Path) -> None:
    full = "epidermal growth factor receptor"
    add_run(root, "20260101", [said(GENE, 1, "EGFR", before=f"It is {full} (", after=").", p=0.6)])
    page = add_run(root, "20260102", [said(GENE, 2, full, p=0.8)])
    assert "changed" not in cells(questions(page)[GENE])[2]
    page = add_run(root, "20260103", [said(GENE, 3, "receptor", p=0.8)])
    assert "changed before: epidermal" in cells(questions(page)[GENE])[2]


def test_records_that_are_one_work_name_each_other(root: Path) -> None:
    works = {1: 7, 2: 7, 4: 8}
    page = add_run(root, "20260101", [said(GENE, pmid, "BRCA1") for pmid in (1, 2, 3, 4)], works=works)
    lines = [text(e.xpath("./p")[0]) for e in evidence(page)]
    assert [line.partition("same work as ")[2] for line in lines] == ["PMID 2", "PMID 1", "", ""]


def test_a_surer_answer_says_why_it_stands_behind(root: Path) -> None:
    votes = [said(GENE, pmid, "BRCA1", p=0.9) for pmid in (1, 2, 3)]
    page = add_run(root, "20260101", [*votes, said(GENE, 4, "TP53", p=0.95), said(GENE, 5, "KRAS", p=0.6)])
    answers = [text(item) for item in questions(page)[GENE].xpath(".//ol[@class='found']/li/p[1]")]
    assert [line.split()[0] for line in answers] == ["BRCA1", "TP53", "KRAS"]
    assert [("behind an answer that 3 works give, not 1" in line) for line in answers] == [False, True, False]
    assert "Probability: of 100 abstracts at 0.90 about 90 answer the question" in text(html.fromstring(page))


def evidence(page: str) -> list[HtmlElement]:
    return list(html.fromstring(page).xpath("//div[contains(@class, 'said')]"))


def test_another_model_makes_no_news(root: Path) -> None:
    add_run(root, "20260101", [said(GENE, 1, "BRCA1"), said(VITAMIN, 2, "C")])
    pairs = [said(GENE, 1, "TP53", scoring_key="other"), said(VITAMIN, 2, "C", scoring_key="other")]
    page = add_run(root, "20260102", pairs, scoring_key="other")
    shown = questions(page)
    assert cells(shown[GENE])[2] == "TP53 changed before: BRCA1" and cells(shown[VITAMIN])[2] == "C"
    assert "are not those of the run before" in page


def test_a_run_over_the_newest_records_is_not_compared_with_whole_ones(root: Path) -> None:
    add_run(root, "20260101", [said(GENE, 1, "BRCA1")])
    page = add_run(
        root, "20260102", [said(GENE, 2, "TP53")], config={"source": {"since_last_run": True}}, source={"since": "X"}
    )
    assert cells(questions(page)[GENE])[2] == "TP53 new"
    assert "came or were revised since X were asked" in page
    page = add_run(root, "20260103", [said(GENE, 1, "BRCA1"), said(GENE, 2, "TP53")])
    assert "changed" not in cells(questions(page)[GENE])[2]


def test_the_run_before_is_found_where_the_clock_was_put_back(root: Path) -> None:
    add_run(root, "20260301", [said(GENE, 1, "BRCA1")])
    started = datetime(2026, 3, 1, 7, tzinfo=UTC)
    times = {"started_at": started, "finished_at": started + timedelta(seconds=90)}
    page = add_run(root, "20260101", [said(GENE, 1, "BRCA1"), said(GENE, 2, "TP53", p=0.9)], **times)
    assert "Since the run of 01 March 2026, 06:00 UTC" in page
    assert cells(questions(page)[GENE])[2] == "TP53 new changed before: BRCA1"
    assert "No earlier run" in make_run_page(Dataset(root), "20260301")


def test_retracted_support_is_marked(root: Path) -> None:
    page = add_run(
        root,
        "20260101",
        [
            said(GENE, 1, "BRCA1", p=0.9, is_retracted=True),
            said(GENE, 2, "BRCA1", p=0.6),
            said(VITAMIN, 3, "C", is_retracted=True),
            said(NOBODY, 5, "Banting", p=0.95, retraction="retracted in part"),
            said(NOBODY, 4, "Banting"),
        ],
    )
    shown = questions(page)
    assert [cells(shown[q])[2] for q in (GENE, VITAMIN, NOBODY)] == ["BRCA1 1 of 2 retracted", "C retracted", "Banting"]
    assert ["retracted" in shown[q].classes for q in (GENE, VITAMIN, NOBODY)] == [True, True, False]
    assert "2 questions: retracted articles are among the support" in page
    assert '<span class="badge bad">retracted in part</span>' in page


def test_a_revised_abstract_is_quoted_as_it_is_now(root: Path) -> None:
    add_run(root, "20260101", [said(GENE, 1, "BRCA1", before="Perhaps ", content_hash="old")])
    page = add_run(root, "20260102", [said(GENE, 1, "BRCA2", before="Now ", content_hash="new", pub_year=2020)])
    assert [e.xpath("string(./blockquote)") for e in evidence(page)] == ["Now BRCA2."]
    assert cells(questions(page)[GENE])[5] == "2020"
    old = make_run_page(Dataset(root), "20260101")
    assert [e.xpath("string(./blockquote)") for e in evidence(old)] == ["Perhaps BRCA1."]


def test_failures_and_skipped_records_are_named(root: Path) -> None:
    page = add_run(
        root,
        "20260101",
        [said(GENE, 1, "BRCA1")],
        status="partial",
        n_failures=3000,
        failures=tuple(f"shard {i} <b>fell</b>" for i in range(1000)),
        statuses={FetchStatus.SCORED: 1, FetchStatus.NO_ABSTRACT: 2, FetchStatus.FETCH_ERROR: 1},
        skipped=(
            SkippedRecord(pmid=8, status=FetchStatus.NO_ABSTRACT, reason="the record has no abstract"),
            SkippedRecord(pmid=7, status=FetchStatus.NO_ABSTRACT, reason="the record has no abstract"),
            SkippedRecord(pmid=9, status=FetchStatus.FETCH_ERROR, reason="HTTP 502"),
        ),
    )
    whole = text(html.fromstring(page))
    assert "3,000 failures; the next run tries again shard 0 <b>fell</b> shard 1" in whole
    assert "and 2,900 more; the run's manifest has the first 1,000" in whole
    assert "3 records without answers: 2 without an abstract; 1 could not be fetched" in whole
    assert "the record has no abstract: 7, 8 could not be fetched: 1 HTTP 502: 9" in whole
    assert '<span class="badge warn">partial</span>' in page


def test_no_text_gets_out_of_its_place(root: Path) -> None:
    question = f"Is {HOSTILE} it?"
    page = add_run(
        root,
        "20260101",
        [
            said(
                question,
                1,
                f"α<β & {HOSTILE}",
                before=f"{HOSTILE} < ",
                after=f" > {HOSTILE}",
                title=f"שלום {HOSTILE}",
                journal=HOSTILE,
                doi=f'10.1/"><script>{HOSTILE}',
            ),
            said(question, 2, f"αβ {HOSTILE}", title=HOSTILE),
        ],
        retrievals=(retrieval(question, 2, error=HOSTILE),),
        failures=(HOSTILE,),
        n_failures=1,
        error=HOSTILE,
        source={"kind": HOSTILE},
        config={"questions": HOSTILE, "model": {"device": HOSTILE}},
        skipped=(SkippedRecord(pmid=8, status=FetchStatus.NO_ABSTRACT, reason=HOSTILE),),
        statuses={FetchStatus.NO_ABSTRACT: 1},
    )
    tree = html.fromstring(page)
    assert len(tree.xpath("//script")) == 1 and not tree.xpath("//img") and len(tree.xpath("//table")) == 1
    assert not tree.xpath("//@*[starts-with(name(), 'on')]") and not tree.xpath("//comment()")
    assert not re.search("[\x00-\x08\x0b-\x1f]", page)
    as_shown = HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    shown = tree.xpath("//tbody")[0]
    assert shown.xpath("string(.//th)") == f"Is {as_shown} it?"
    assert shown.xpath("string(.//mark)") == f"α<β & {as_shown}"
    assert shown.xpath("string(.//div/p/bdi)") == f"שלום {as_shown}"
    doi = shown.xpath(".//a[contains(., 'DOI')]/@href")[0]
    assert doi.startswith("https://doi.org/10.1/%22%3E%3Cscript%3E") and re.fullmatch(r"[\w:/.%()~-]+", doi)
    # Right-to-left and other texts stand in elements that isolate their direction.
    for element in shown.xpath(".//th | .//blockquote | .//td//strong"):
        assert element.get("dir") == "auto"


def test_lone_surrogates_do_not_keep_a_page_from_being_written(root: Path) -> None:
    page = add_run(root, "20260101", [said(GENE, 1, "BRCA1")], failures=("broken \ud800 name",), n_failures=1)
    assert "broken \ud800 name" in page
    stored = (root / "runs" / "20260101.html").read_text("utf-8")
    assert "broken \ufffd name" in stored and make_run_page(Dataset(root), "20260101") == stored


def test_what_is_left_out_is_said(root: Path) -> None:
    pairs = [said(GENE, i, f"gene{i % 3} x", p=0.9 - i / 1000) for i in range(1, 40)]
    pairs += [said(VITAMIN, i, "C", p=0.9 - i / 1000) for i in range(1, 10)]
    add_run(root, "20260101", pairs)
    page = make_run_page(Dataset(root), "20260101", limits=Limits(answers=2, evidence=4, evidence_each=2))
    shown = questions(page)
    assert "Further answers that only the data set holds: 2." in text(shown[GENE])
    assert [len(body.xpath(".//blockquote")) for body in shown.values()] == [2, 2]
    assert "This page shows 2 of 4 answers with 4 sentences of evidence from 39 supporting abstracts" in page
    link = shown[VITAMIN].xpath(".//a[contains(., 'all 9 in PubMed')]/@href")[0]
    assert link == "https://pubmed.ncbi.nlm.nih.gov/?term=1,2,3,4,5,6,7,8,9"
    # No answer is listed without a sentence to judge it by.
    shown = questions(make_run_page(Dataset(root), "20260101", limits=Limits(evidence=2)))
    assert [len(body.xpath(".//ol[@class='found']/li")) for body in shown.values()] == [1, 1]
    assert "Further answers that only the data set holds: 2." in text(shown[GENE])


def test_long_sentences_are_cut_around_the_answer(root: Path) -> None:
    page = add_run(root, "20260101", [said(GENE, 1, "BRCA1", before="word " * 500, after=" more" * 500)])
    quote = evidence(page)[0].xpath("string(./blockquote)")
    assert quote.startswith("… word") and quote.endswith("more …") and "word BRCA1 more" in quote
    assert len(quote) < 450


def test_searches_are_shown_as_pubmed_understood_them(root: Path) -> None:
    page = add_run(root, "20260101", [said(GENE, 1, "BRCA1")])
    searched = text(questions(page)[GENE].xpath(".//details[@class='search']")[0])
    assert searched == (f'Search: 1 abstract taken {GENE}[tiab] understood as "{GENE}"[Title/Abstract]: 1 record')


def test_a_page_needs_a_manifest_and_a_finished_run_keeps_its_page(root: Path) -> None:
    add_run(root, "20260101", [said(GENE, 1, "BRCA1")])
    with pytest.raises(ConfigError, match="run nope has no manifest"):
        make_run_page(Dataset(root), "nope")
    dataset = Dataset(root)
    with dataset.writer("20260102") as writer:
        writer.write_page("a page")
        writer.write_page("a better page \ud800")
        writer.finish(manifest("20260102"))
        with pytest.raises(DatasetError, match="is finished"):
            writer.write_page("too late")
    assert (root / "runs" / "20260102.html").read_text("utf-8") == "a better page \ufffd"


def test_pages_of_runs_that_did_not_end_are_swept(root: Path) -> None:
    dataset = Dataset(root)
    add_run(root, "20260101", [said(GENE, 1, "BRCA1")])
    with dataset.writer("20260102") as writer:
        writer.write_page("never finished")
    assert sorted(p.name for p in (root / "runs").glob("*.html")) == ["20260101.html", "20260102.html"]
    with dataset.writer("20260103"):
        pass
    assert sorted(p.name for p in (root / "runs").glob("*.html")) == ["20260101.html"]


def test_the_command_line_names_what_is_wrong(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--data-set", str(root)]) == 2
    assert "there is no data set here" in capsys.readouterr().err
    page = add_run(root, "20260101", [said(GENE, 1, "BRCA1")])
    newer = add_run(root, "20260102", [said(GENE, 1, "BRCA1")])
    assert main(["--data-set", str(root), "--run", "20260101", "--out", "-"]) == 0
    assert capsys.readouterr().out == page
    path, before = root / "runs" / "20260102.html", verify(Dataset(root).storage)
    with monkeypatch.context() as another_version:
        another_version.setattr("bioqa_pipeline.report.page.PROBABILITY", "words of a newer version")
        assert main(["--data-set", str(root)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert "Words of a newer version" in path.read_text("utf-8")
    assert main(["--data-set", str(root)]) == 0 and path.read_text("utf-8") == newer
    after = verify(Dataset(root).storage)
    assert (after.findings, after.notes, after.n_files) == (before.findings, before.notes, before.n_files)


def test_ten_times_the_abstracts_are_no_longer_page(root: Path) -> None:
    sizes = []
    for run_id, n_abstracts in (("20260101", 20), ("20260102", 200)):
        pairs, searches = hundred_abstracts(5, n_abstracts)
        add_run(root / run_id, run_id, pairs, retrievals=tuple(searches))
        page = make_run_page(Dataset(root / run_id), run_id, limits=Limits(answers=20, evidence=30))
        shown = questions(page).values()
        assert sum(len(body.xpath(".//ol[@class='found']//blockquote")) for body in shown) <= 30
        assert sum(len(body.xpath(".//ol[@class='found']/li")) for body in shown) <= 20
        sizes.append(len(page.encode()))
    # Links to PubMed name more abstracts.
    assert sizes[1] < 1.5 * sizes[0]


@pytest.mark.slow
def test_five_hundred_questions_of_a_hundred_abstracts_stay_a_usable_page(root: Path) -> None:
    pairs, searches = hundred_abstracts(500, 100)
    page = add_run(root, "20260101", pairs, retrievals=tuple(searches))
    assert make_run_page(Dataset(root), "20260101") == page
    assert len(page.encode()) < 5_000_000
    shown = questions(page)
    assert len(shown) == 500
    assert all(body.xpath(".//blockquote") for body in shown.values())
    assert id_of(next(iter(shown))) in page


def test_a_yes_no_question_shows_its_evidence_and_no_answer(root: Path) -> None:
    yes_no = "Does vitamin C cure scurvy?"
    page = add_run(root, "20260101", [said(yes_no, 1, "vitamin C", p=0.9), said(yes_no, 2, "oranges", p=0.7)])
    shown = questions(page)[yes_no]
    assert cells(shown)[2:5] == ["Yes/no question: read the evidence", "", "2 of 2"]
    assert len(shown.xpath(".//blockquote")) == 2 and "Passages can be quoted" in text(shown)
    (row,) = Dataset(root).summary().collect().to_dicts()
    assert (row["answer"], row["outcome"], row["best_pmid"]) == (None, "evidence_only", 1)
    assert row["support_pmids"] == [1, 2] and row["variants"] == ["vitamin C", "oranges"]


def test_a_probability_and_its_verdict_do_not_contradict_each_other(root: Path) -> None:
    """Rejected candidates have none; accepted ones say how strong they are, ticks at threshold and strong."""
    page = add_run(
        root,
        "20260101",
        [said(GENE, 1, "BRCA1", p=0.53), said(VITAMIN, 2, "C", p=0.9), said(NOBODY, 3, "me", p=0.49)],
        config={"threshold": 2.0},
        model={"name": "m", "revision": "1", "calibration": '{"slope": 0.5, "log_windows": 0, "intercept": 0.5}'},
    )
    shown = questions(page)
    assert [cells(shown[q])[3] for q in (GENE, VITAMIN, NOBODY)] == ["0.53 weak", "0.90 strong", ""]
    assert "0.49" not in text(shown[NOBODY])
    assert {path.get("d") for path in html.fromstring(page).xpath("//*[@class='bar']/path")} == {
        "M16.6 0v10",
        "M35.2 0v10",
    }


def test_a_run_whose_every_search_failed_says_so(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, question: Question, limit: int) -> Retrieval:
        return Retrieval(question.id, (), outcome=RetrievalOutcome.FAILED, error="no network")

    monkeypatch.setattr("bioqa_pipeline.sources.sample.SampleSource.search", broken)
    result = run_job(config)
    assert result.manifest.status == "failed"
    assert {a.outcome for a in result.answers} == {"search_failed"}
    # Nothing was asked: that is neither a probability of 0 nor a checkpoint without a calibration.
    assert Dataset(config.out).summary().collect()["answerability"].null_count() == 3
    assert not any(a.is_uncalibrated for a in result.answers)
    page = (config.out / "runs" / f"{result.manifest.run_id}.html").read_text("utf-8")
    whole = html.fromstring(page)
    assert text(whole.xpath("//h1/../span")[0]) == "failed"
    assert "3 questions asked; every search failed." in text(whole)
    assert [cells(body)[2] for body in questions(page).values()] == ["Search failed"] * 3
    assert "no answer" not in text(whole.xpath("//main")[0]).casefold()


def test_a_manifest_of_odd_settings_has_a_page(root: Path) -> None:
    page = add_run(
        root, "20260101", [said(GENE, 1, "BRCA1", p=0.6)], config={"model": 5, "source": [], "threshold": "x"}
    )
    assert "BRCA1" in page


def test_evidence_names_its_authors_and_the_kind_of_study(root: Path) -> None:
    types = ("Journal Article", "Clinical Trial, Phase II", "Randomized Controlled Trial")
    many = ("Smith J", "Doe A", "Roe B", "Poe C")
    page = add_run(
        root,
        "20260101",
        [
            said(GENE, 1, "BRCA1", p=0.9, authors=many, publication_types=types),
            said(GENE, 2, "BRCA1", p=0.8, authors=("Roe B",), mesh_terms=("Animals", "Cohort Studies")),
            said(GENE, 3, "BRCA1", p=0.7, authors=None),
        ],
    )
    lines = [text(e.xpath("./p")[0]) for e in evidence(page)]
    assert lines[0].startswith("Smith J, Doe A, et al. Title 1 Journal, 1998-12 · randomised trial · PMID 1 · DOI")
    assert lines[1].startswith("Roe B. Title 2 Journal, 1998-12 · cohort study, in animals · PMID 2")
    assert lines[2].startswith("Title 3 Journal, 1998-12 · PMID 3")
    # The closed row quotes the best one.
    (peek,) = questions(page)[GENE].xpath(".//*[@class='peek']")
    assert text(peek) == "It is BRCA1. Smith J, Doe A, et al., Journal 1998 · randomised trial · PMID 1"


def test_abstracts_that_were_read_without_an_answer_are_listed(root: Path) -> None:
    pairs = [said(GENE, 1, "BRCA1", p=0.9), said(VITAMIN, 2, "C", p=0.3)]
    pairs += [said(GENE, 10 + k, "TP53", p=0.1 + k / 100, title=f"Silent <b>{k}</b>") for k in range(5)]
    add_run(root, "20260101", pairs)
    page = make_run_page(Dataset(root), "20260101", limits=Limits(silent=4, silent_each=3))
    shown = {name: body.xpath(".//details[@class='silent']")[0] for name, body in questions(page).items()}
    assert [text(item) for item in shown[GENE].xpath(".//li")] == [
        "14 Silent <b>4</b>",
        "13 Silent <b>3</b>",
        "12 Silent <b>2</b>",
    ]
    assert text(shown[GENE]).startswith("Read without an answer: 5 abstracts")
    assert "The nearest 3 are listed" in text(shown[GENE])
    assert text(shown[VITAMIN]) == "Read without an answer: 1 abstract 2 Title 2"


def test_questions_have_addresses_whatever_their_ids_hold() -> None:
    assert anchor("G.1") == "q-G.1"
    odd = [anchor(name) for name in ('two words"><b>', "two words", "é", "x" * 500)]
    assert len(set(odd)) == 4 and all(re.fullmatch("q-[0-9a-f]{16}", name) for name in odd)


def test_what_the_page_saves_is_defused_as_exports_are() -> None:
    assert f"/{FORMULA}/" in asset("common.js") and f"/{NUMBER}/" in asset("common.js")
    assert f"/{NAME}/" in asset("downloads.js") and f"/{GROUP}/" in asset("downloads.js")


def test_an_abstract_that_supports_two_answers_is_one(root: Path) -> None:
    page = add_run(root, "20260101", [said(GENE, 1, "BRCA1", p=0.6), said(VITAMIN, 1, "C", p=0.9)])
    assert "2 sentences of evidence from 1 supporting abstract." in text(html.fromstring(page))
