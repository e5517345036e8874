"""Official golden numbers, and an independent twin of the metrics that shares no code with them."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.evaluation.evaluate import gold_questions
from bioqa_pipeline.evaluation.metrics import (
    GoldQuestion,
    apply_threshold,
    exact_match,
    normalise_answer,
    official_metrics,
    precision_recall,
    score_questions,
    threshold_curve,
    token_f1,
)
from bioqa_pipeline.evaluation.squad import read_squad
from support.outside import OutsideMaterial

PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
WORDS = st.sampled_from(
    ["the", "a", "An", "beta", "BRCA1", "brca1.", "x-ray", "of", "cell", "the,", "é", "", "...", "1,000"]
)
ANSWERS = st.lists(WORDS, max_size=5).map(" ".join)


def twin_words(text: str) -> list[str]:
    kept = "".join(c for c in text.lower() if c not in PUNCTUATION)
    return [w for w in kept.split() if w not in {"a", "an", "the"}]


def twin_f1(gold: str, predicted: str) -> float:
    left, right = twin_words(gold), twin_words(predicted)
    if not left or not right:
        return 1.0 if left == right else 0.0
    pool, common = Counter(left), 0
    for word in right:
        if pool[word] > 0:
            pool[word] -= 1
            common += 1
    return 2 * common / (len(left) + len(right))


def twin_best(gold: list[GoldQuestion], predictions: dict[str, str], odds: dict[str, float], *, f1: bool) -> float:
    """The best of "answer nothing" and of every threshold that the odds allow, each scored from nothing."""
    best = sum(not q.answers for q in gold) / len(gold)
    order = sorted(odds, key=odds.__getitem__)
    for count in range(1, len(order) + 1):
        answered = set(order[:count])
        total = 0.0
        for question in gold:
            said = predictions[question.id] if question.id in answered else ""
            answers = [a for a in question.answers if twin_words(a)] or [""]
            if not question.answers:
                total += said == ""
            elif question.id in answered:
                total += max(twin_f1(a, said) if f1 else float(twin_words(a) == twin_words(said)) for a in answers)
        best = max(best, total / len(gold))
    return 100 * best


@given(gold=ANSWERS, predicted=ANSWERS)
def test_words_and_f1_like_the_twin(gold: str, predicted: str) -> None:
    assert normalise_answer(gold).split() == twin_words(gold)
    assert token_f1(gold, predicted) == pytest.approx(twin_f1(gold, predicted), abs=1e-12)
    assert exact_match(gold, predicted) == (twin_words(gold) == twin_words(predicted))


@given(
    rows=st.lists(
        st.tuples(st.lists(ANSWERS, max_size=3), ANSWERS, st.integers(-4, 4).map(float)), min_size=1, max_size=9
    )
)
def test_best_threshold_like_the_twin(rows: list[tuple[list[str], str, float]]) -> None:
    gold = [GoldQuestion(str(i), tuple(a)) for i, (a, _, _) in enumerate(rows)]
    predictions = {str(i): p for i, (_, p, _) in enumerate(rows)}
    odds = {str(i): o for i, (_, _, o) in enumerate(rows)}
    table = official_metrics(gold, predictions, odds)
    assert table["best_f1"] == pytest.approx(twin_best(gold, predictions, odds, f1=True))
    assert table["best_exact"] == pytest.approx(twin_best(gold, predictions, odds, f1=False))


@given(
    rows=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(-3, 3).map(float)), min_size=2, max_size=12),
    threshold=st.integers(-4, 4).map(float),
)
def test_a_curve_point_is_the_table_at_its_threshold(rows: list[tuple[bool, bool, float]], threshold: float) -> None:
    gold = [GoldQuestion(str(i), ("yes",) if has else ()) for i, (has, _, _) in enumerate(rows)]
    predictions = {str(i): "yes" if right else "no such thing" for i, (_, right, _) in enumerate(rows)}
    odds = {str(i): o for i, (_, _, o) in enumerate(rows)}
    scores = score_questions(gold, predictions)
    for point in threshold_curve(gold, scores, predictions, odds):
        table = official_metrics(gold, predictions, odds, threshold=point.threshold)
        assert (point.f1, point.exact) == pytest.approx((table["f1"], table["exact"]))
        assert point.has_answer_f1 == pytest.approx(table.get("HasAns_f1", 0.0))
        assert point.no_answer == pytest.approx(table.get("NoAns_f1", 0.0))
    kept = apply_threshold(gold, scores, odds, threshold)
    for question, (has, right, score) in zip(gold, rows, strict=True):
        answered = score <= threshold
        assert kept[question.id].exact == int((has and right) if answered else not has)


def test_average_precision_by_hand() -> None:
    gold = [GoldQuestion("a", ("x",)), GoldQuestion("b", ()), GoldQuestion("c", ("y",))]
    predictions = {"a": "x", "b": "x", "c": "wrong"}
    odds = {"a": -2.0, "b": 0.0, "c": 1.0}
    scores = score_questions(gold, predictions)
    oracle = precision_recall(gold, scores, odds, metric="oracle")
    assert oracle.average_precision == pytest.approx(100 * (1.0 * 0.5 + 2 / 3 * 0.5))
    assert precision_recall(gold, scores, odds, metric="exact").average_precision == pytest.approx(50.0)


def test_answers_without_words_do_not_count() -> None:
    gold = [GoldQuestion("a", ("the", "...")), GoldQuestion("b", ())]
    assert official_metrics(gold, {"a": "", "b": "a"})["exact"] == 100.0
    assert official_metrics(gold, {"a": "x", "b": "x"})["exact"] == 0.0


@pytest.mark.parametrize(
    ("name", "exact", "f1"),
    [("bert", 78.97334649555775, 81.82635533198284), ("nlnet", 76.390, 79.257)],
)
def test_official_golden_numbers(test_data: OutsideMaterial, name: str, exact: float, f1: float) -> None:
    gold = gold_questions(read_squad(test_data.file("squad2/dev-half-official.json")))
    predictions = json.loads(test_data.file(f"squad2/predictions-{name}.json").read_text("utf-8"))
    table = official_metrics(gold, predictions)
    if name == "bert":
        assert (table["exact"], table["f1"]) == (exact, f1)
    else:
        assert (round(table["exact"], 3), round(table["f1"], 3)) == (exact, f1)
    assert (table["total"], table["HasAns_total"], table["NoAns_total"]) == (6078, 2910, 3168)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_predictions_like_the_twin(test_data: OutsideMaterial, seed: int) -> None:
    rng = random.Random(seed)
    gold = rng.sample(gold_questions(read_squad(test_data.file("squad2/dev-half-official.json"))), 400)
    official = json.loads(test_data.file("squad2/predictions-bert.json").read_text("utf-8"))
    predictions = {}
    for question in gold:
        text = official[question.id]
        damage = rng.randrange(5)
        words = text.split() or ["nothing"]
        rng.shuffle(words)
        predictions[question.id] = ["", text, " ".join(words), f"the {text.upper()}!", text[: len(text) // 2]][damage]
    table = official_metrics(gold, predictions)
    expected_f1 = [max(twin_f1(a, predictions[q.id]) for a in q.answers or ("",)) for q in gold]
    expected_exact = [max(twin_words(a) == twin_words(predictions[q.id]) for a in q.answers or ("",)) for q in gold]
    assert table["f1"] == pytest.approx(100 * sum(expected_f1) / len(gold))
    assert table["exact"] == pytest.approx(100 * sum(expected_exact) / len(gold))
