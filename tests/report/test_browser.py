"""The pages in a real browser: filters, order, keyboard, colours, narrow screens, and that nothing is loaded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import rispy

from bioqa_pipeline.dataset.manifest import SkippedRecord
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.evaluation.job import evaluate_prediction_files
from bioqa_pipeline.records.texts import FetchStatus, RetrievalOutcome
from bioqa_pipeline.report.data import Limits
from bioqa_pipeline.report.delta import Change, Delta
from bioqa_pipeline.report.index import make_index
from bioqa_pipeline.report.page import render_run_page
from bioqa_pipeline.report.reading import read_report
from support.browser import Opened, chromium, opened
from support.dataset_rows import manifest
from support.report_sets import add_run, hundred_abstracts, retrieval, said

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

GENE, VITAMIN, NOBODY, ARABIC = "Which gene is it?", "A lack of which vitamin is it?", "Who was it?", "ما السبب؟"
FAILED = f"Is <b>it</b> α-synuclein or {'averylongwordwithoutanyspace' * 12}?"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partial run after a whole one, with something of everything."""
    root = tmp_path_factory.mktemp("run") / "set"
    old = [
        said(GENE, 1, "BRCA1", p=0.6, pub_year=1990),
        said(VITAMIN, 2, "vitamin C", p=0.9, pub_year=2001),
        said(VITAMIN, 3, "vitamin C", p=0.72, pub_year=2011, is_retracted=True, title="<script>alert(1)</script>"),
    ]
    add_run(root, "20260101", old, [ARABIC])
    new = [
        *old,
        *(said(GENE, k, "TP53", p=0.7 + k / 1000, before="Σ " * 90, title="A long title " * 8) for k in range(10, 18)),
        said(ARABIC, 30, "نقص فيتامين", before="هو ", p=0.55, title="مراجعة"),
        said(NOBODY, 31, "Lind", p=0.3),
    ]
    asked = [GENE, VITAMIN, NOBODY, ARABIC, FAILED]
    searches = [retrieval(text, sum(row.question == text for row in new)) for text in asked[:4]]
    searches.append(retrieval(FAILED, 0, outcome=RetrievalOutcome.FAILED, error="PubMed answered 502"))
    add_run(
        root,
        "20260102",
        new,
        asked,
        status="partial",
        n_failures=12,
        failures=tuple(f"shard {i}: {'x' * 90}" for i in range(12)),
        retrievals=tuple(searches),
        statuses={FetchStatus.SCORED: 12, FetchStatus.NO_ABSTRACT: 1},
        skipped=(SkippedRecord(pmid=77, status=FetchStatus.NO_ABSTRACT, reason="the record has no abstract"),),
        config={"questions": "/a/long/path/" + "folder/" * 30},
    )
    return root / "runs" / "20260102.html"


@pytest.fixture(scope="module")
def evaluation_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "squad.json").write_text(
        '{"version": "2", "data": [{"title": "t", "paragraphs": [{"context": "It is here.", "qas": ['
        '{"id": "a", "question": "Where?", "answers": [{"text": "here", "answer_start": 6}], "is_impossible": false},'
        '{"id": "b", "question": "Who?", "answers": [], "is_impossible": true}]}]}]}'
    )
    (folder / "predictions.json").write_text('{"a": "here", "b": "It"}')
    (folder / "odds.json").write_text('{"a": -2.0, "b": 1.0}')
    predictions, odds = folder / "predictions.json", folder / "odds.json"
    evaluate_prediction_files(folder / "squad.json", predictions, odds, threshold=0.0, out=folder / "out")
    return folder / "out" / "report.html"


@pytest.fixture(params=["run", "evaluation"])
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(f"{request.param}_page")
    return path


def shown(tab: Opened) -> list[str]:
    """The questions that are to be seen, in order; the long one by its beginning."""
    return [t[:9] for t in tab.page.locator("#answers tbody:not([hidden]) th").all_inner_texts()]


