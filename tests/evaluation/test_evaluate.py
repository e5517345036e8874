from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from lxml import html

from bioqa_pipeline.config import ModelConfig, ScoringConfig
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.evaluate import Evaluation, evaluate_predictions, fit_settings
from bioqa_pipeline.evaluation.job import evaluate_checkpoint, evaluate_prediction_files
from bioqa_pipeline.evaluation.metrics import GoldQuestion, official_metrics
from bioqa_pipeline.evaluation.page import render_evaluation_page
from bioqa_pipeline.evaluation.scored import score_paragraphs
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion, read_squad
from bioqa_pipeline.evaluation.table import format_table
from bioqa_pipeline.html.plots import Mark, Series, histogram, line_plot
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.training.job import calibrate_checkpoint
from support.checkpoints import make_checkpoint
from support.squad_files import write_squad

CONTEXTS = (
    "insulin is a protein of the pancreas",
    "the breast cancer gene",
    "vitamin c deficiency causes scurvy " * 120,
    "malaria is what the drug treats",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"schema_version": 1, "score_diff_threshold": 0.75, "calibration": {"slope": 0.5, "intercept": 0.1}}
    return make_checkpoint(tmp_path_factory.mktemp("model"), settings=settings)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paragraphs = []
    for number, context in enumerate(CONTEXTS):
        word = context.split()[1]
        answer = GoldAnswer(word, context.index(word))
        questions = [
            SquadQuestion(f"{number}-{i}", f"what {w}", (answer,) if i % 2 else ())
            for i, w in enumerate(("gene", "is the protein", "causes pain", "who"))
        ]
        paragraphs.append(SquadParagraph("T", context, tuple(questions)))
    path = tmp_path_factory.mktemp("squad") / "dev.json"
    write_squad(paragraphs, path)
    return path


def test_an_evaluation_scores_as_the_main_job_does(model: Path, dataset: Path) -> None:
    found = evaluate_checkpoint(dataset, ModelConfig(name=str(model), device="cpu", precision="fp32"))
    assert found.threshold == 0.75
    checkpoint = open_checkpoint(str(model))
    scorer = PairScorer(
        load_scorer(checkpoint, device="cpu", precision="fp32"),
        checkpoint.tokenizer(),
        ScoringConfig(),
        threshold=0.75,
        calibration=checkpoint.settings.calibration,
    )
    paragraphs = read_squad(dataset)
    one_by_one = [
        q
        for p in paragraphs
        for a in p.questions
        for q in score_paragraphs([SquadParagraph("T", p.context, (a,))], scorer)
    ]
    for together, alone in zip(found.questions, one_by_one, strict=True):
        assert (together.id, together.best_span, together.n_windows) == (alone.id, alone.best_span, alone.n_windows)
        assert together.score_diff == pytest.approx(alone.score_diff, abs=1e-4)
        assert together.margin == pytest.approx(alone.margin, abs=1e-4)
    assert max(q.n_windows for q in found.questions) > 1
    for question in found.questions:
        answered = question.score_diff <= 0.75
        assert found.predictions[question.id] == (question.best_span if answered else "")
    at_threshold = official_metrics(found.gold, found.predictions)
    for name in ("exact", "f1", "HasAns_f1", "NoAns_exact"):
        assert found.metrics[name] == pytest.approx(at_threshold[name])


def test_the_column_at_0_and_the_areas_under_curves_are_what_they_say(model: Path, dataset: Path) -> None:
    config = ModelConfig(name=str(model), device="cpu", precision="fp32")
    found = evaluate_checkpoint(dataset, config, threshold=-1e9)
    assert found.at_zero == official_metrics(found.gold, found.answers, found.no_answer, threshold=0.0)
    assert found.at_zero["exact"] != found.metrics["exact"]
    for name, certainty in (("margin", lambda q: q.margin), ("score_diff", lambda q: -q.score_diff)):
        yes = [certainty(q) for q in found.questions if q.has_answer]
        no = [certainty(q) for q in found.questions if not q.has_answer]
        wins = sum((a > b) + (a == b) / 2 for a in yes for b in no) / (len(yes) * len(no))
        assert wins != 0.5
        assert found.metrics[f"auroc_{name}"] == pytest.approx(wins)


