"""The page of an evaluation in a real browser: on a telephone and in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from bioqa_pipeline.evaluation.beside import compare, read_beside
from bioqa_pipeline.evaluation.evaluate import evaluate_predictions
from bioqa_pipeline.evaluation.page import render_evaluation_page
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from support.browser import chromium, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=alert(1)>" + "long" * 60
# How many lines each text takes.
LINES = """all => all.map((e) => {
  const range = document.createRange();
  range.selectNodeContents(e);
  return new Set([...range.getClientRects()].map((r) => r.top)).size;
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = "Quinine is the drug that treats malaria. Others do not treat it."
    questions = tuple(
        SquadQuestion(f"{i}-{'id' * 40}", f"What {HOSTILE}?", (GoldAnswer("Quinine", 0),) if i % 3 else ())
        for i in range(30)
    )
    paragraphs = [SquadParagraph(f"An_article_with_a_long_name_{'x' * 50}", context, questions)]
    said = {q.id: "malaria" if i % 2 else "Quinine" for i, q in enumerate(questions)}
    odds = {q.id: float(i) for i, q in enumerate(questions)}
    evaluation = evaluate_predictions(paragraphs, said, odds, dataset=HOSTILE, model="m" * 90, threshold=20.0)
    comparison = compare(evaluation.metrics, None, read_beside("biobert-card"))
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_evaluation_page(evaluation, comparison), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize(("width", "colours"), [(390, "dark"), pytest.param(1440, "light", marks=pytest.mark.slow)])
def test_everything_can_be_read_and_nothing_is_loaded(
    browser: Browser, page: Path, width: int, colours: Literal["light", "dark"]
) -> None:
    with opened(browser, page, colours=colours, width=width) as tab:
        assert tab.complaints == [] and len(tab.requests) == 1
        assert not tab.is_wider_than_the_window()
        assert tab.poor_contrasts() == []
        lines = tab.page.eval_on_selector_all("td, .headline dd", LINES)
        assert lines and set(lines) <= {0, 1}
        backs = tab.page.eval_on_selector_all("svg", "all => all.map(e => getComputedStyle(e).backgroundColor)")
        assert len(backs) == 4
        assert set(backs) == {"rgb(26, 33, 41)" if colours == "dark" else "rgb(255, 255, 255)"}
        strokes = tab.page.eval_on_selector_all("polyline", "all => all.map(e => getComputedStyle(e).stroke)")
        assert "none" not in strokes and len(set(strokes)) == 3