ALL = [text[:9] for text in (GENE, VITAMIN, NOBODY, ARABIC, FAILED)]
G, V, N, A, F = ALL


@pytest.mark.parametrize(
    ("colours", "width"),
    [
        ("light", 1280),
        pytest.param("light", 375, marks=pytest.mark.slow),
        pytest.param("dark", 1280, marks=pytest.mark.slow),
        ("dark", 320),
    ],
)
def test_everything_can_be_read_and_nothing_is_loaded(
    browser: Browser, page: Path, colours: Literal["light", "dark"], width: int
) -> None:
    with opened(browser, page, colours=colours, width=width) as tab:
        tab.page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
        assert not tab.is_wider_than_the_window() and tab.cut_off() == []
        assert tab.poor_contrasts() == []
        background = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(246, 247, 249)") == (colours == "light")
        assert tab.complaints == []
        assert tab.requests == [page.as_uri()]


def test_the_policy_stops_what_gets_in_all_the_same(browser: Browser, run_page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    injected = (
        '<script>document.title = "owned"</script><img src="http://127.0.0.1:9/x.png" onerror="document.title=1">'
    )
    broken.write_text(run_page.read_text("utf-8").replace("<main>", f"<main>{injected}", 1), "utf-8")
    with opened(browser, broken) as tab:
        assert tab.page.title() == "Answers from PubMed, 02 January 2026"
        assert len(tab.complaints) >= 2 and all("Content Security Policy" in c for c in tab.complaints)


def test_filter_by_words_and_kind(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page) as tab:
        count = tab.page.locator("#count")
        assert shown(tab) == ALL and count.inner_text() == "5 of 5 questions"
        for words, found in {
            "GENE": [G],
            "tp53  title": [G],
            "vitamin": [V],
            "Α-SYNUCLEIN": [F],
            "فيتامين": [A],
            "pubmed answered": [F],
            "nothing like it": [],
        }.items():
            tab.page.fill("#filter", words)
            assert shown(tab) == found
            assert count.inner_text() == f"{len(found)} of 5 questions"
            assert tab.page.locator("#nothing").is_visible() == (not found)
        tab.page.fill("#filter", "")
        assert shown(tab) == ALL
        for name, found in {
            "Answered 3": [G, V, A],
            "Unanswered 2": [N, F],
            "New 2": [G, A],
            "Retracted 1": [V],
            "All 5": ALL,
        }.items():
            tab.page.get_by_label(name, exact=True).check()
            assert shown(tab) == found
        tab.page.get_by_label("New 2").check()
        tab.page.fill("#filter", "tp53")
        assert shown(tab) == [G]


def test_sort(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page) as tab:
        for column, orders in {
            "Probability": [[V, G, A, N, F], [A, G, V, N, F]],
            "Support": [[G, V, A, N, F], [A, V, G, N, F]],
            "Years": [[V, G, A, N, F], [G, A, V, N, F]],
            "Best answer": [[G, V, A, N, F], [A, V, G, N, F]],
            "Question": [[V, F, G, N, A], [A, N, G, F, V]],
            "#": [ALL, ALL[::-1]],
        }.items():
            head = tab.page.get_by_role("columnheader", name=column)
            directions = ["ascending", "descending"]
            if column in {"Probability", "Support", "Years"}:
                directions.reverse()
            for direction, order in zip(directions, orders, strict=True):
                head.get_by_role("button").click()
                assert head.get_attribute("aria-sort") == direction
                assert (column, shown(tab)) == (column, order)
        assert tab.page.locator("[aria-sort=none]").count() == 5


def test_a_question_opens_and_shows_the_marked_evidence(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page) as tab:
        quote = tab.page.locator("blockquote", has_text="vitamin C").first
        assert not quote.is_visible()
        tab.page.get_by_text("1 answer, 2 sentences of evidence").click()
        assert quote.is_visible() and quote.locator("mark").inner_text() == "vitamin C"
        assert tab.page.get_by_text("<script>alert(1)</script>").is_visible()
        assert (
            quote.locator("xpath=..").locator("a").first.get_attribute("href") == "https://pubmed.ncbi.nlm.nih.gov/2/"
        )
        tab.page.get_by_role("button", name="Open all").click()
        assert tab.page.locator("#answers .more > td > details[open]").count() == 5
        tab.page.get_by_role("button", name="Close all").click()
        assert tab.page.locator("#answers details[open]").count() == 0


@pytest.mark.slow
def test_the_keyboard_reaches_everything(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page) as tab:
        keys = tab.page.keyboard
        reached: list[str] = []
        for _ in range(22):
            keys.press("Tab")
            reached.append(tab.page.evaluate("(document.activeElement.innerText || document.activeElement.id).trim()"))
        heads = ["#", "Question", "Best answer", "Probability", "Support", "Years"]
        controls = ["filter", "", "Open all", "Close all", *heads]
        start = reached.index("filter")
        assert reached[start : start + len(controls)] == controls
        # The question's own address, the record that is quoted, what there is to open.
        address, record, opener = reached[start + len(controls) :][:3]
        assert (address, record) == ("1", "17") and "answers" in opener

        tab.page.focus("#filter")
        keys.type("vitamin")
        assert shown(tab) == [V]
        keys.press("Control+A")
        keys.press("Delete")
        keys.press("Tab")
        keys.press("ArrowRight")
        assert shown(tab) == [G, V, A]
        outline = tab.page.evaluate("getComputedStyle(document.querySelector('input:checked + span')).outlineStyle")
        assert outline == "solid"
        tab.page.locator("#answers summary").first.focus()
        keys.press("Enter")
        assert tab.page.locator("blockquote", has_text="TP53").first.is_visible()


@pytest.mark.slow
def test_without_scripts_all_is_there(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page, scripts=False) as tab:
        assert not tab.page.locator("#tools").is_visible()
        assert tab.page.locator("#answers tbody").count() == 5
        tab.page.get_by_text("1 answer, 2 sentences of evidence").click()
        assert tab.page.locator("blockquote mark", has_text="vitamin C").first.is_visible()


@pytest.mark.slow
def test_screen_readers_find_a_table(browser: Browser, run_page: Path) -> None:
    # Cells that are laid out as blocks keep their roles.
    for width in (1280, 375):
        with opened(browser, run_page, width=width) as tab:
            table = tab.page.get_by_role("table", name="Questions with their best answers")
            assert table.get_by_role("columnheader").count() == 6
            assert table.get_by_role("rowheader").all_inner_texts()[:2] == [GENE, VITAMIN]
            assert table.get_by_role("row").count() == 11
            assert tab.page.get_by_role("searchbox").get_attribute("id") == "filter"


@pytest.mark.slow
def test_print_shows_what_is_open(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page, colours="dark") as tab:
        tab.page.get_by_text("1 answer, 2 sentences of evidence").click()
        tab.page.emulate_media(media="print", color_scheme="dark")
        assert not tab.page.locator("#tools").is_visible()
        assert tab.page.locator("blockquote mark", has_text="vitamin C").first.is_visible()
        assert not tab.page.locator("blockquote mark", has_text="TP53").first.is_visible()
        assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.poor_contrasts() == []


@pytest.mark.slow
def test_five_hundred_questions_stay_quick_to_use(browser: Browser, tmp_path: Path) -> None:
    pairs, searches = hundred_abstracts(500, 20)
    add_run(tmp_path / "set", "20260101", pairs, retrievals=tuple(searches))
    with opened(browser, tmp_path / "set" / "runs" / "20260101.html") as tab:
        tab.page.fill("#filter", "00123-x")
        assert shown(tab) == ["Which of "] and tab.page.locator("#count").inner_text() == "1 of 500 questions"
        tab.page.fill("#filter", "")
        tab.page.get_by_role("columnheader", name="Probability").get_by_role("button").click()
        tab.page.get_by_label("Unanswered 100", exact=True).check()
        assert len(shown(tab)) == 100
        assert tab.complaints == []


def test_choices_are_kept_by_the_browser_and_saved_as_a_table(browser: Browser, run_page: Path, tmp_path: Path) -> None:
    with opened(browser, run_page) as tab:
        page, said_so = tab.page, tab.page.locator("#chosen output")
        page.on("dialog", lambda dialog: dialog.accept())
        assert not said_so.is_visible()

        def evidence(pmid: int) -> Locator:
            return page.locator(f".said[data-pmid='{pmid}']")

        page.get_by_role("button", name="Open all").click()
        evidence(2).get_by_role("button", name="Include").click()
        evidence(3).get_by_role("button", name="Exclude").click()
        evidence(17).get_by_role("button", name="Note").click()
        page.get_by_label("Note on PMID 17").fill('=HYPERLINK("http://x"), or so')
        assert said_so.inner_text() == "1 included, 1 excluded, 1 noted"
        assert page.locator(".marked").all_inner_texts() == ["1 noted", "1 included, 1 excluded"]

        page.reload()
        assert said_so.inner_text() == "1 included, 1 excluded, 1 noted"
        page.get_by_role("button", name="Open all").click()
        assert evidence(2).get_by_role("button", name="Include").get_attribute("aria-pressed") == "true"
        assert page.get_by_label("Note on PMID 17").input_value() == '=HYPERLINK("http://x"), or so'
        # Words of the controls are none of the questions'.
        page.fill("#filter", "exclude")
        assert shown(tab) == []
        page.fill("#filter", "")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as CSV").click()
        download.value.save_as(tmp_path / "choices.csv")
        # Pressed again, a choice is taken back; the others go together.
        evidence(2).get_by_role("button", name="Include").click()
        assert said_so.inner_text() == "1 excluded, 1 noted"
        page.get_by_role("button", name="Forget them").click()
        assert not said_so.is_visible() and page.evaluate("localStorage.length") == 0
        assert not tab.complaints and {u for u in tab.requests if not u.startswith("blob:")} == {run_page.as_uri()}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "choices.csv").read_bytes().decode("utf-8-sig"), newline="")))
    assert {(row["question"], row["pmid"], row["choice"], row["note"]) for row in rows} == {
        (VITAMIN, "2", "include", ""),
        (VITAMIN, "3", "exclude", ""),
        (GENE, "17", "", '\'=HYPERLINK("http://x"), or so'),
    }