def test_a_data_set_of_one_kind_has_no_area_under_a_curve(model: Path, tmp_path: Path) -> None:
    question = SquadQuestion("1", "what gene", (GoldAnswer("breast", 4),))
    write_squad([SquadParagraph("T", CONTEXTS[1], (question,))], tmp_path / "s.json")
    evaluate_checkpoint(tmp_path / "s.json", ModelConfig(name=str(model), device="cpu"), out=tmp_path / "out")
    text = (tmp_path / "out" / "metrics.json").read_text("utf-8")
    assert "NaN" not in text and not [name for name in json.loads(text)["metrics"] if name.startswith("auroc")]


def test_questions_without_labels_are_predicted_and_not_scored(model: Path, dataset: Path, tmp_path: Path) -> None:
    config = ModelConfig(name=str(model), device="cpu", precision="fp32")
    whole = evaluate_checkpoint(dataset, config)
    content = json.loads(dataset.read_text("utf-8"))
    questions = [q for a in content["data"] for p in a["paragraphs"] for q in p["qas"]]
    for question in questions[::2]:
        del question["answers"], question["is_impossible"]
    (tmp_path / "half.json").write_text(json.dumps(content))
    half = evaluate_checkpoint(tmp_path / "half.json", config, out=tmp_path / "out")
    assert half.predictions == whole.predictions and half.metrics["total"] == len(questions) // 2
    kept = [g for g in whole.gold if g.id in {q["id"] for q in questions[1::2]}]
    assert half.metrics["exact"] == official_metrics(kept, {g.id: whole.predictions[g.id] for g in kept})["exact"]
    rows = pq.read_table(tmp_path / "out" / "questions.parquet").to_pylist()
    assert [r["exact"] is None for r in rows] == [r["has_answer"] is None for r in rows] == [True, False] * 8
    assert "8 questions have no gold" in (tmp_path / "out" / "metrics.txt").read_text()
    for question in questions:
        question.pop("answers", None), question.pop("is_impossible", None)
    (tmp_path / "test.json").write_text(json.dumps(content))
    unlabelled = evaluate_checkpoint(tmp_path / "test.json", config, out=tmp_path / "out")
    assert unlabelled.predictions == whole.predictions and unlabelled.metrics.keys() == {
        "windows",
        "questions_per_second",
    }
    with pytest.raises(InputError, match="has no 'answers'"):
        read_squad(tmp_path / "test.json")


def test_another_evaluation_stands_beside_this_one(model: Path, dataset: Path, tmp_path: Path) -> None:
    config = ModelConfig(name=str(model), device="cpu", precision="fp32")
    evaluate_checkpoint(dataset, config, out=tmp_path / "a")
    evaluate_checkpoint(dataset, config, threshold=-1e9, beside=str(tmp_path / "a"), out=tmp_path / "b")
    table = json.loads((tmp_path / "b" / "metrics.json").read_text("utf-8"))
    theirs = json.loads((tmp_path / "a" / "metrics.json").read_text("utf-8"))["metrics"]
    figures = {f["name"]: f for f in table["beside"]["figures"]}
    assert figures["f1"]["theirs"] == theirs["f1"] != figures["f1"]["ours"] == table["metrics"]["f1"]
    tree = html.fromstring((tmp_path / "b" / "report.html").read_text("utf-8"))
    [row] = tree.xpath("//table[.//th='beside']/tbody/tr[th='f1']")
    difference = figures["f1"]["ours"] - theirs["f1"]
    assert [c.text_content() for c in row][1:] == [
        f"{figures['f1']['ours']:.4f}",
        f"{theirs['f1']:.4f}",
        f"{'+' if difference > 0 else ''}{difference:.4f}",
    ]
    # Both curves of risk.
    assert len(tree.xpath("//*[@aria-label='Risk against coverage']//*[local-name()='polyline']")) == 2
    evaluate_checkpoint(dataset, config, beside="biobert-card", out=tmp_path / "c")
    text = (tmp_path / "c" / "metrics.txt").read_text("utf-8")
    assert re.search(r"^  exact +[\d.]+ +75\.970690 +-[\d.]+$", text, re.MULTILINE) and "open: " in text


