"""What a run says wherever it says something: no probability that nobody fitted, no failed search as "no answer"."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from lxml import html

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.export.export import FORMATS, export
from bioqa_pipeline.export.selection import Selection, What, select
from bioqa_pipeline.notify.telling import tell
from bioqa_pipeline.records.scores import AnswerOutcome, MergedAnswer
from bioqa_pipeline.records.texts import Question, Retrieval, RetrievalOutcome
from bioqa_pipeline.report.compare import compare_runs
from bioqa_pipeline.report.unanswered import accounted, best_words
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.outcomes import stated
from bioqa_pipeline.run.records import RunResult
from bioqa_pipeline.sources.medline.source import MedlineSource
from flows.artifacts import _table_description, answer_table, summary_markdown
from flows.commands.console import print_answers, print_outcome
from support.checkpoints import make_checkpoint
from support.small_runs import QUESTION, small_config, write_records
from support.told import ToldServer

YES_NO = "Does quinine treat malaria?"
EXPORTED: tuple[What, ...] = ("merged", "current", "answers", "evidence", "abstracts")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("m o"), layers=1)


@pytest.fixture(autouse=True)
def records(tmp_path: Path) -> None:
    write_records(tmp_path / "records")


def everything(config: RunConfig, result: RunResult, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What people see of a run, and what they are sent."""
    dataset, run_id = Dataset(config.out), result.manifest.run_id
    print_answers(result.answers)
    print_outcome(result, config.out)
    earlier = next((name for name in dataset.run_ids() if name != run_id), run_id)
    with ToldServer() as server:
        said: list[str] = []
        tell(config.changed(notify=f"webhook:{server.url}"), result.manifest, say=said.append)
        told = json.dumps(server.messages)
    shown = {
        "terminal": capsys.readouterr().out,
        "page": page_text(config.out / "runs" / f"{run_id}.html"),
        "index": page_text(config.out / "runs" / "index.html"),
        "feed": (config.out / "runs" / "feed.xml").read_text("utf-8"),
        "webhook": "\n".join((told, *said)),
        "table": str(answer_table(result.answers)),
        "description": _table_description(result.answers),
        "summary": summary_markdown(result, "out", "page"),
        "manifest": "\n".join(result.manifest.notes),
        "compare": "\n".join(compare_runs(dataset, earlier, run_id)),
    }
    for form in sorted(set(FORMATS.values())):
        for what in EXPORTED if form not in ("ris", "bibtex") else ("abstracts",):
            data = export(dataset, Selection(what=what), form).data
            shown[f"{what} as {form}"] = sheets(data) if form == "xlsx" else data.decode("utf-8")
    return shown


def page_text(path: Path) -> str:
    """Of a page what it says of this run, without what it says of pages like it."""
    page = html.fromstring(path.read_text("utf-8"))
    for words in page.xpath("//footer | //form | //script | //style"):
        words.drop_tree()
    return str(page.text_content())


def sheets(data: bytes) -> str:
    book = openpyxl.load_workbook(io.BytesIO(data))
    return "\n".join(str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row)


@pytest.mark.parametrize("threshold", [100.0, -100.0], ids=["answered", "unanswered"])
def test_without_a_calibration_nothing_is_called_a_probability(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], threshold: float
) -> None:
    config = small_config(tmp_path, model, threshold=threshold)
    result = run_job(config)
    dataset = Dataset(tmp_path / "out")
    for frame in (dataset.answers(), dataset.summary(), dataset.current()):
        rows = frame.collect()
        assert rows.height and rows["answerability"].null_count() == rows.height
        assert rows["margin"].null_count() == 0
    margins = dataset.answers().select(pl.col("margin").max()).collect().item()
    assert result.answers[0].margin == pytest.approx(margins)
    shown = everything(config, result, capsys)
    command = f"python -m flows.calibrate --model '{model}' --dataset FILE --out DIR"
    for name in ("terminal", "page", "summary"):
        assert "ncalibrated: nobody fitted this model's probabilities" in shown[name], name
        assert ("python -m flows.calibrate" if name == "page" else command) in shown[name].replace("\\", ""), name
    assert ("'probability': 'uncalibrated'" in shown["table"]) == (threshold > 0)
    for name, text in shown.items():
        assert not re.search(
            r"(?i)probability\b[\"':=(\s|]{0,5}\d|Probability: how|\bstrong\b|\bweak\b|likely", text
        ), name
    for what in EXPORTED[:-1]:
        frame = select(dataset, Selection(what=what))
        probable = [name for name in frame.columns if "probability" in name or name == "answerability"]
        assert probable and all(frame[name].null_count() == frame.height for name in probable), what