def test_citations_and_addresses_of_questions_are_copied(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page) as tab:
        tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        vitamin = tab.page.locator("tbody", has_text=VITAMIN)
        vitamin.locator(".at a").click()
        assert vitamin.locator("blockquote").first.is_visible()
        address = tab.page.evaluate("navigator.clipboard.readText()")
        assert address.startswith(f"{run_page.as_uri()}#q-")
        vitamin.get_by_role("button", name="Copy citation").nth(1).click()
        assert tab.page.evaluate("navigator.clipboard.readText()") == (
            "Makar AB, The Group of Ü. <script>alert(1)</script>. Journal. 1998-12. doi:10.1/x. PMID: 3. Retracted."
        )
        tab.page.goto("about:blank")
        tab.page.goto(address)
        assert vitamin.locator("blockquote").first.is_visible()
        assert not tab.complaints


def test_a_phone_shows_the_first_answer_at_once(browser: Browser, run_page: Path) -> None:
    with opened(browser, run_page, width=390) as tab:
        box = tab.page.locator(".best strong").first.bounding_box()
        assert box and box["y"] + box["height"] < 844 and tab.cut_off() == []
        labels = tab.page.locator("td[data-is]").all()
        assert labels and all(label.inner_text().strip() for label in labels)


def test_a_phone_shows_an_answer_at_once_after_a_night_with_changes(
    browser: Browser, run_page: Path, tmp_path: Path
) -> None:
    dataset = Dataset(run_page.parent.parent)
    path, report = tmp_path / "page.html", read_report(dataset, dataset.run("20260101"), Limits())
    change = Change(
        "new", f"Which gene, say, {GENE.casefold()}" * 2, "BRCA1", "retracted support", "a revised record", (12345678,)
    )
    path.write_text(render_run_page(replace(report, delta=Delta((change,) * 3, 1, 2, 0, 0))), "utf-8")
    with opened(browser, path, width=390) as tab:
        box = tab.page.locator(".best strong").first.bounding_box()
        assert box and box["y"] + box["height"] < 844