def test_no_text_gets_out_of_its_place_on_the_page() -> None:
    hostile = "<script>alert(1)</script>\"'&amp;<img src=x>"
    gold = (GoldQuestion("a", ("x",)), GoldQuestion("b", ()))
    page = render_evaluation_page(
        Evaluation(
            dataset=hostile,
            model=hostile,
            threshold=0.5,
            metrics={hostile: 1.0, "total": 16, "exact": 100.0},
            at_zero={"exact": 50.0},
            gold=gold,
            answers={"a": "x", "b": "x"},
            no_answer={"a": 0.0, "b": 1.0},
        )
    )
    tree = html.fromstring(page)
    assert not tree.xpath("//script | //img") and len(tree.xpath("//*[local-name()='svg']")) == 3
    said = [p.text_content() for p in tree.xpath("//p")]
    assert said[:2] == [f"Model: {hostile}", f"Data set: {hostile}"]
    assert said[2] == "A question counts as unanswerable where its no-answer score is above 0.5."
    rows = [[cell.text_content() for cell in row] for row in tree.xpath("//tbody/tr")]
    assert rows == [[hostile, "1.0000", ""], ["total", "16", ""], ["exact", "100.0000", "50.0000"]]


def test_files_of_an_evaluation_score_like_it(model: Path, dataset: Path, tmp_path: Path) -> None:
    config = ModelConfig(name=str(model), device="cpu", precision="fp32")
    found = evaluate_checkpoint(dataset, config, threshold=-0.5, out=tmp_path / "out")
    out = tmp_path / "out"
    again = evaluate_prediction_files(dataset, out / "best_predictions.json", out / "null_odds.json", threshold=-0.5)
    assert dict(again.metrics) == {k: found.metrics[k] for k in again.metrics}
    assert {"best_f1", "best_f1_thresh", "HasAns_exact", "NoAns_f1", "pr_oracle_ap"} <= again.metrics.keys()
    plain = evaluate_prediction_files(dataset, out / "predictions.json", None)
    assert plain.metrics["f1"] == pytest.approx(found.metrics["f1"])
    assert json.loads((out / "metrics.json").read_text("utf-8"))["metrics"] == dict(found.metrics)
    table = pq.read_table(out / "metrics.parquet").to_pydict()
    assert dict(zip(table["metric"], table["value"], strict=True)) == dict(found.metrics)
    questions = pq.read_table(out / "questions.parquet").to_pylist()
    assert [q["id"] for q in questions] == [q.id for q in found.gold]
    assert 100 * sum(q["exact"] for q in questions) / len(questions) == pytest.approx(found.metrics["exact"])
    text = (out / "metrics.txt").read_text("utf-8")
    assert text == format_table(found)
    assert re.search(r"^exact +[\d.]+ +[\d.]+$", text, re.MULTILINE)


def test_the_page_stands_alone_and_is_well_formed(model: Path, dataset: Path, tmp_path: Path) -> None:
    config = ModelConfig(name=str(model), device="cpu", precision="fp32")
    evaluate_checkpoint(dataset, config, out=tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"<script|<link|src=|href=|@import|url\(", page)
    for title in ("F1 over the threshold", "Precision and recall", "No-answer scores", "Reliability"):
        assert title in page
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert not re.search(r"\b(nan|inf)\b", svg)
        ElementTree.fromstring(svg)


def test_plots_survive_odd_numbers() -> None:
    odd = line_plot(
        "<t>", "x", "y", [Series("s", [1.0, float("inf"), 2.0], [5.0, 1.0, float("nan")])], [Mark("m", 9.0)]
    )
    assert "&lt;t&gt;" in odd
    ElementTree.fromstring(odd)
    ElementTree.fromstring(line_plot("none", "x", "y", []))
    ElementTree.fromstring(histogram("h", "x", [("a", [1.0] * 3), ("b", [])]))
    long = line_plot("long", "x", "y", [Series("s", list(range(5000)), list(range(5000)))])
    points = re.findall(r'points="([^"]+)"', long)
    assert len(points[0].split()) == 400
    stairs = line_plot("stairs", "x", "y", [Series("s", [0.0, 1.0, 2.0], [0.0, 4.0, 2.0], steps=True)])
    places = [place.split(",") for place in re.findall(r'points="([^"]+)"', stairs)[0].split()]
    assert len(places) == 5 and all((a[0] == b[0]) != (a[1] == b[1]) for a, b in pairwise(places))


