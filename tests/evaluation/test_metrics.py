"""Official golden numbers, and an independent twin of the metrics that shares no code with them."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.evaluation.metrics import (
    GoldQuestion,
    apply_threshold,
    normalise_answer,
    official_metrics,
    precision_recall,
    score_questions,
    threshold_curve,
)
from bioqa_pipeline.evaluation.squad import read_squad
from bioqa_pipeline.evaluation.squad_judged import gold_questions
from support.outside import OutsideMaterial
from support.own_predictions import own_predictions

PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
WORDS = st.sampled_from(
    ["the", "a", "An", "beta", "BRCA1", "brca1.", "x-ray", "of", "cell", "the,", "é", "", "...", "1,000"]
)
ANSWERS = st.lists(WORDS, max_size=5).map(" ".join)
GOLDEN = {
    "exact": 49.666667,
    "total": 300,
    "HasAns_exact": 41.111111,
    "HasAns_total": 180,
    "NoAns_exact": 62.5,
    "NoAns_total": 120,
    "best_exact": 51.0,
    "best_exact_thresh": -1.5,
    "pr_exact_ap": 21.668642,
    "f1": 57.610317,
    "HasAns_f1": 54.350529,
    "NoAns_f1": 62.5,
    "best_f1": 55.610317,
    "best_f1_thresh": 1.0,
    "pr_f1_ap": 35.213297,
    "pr_oracle_ap": 82.613974,
}


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


# A search over all thresholds asks it the same again and again.
@cache
def twin_score(question: GoldQuestion, said: str, *, f1: bool) -> float:
    answers = [a for a in question.answers if twin_words(a)] or [""]
    return max(twin_f1(a, said) if f1 else float(twin_words(a) == twin_words(said)) for a in answers)


def twin_search(
    gold: list[GoldQuestion], predictions: dict[str, str], odds: dict[str, float], *, f1: bool
) -> tuple[float, float]:
    """The best of "answer nothing" and of every step of the official walk, each scored from nothing; its threshold."""

    def value(question: GoldQuestion, is_answered: bool) -> float:
        if not question.answers:
            return float(not is_answered or predictions[question.id] == "")
        return twin_score(question, predictions[question.id], f1=f1) if is_answered else 0.0

    def total(answered: set[str]) -> float:
        return sum(value(question, question.id in answered) for question in gold)

    order = sorted(odds, key=odds.__getitem__)
    steps = [(total(set()), 0.0)] + [(total(set(order[: n + 1])), odds[i]) for n, i in enumerate(order)]
    best = max(value for value, _ in steps)
    return 100 * best / len(gold), next(threshold for value, threshold in steps if value > best - 1e-9)


def twin_average_precision(
    gold: list[GoldQuestion], odds: dict[str, float], right: dict[str, float], n_answerable: int
) -> float:
    """The area under precision over recall, one step for each distinct score."""
    area, before = 0.0, 0.0
    for threshold in sorted(set(odds.values())):
        answered = [q.id for q in gold if odds[q.id] <= threshold]
        hits = sum(right[i] for i in answered)
        area += hits / len(answered) * (hits / n_answerable - before)
        before = hits / n_answerable
    return 100 * area


def twin_table(
    gold: list[GoldQuestion], predictions: dict[str, str], odds: dict[str, float], threshold: float
) -> dict[str, float]:
    """The official table, every figure from its definition."""
    table: dict[str, float] = {}
    kinds = {"": gold, "HasAns_": [q for q in gold if q.answers], "NoAns_": [q for q in gold if not q.answers]}
    for name, f1 in (("exact", False), ("f1", True)):
        for kind, questions in kinds.items():
            total = sum(
                float(not q.answers) if odds[q.id] > threshold else twin_score(q, predictions[q.id], f1=f1)
                for q in questions
            )
            table |= {f"{kind}{name}": 100 * total / len(questions), f"{kind}total": len(questions)}
        table[f"best_{name}"], table[f"best_{name}_thresh"] = twin_search(gold, predictions, odds, f1=f1)
        right = {q.id: twin_score(q, predictions[q.id], f1=f1) if q.answers else 0.0 for q in gold}
        table[f"pr_{name}_ap"] = twin_average_precision(gold, odds, right, len(kinds["HasAns_"]))
    answerable = {q.id: float(bool(q.answers)) for q in gold}
    return table | {"pr_oracle_ap": twin_average_precision(gold, odds, answerable, len(kinds["HasAns_"]))}


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.6, 1.0])
def test_the_whole_table_of_our_own_predictions_like_the_twin(threshold: float) -> None:
    own = own_predictions()
    table = official_metrics(own.gold, own.predictions, own.no_answer, threshold=threshold)
    assert table == pytest.approx(twin_table(list(own.gold), own.predictions, own.no_answer, threshold), abs=1e-9)


def test_figures_of_our_own_predictions() -> None:
    # As the twin gave them when the predictions were made.
    own = own_predictions()
    table = official_metrics(own.gold, own.predictions, own.no_answer)
    assert {name: round(value, 6) for name, value in table.items()} == GOLDEN


def test_of_equal_best_thresholds_the_lowest_is_taken() -> None:
    gold = [GoldQuestion("a", ("x",)), GoldQuestion("b", ()), GoldQuestion("c", ("y",))]
    table = official_metrics(gold, {"a": "x", "b": "x", "c": "y"}, {"a": -1.0, "b": 1.0, "c": 2.0})
    for name in ("exact", "f1"):
        assert (table[f"best_{name}"], table[f"best_{name}_thresh"]) == (pytest.approx(200 / 3), -1.0)


def test_where_no_answer_at_all_is_as_good_the_threshold_is_0() -> None:
    gold = [GoldQuestion("a", ()), GoldQuestion("b", ("x",))]
    table = official_metrics(gold, {"a": "x", "b": "x"}, {"a": 1.0, "b": 2.0})
    for name in ("exact", "f1"):
        assert (table[f"best_{name}"], table[f"best_{name}_thresh"]) == (50.0, 0.0)


def test_an_empty_prediction_costs_nothing_at_any_threshold() -> None:
    gold = [GoldQuestion("a", ()), GoldQuestion("b", ("x",))]
    predictions, odds = {"a": "", "b": "x"}, {"a": -3.0, "b": -2.0}
    table = official_metrics(gold, predictions, odds)
    for name in ("exact", "f1"):
        assert (table[f"best_{name}"], table[f"best_{name}_thresh"]) == (100.0, -2.0)
    points = threshold_curve(gold, score_questions(gold, predictions), predictions, odds)
    assert [(p.threshold, p.f1, p.no_answer) for p in points] == [(-3.0, 50.0, 100.0), (-2.0, 100.0, 100.0)]


@given(gold=ANSWERS, predicted=ANSWERS)
def test_words_and_f1_like_the_twin(gold: str, predicted: str) -> None:
    assert normalise_answer(gold).split() == twin_words(gold)
    found = score_questions([GoldQuestion("1", (gold,))], {"1": predicted})["1"]
    assert found.f1 == pytest.approx(twin_f1(gold, predicted), abs=1e-12)
    assert found.exact == (twin_words(gold) == twin_words(predicted))


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
    assert table["best_f1"] == pytest.approx(twin_search(gold, predictions, odds, f1=True)[0])
    assert table["best_exact"] == pytest.approx(twin_search(gold, predictions, odds, f1=False)[0])


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
        assert point.f1 == pytest.approx(table["f1"])
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