def test_the_list_of_runs_fits_a_phone(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    runs = [manifest("r1", status="partial", n_questions=1_000, n_scored=1_000_000), manifest("r2")]
    path.write_text(make_index(runs, {"r1": 10_000}, {"r1": (2_000, 1_000)}, ["r1.html", "r2.html"]), "utf-8")
    with opened(browser, path, colours="dark", width=390) as tab:
        assert not tab.is_wider_than_the_window() and tab.poor_contrasts() == [] and tab.complaints == []
        assert tab.requests == [path.as_uri()]


def test_evidence_without_an_answer_is_saved_with_the_reason(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    asked = [said("Does it help?", 1, "vitamin C", p=0.9), said(NOBODY, 2, "Lind", p=0.3)]
    path.write_text(add_run(tmp_path / "set", "20260101", asked), "utf-8")
    with opened(browser, path) as tab:
        with tab.page.expect_download() as download:
            tab.page.get_by_role("button", name="CSV", exact=True).click()
        download.value.save_as(tmp_path / "csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "csv").read_bytes().decode("utf-8-sig"), newline="")))
    assert [(row["answer"], row["pmid"], row["probability"], row["evidence"], row["outcome"]) for row in rows] == [
        ("", "1", "0.9", "It is vitamin C.", "Yes/no question: read the evidence"),
        ("", "", "", "", "No answer in 1 abstract"),
    ]


def test_what_is_shown_is_saved_without_a_request(browser: Browser, run_page: Path, tmp_path: Path) -> None:
    saved = {}
    with opened(browser, run_page) as tab:
        tab.page.get_by_label("Show questions whose text, answers or evidence hold these words").fill("which")
        for name, kind in (("CSV", "csv"), ("JSON Lines", "jsonl"), ("RIS", "ris")):
            with tab.page.expect_download() as download:
                tab.page.get_by_role("button", name=name, exact=True).click()
            assert download.value.suggested_filename == f"20260102.{kind}"
            download.value.save_as(tmp_path / kind)
            saved[kind] = (tmp_path / kind).read_bytes().decode("utf-8-sig")
        assert not tab.complaints and [u for u in tab.requests if not u.startswith("blob:")] == [run_page.as_uri()]
    rows = list(csv.DictReader(io.StringIO(saved["csv"], newline="")))
    assert {row["question"] for row in rows} == {GENE, VITAMIN}
    vitamin = [row for row in rows if row["answer"] == "vitamin C"]
    columns = ("pmid", "probability", "strength", "answer_probability", "answer_strength", "evidence")
    assert [tuple(row[name] for name in columns) for row in vitamin] == [
        ("2", "0.9", "strong", "0.9", "strong", "It is vitamin C."),
        ("3", "0.72", "weak", "0.9", "strong", "It is vitamin C."),
    ]
    assert [row["title"] for row in vitamin][1] == "<script>alert(1)</script>"
    assert [json.loads(line)["pmid"] for line in saved["jsonl"].splitlines()] == [int(row["pmid"]) for row in rows]
    records = rispy.loads(saved["ris"].replace("\r\n", "\n"))
    assert all(record["authors"] == ["Makar, AB", "The Group of Ü"] for record in records)
    assert [record["accession_number"] for record in records] == list(dict.fromkeys(row["pmid"] for row in rows))
    assert "Retracted." in next(record["notes"] for record in records if record["accession_number"] == "3")