@pytest.mark.parametrize(("threshold", "f1"), [(-9.0, 50.0), (0.0, 100.0), (0.5, 100.0), (1.0, 50.0), (9.0, 50.0)])
def test_the_line_over_the_threshold_is_at_the_tile_s_value(threshold: float, f1: float) -> None:
    paragraph = SquadParagraph(
        "t", "x y", (SquadQuestion("a", "What?", (GoldAnswer("x", 0),)), SquadQuestion("b", "Who?", ()))
    )
    found = evaluate_predictions(
        [paragraph], {"a": "x", "b": "y"}, {"a": 0.0, "b": 1.0}, dataset="d", model="m", threshold=threshold
    )
    assert found.metrics["f1"] == f1
    tree = html.fromstring(render_evaluation_page(found))
    (plot,) = tree.xpath("//*[@aria-label='F1 over the threshold']")
    (mark,) = plot.xpath("./*[local-name()='line' and @class='m']/@x1")
    places = [place.split(",") for place in plot.xpath("./*[local-name()='polyline']/@points")[0].split()]
    y = {50.0: max, 100.0: min}[f1](float(y) for _, y in places)
    before, after = ([float(b) for a, b in places if (float(a) <= float(mark)) is side] for side in (True, False))
    assert before[-1] == y and after[:1] in ([], [y])
    tiles = [[part.text_content() for part in tile] for tile in tree.xpath("//dl/div")]
    assert (tiles[0][0], tiles[0][1], tiles[0][-1]) == ("F1, %", f"{f1:.1f}", "only 2 questions")
    assert "there are only 2 of them" in tree.text_content()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "does not hold a JSON object"),
        ("{", "is not JSON"),
        ('{"0-0": "x"}', "lacks 15 of 16 questions, such as 0-1"),
    ],
)
def test_prediction_files_that_do_not_fit(dataset: Path, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        evaluate_prediction_files(dataset, path, None)


def test_a_value_of_the_wrong_kind_names_its_question(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({q.id: 3 if q.id == "2-1" else "x" for p in read_squad(dataset) for q in p.questions}))
    with pytest.raises(InputError, match=r"question 2-1 has a value of the wrong kind: 3"):
        evaluate_prediction_files(dataset, path, None)


def test_a_calibrated_checkpoint_takes_its_best_threshold(dataset: Path, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m", seed=3)
    settings, held_out = calibrate_checkpoint(folder, read_squad(dataset), config=ScoringConfig(), device="cpu")
    assert open_checkpoint(str(folder)).settings == settings
    again = evaluate_checkpoint(dataset, ModelConfig(name=str(folder), device="cpu"))
    assert (
        again.threshold == settings.score_diff_threshold == pytest.approx(held_out.metrics["best_f1_thresh"], abs=1e-4)
    )
    at_own = official_metrics(held_out.gold, held_out.answers, held_out.no_answer, threshold=again.threshold)
    assert at_own["f1"] == held_out.metrics["best_f1"]
    rescored = official_metrics(again.gold, again.answers, again.no_answer, threshold=again.threshold)
    assert again.metrics["f1"] == rescored["f1"]


def test_calibration_needs_both_kinds_of_question(model: Path, dataset: Path) -> None:
    answered = [
        SquadParagraph(p.title, p.context, tuple(q for q in p.questions if q.answers)) for p in read_squad(dataset)
    ]
    checkpoint = open_checkpoint(str(model))
    scorer = PairScorer(
        load_scorer(checkpoint, device="cpu"),
        checkpoint.tokenizer(),
        ScoringConfig(),
        threshold=0.0,
        calibration=Calibration(),
    )
    with pytest.raises(ValueError, match="answerable and unanswerable"):
        fit_settings(answered, scorer)
