"""BioASQ's measures: by hand, by figures of the organisers' program, and by a twin of other code."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.evaluation.bioasq_metrics import FactoidScore, ListScore, factoid_score, list_score

NAMES = ("IL-2", "il-2", "p53", "TP53", "aspirin", "BRCA1")
# java -cp "BioASQEvaluation.jar:lib/*" evaluation.EvaluatorTask1b -phaseB -e 5 gold.json submission.json
# (github.com/BioASQ/Evaluation-Measures at 8c8e689, Java 17) over the 400 questions of `made`: strict and lenient
# accuracy, MRR; precision, recall and F1 of lists.
OFFICIAL = (0.315, 0.545, 0.4128333333333332, 0.4118333333333333, 0.48874999999999985, 0.3948809523809523)


def made(seed: int = 5, n: int = 200) -> list[dict[str, Any]]:
    """Questions of both types with answers, in which names are shared, doubled and missing."""
    rng = random.Random(seed)

    def some(most: int, least: int = 0) -> list[str]:
        return [NAMES[rng.randrange(len(NAMES))] for _ in range(least + rng.randrange(most - least + 1))]

    return [
        {
            "id": f"{kind}{i}",
            "type": kind,
            "gold": [some(3, 1) for _ in range(1 if kind == "factoid" else 1 + rng.randrange(4))],
            "answers": some(5),
        }
        for kind in ("factoid", "list")
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("gold", "answers", "expected"),
    [
        ([["p53", "TP53"]], ["tp53"], (1, 1, 1)),
        ([["p53"]], ["the p53"], (0, 0, 0)),
        ([["p53"]], ["aspirin", "P53", "p53"], (0, 1, 1 / 2)),
        ([["a"], ["b"]], ["x", "y", "z", "u", "b"], (0, 1, 1 / 5)),
        ([["b"]], ["x", "y", "z", "u", "v", "b"], (0, 0, 0)),
        ([["b"]], [], (0, 0, 0)),
    ],
)
def test_factoids_by_hand(gold: list[list[str]], answers: list[str], expected: tuple[float, float, float]) -> None:
    assert factoid_score(gold, answers) == FactoidScore(*map(float, expected))


@pytest.mark.parametrize(
    ("gold", "answers", "expected"),
    [
        ([["a", "b"], ["c"]], ["B", "x"], (1 / 2, 1 / 2, 1 / 2)),
        ([["a", "b"], ["c"]], ["a", "b", "c"], (2 / 3, 1, 4 / 5)),  # another name of the same thing is wrong
        ([["a"], ["b"], ["c"], ["d"]], ["a"], (1, 1 / 4, 2 / 5)),
        ([["a"], ["a", "b"]], ["a"], (1, 1, 1)),  # one answer stands for a second entry that has the name
        ([["a"]], ["x"], (0, 0, 0)),
        ([["a"]], [], (0, 0, 0)),
    ],
)
def test_lists_by_hand(gold: list[list[str]], answers: list[str], expected: tuple[float, float, float]) -> None:
    found = list_score(gold, answers)
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected)


def test_the_figures_of_the_official_program() -> None:
    questions = made()
    factoids = [factoid_score(q["gold"], q["answers"]) for q in questions if q["type"] == "factoid"]
    lists = [list_score(q["gold"], q["answers"]) for q in questions if q["type"] == "list"]
    n = len(factoids)
    found = (
        sum(s.strict for s in factoids) / n,
        sum(s.lenient for s in factoids) / n,
        sum(s.reciprocal_rank for s in factoids) / n,
        sum(s.precision for s in lists) / n,
        sum(s.recall for s in lists) / n,
        sum(s.f1 for s in lists) / n,
    )
    assert found == pytest.approx(OFFICIAL, abs=1e-12)


def twin_list(gold: list[list[str]], answers: list[str]) -> ListScore:
    """The official walk as it is written there: entries are taken out of the gold, then out of the answers."""
    entries = [[name.lower() for name in names] for names in gold]
    said = [[answer.lower()] for answer in answers]

    def take(lists: list[list[str]], wanted: list[str]) -> bool:
        for i in range(len(lists)):
            for name in lists[i]:
                if name in wanted:
                    lists.pop(i)
                    return True
        return False

    hits = [take(entries, answer) for answer in list(said)]
    lost = [not take(said, entry) for entry in entries]
    right, wrong, missed = sum(hits), len(hits) - sum(hits), sum(lost)
    precision = right / (right + wrong) if hits else 0.0
    recall = right / (right + missed) if hits and right + missed else 0.0
    return ListScore(precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0)


@given(st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), min_size=1, max_size=5), st.data())
def test_lists_like_the_twin(gold: list[list[str]], data: st.DataObject) -> None:
    answers = data.draw(st.lists(st.sampled_from((*NAMES, "x")), max_size=6))
    assert list_score(gold, answers) == twin_list(gold, answers)
    ranks = [i for i, a in enumerate(answers[:5]) if any(a.lower() == n.lower() for names in gold for n in names)]
    assert factoid_score(gold, answers).reciprocal_rank == (1 / (ranks[0] + 1) if ranks else 0)