def test_with_a_calibration_there_are_probabilities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_checkpoint(tmp_path / "m", layers=1, settings={"calibration": {"slope": 0.5}})
    config = small_config(tmp_path, model, threshold=100.0)
    result = run_job(config)
    assert all(a.answerability is not None and 0 < a.answerability < 1 for a in result.answers)
    shown = everything(config, result, capsys)
    assert not any("ncalibrated" in text for text in shown.values())
    assert f"{result.answers[0].answerability:.2f}" in shown["terminal"]
    assert "probability: of 100 abstracts" in shown["page"].casefold()
    assert '"probability": ' in shown["webhook"] and "(probability " in shown["abstracts as ris"]


def test_a_failed_search_is_never_called_no_answer_and_yes_or_no_is_counted(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_job(small_config(tmp_path, model, QUESTION, YES_NO, threshold=1e9))
    assert first.manifest.status == "completed"
    works = MedlineSource.search

    def search(self: MedlineSource, question: Question, limit: int) -> Retrieval:
        if question.text == YES_NO:
            return works(self, question, limit)
        return Retrieval(question.id, (), outcome=RetrievalOutcome.FAILED, error="no network")

    monkeypatch.setattr(MedlineSource, "search", search)
    config = small_config(tmp_path, model, QUESTION, YES_NO, "Which drug treats scurvy?", threshold=1e9)
    shown = everything(config, run_job(config), capsys)
    for name, text in shown.items():
        words = re.sub(r"records? without answers?", "", text)
        assert not re.search(r"(?i)no[ _]answer|without an answer|unanswered|[1-9] gone|\bgone(?::|  )", words), name
    for name in ("terminal", "page", "table", "summary", "description", "compare", "feed", "webhook"):
        assert "search failed" in shown[name].casefold(), name
    for name in ("merged as csv", "current as jsonl", "merged as xlsx"):
        assert "search_failed" in shown[name], name
    for name in ("terminal", "page", "summary", "description", "manifest"):
        assert "not answered: yes/no question" in shown[name].casefold(), name
    # The page shows the answers over all runs, among them that of the question whose search failed now.
    assert "; 1 not answered: yes/no question; 1 search failed" in shown["page"]
    for name in ("terminal", "summary", "description"):
        assert "0 of 3 questions answered; 1 not answered: yes/no question; 2 search failed" in shown[name], name


def test_every_question_is_accounted_for() -> None:
    outcomes = [outcome for n, outcome in enumerate(AnswerOutcome, start=1) for _ in range(n)]
    answered, others = accounted(outcomes, 23)
    assert answered + others == (
        "1 of 23 questions answered; 2 no answer: all below the threshold; 3 not answered: yes/no question; "
        "6 search failed; 4 nothing found; 5 no abstract to read; 2 not asked, as the run broke off"
    )
    assert sum(map(int, re.findall(r"(?:^|; )(\d+)", answered + others))) == 23


@pytest.mark.parametrize(
    ("outcome", "n_abstracts", "words"),
    [
        (RetrievalOutcome.OK, 3, "yes/no question: no evidence in 3 abstracts"),
        (RetrievalOutcome.FAILED, 3, "search failed; 3 abstracts read before it did"),
        (RetrievalOutcome.NO_HITS, 0, "nothing found"),
    ],
)
def test_a_question_for_yes_or_no_that_nothing_answers(outcome: RetrievalOutcome, n_abstracts: int, words: str) -> None:
    nothing = MergedAnswer("q", YES_NO, 1, None, None, float("-inf"), n_abstracts=n_abstracts)
    (stated_row,) = stated([nothing], Retrieval("q", (), outcome=outcome), is_evidence=True)
    assert best_words(stated_row) == words
