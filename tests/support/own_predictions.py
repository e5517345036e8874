"""A few hundred questions of our own with answers of our own to them, good and bad: metrics without outside data."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bioqa_pipeline.evaluation.metrics import GoldQuestion

ANSWERS = (
    "insulin",
    "the BRCA1 gene",
    "vitamin C",
    "an autosomal-recessive trait",
    "1,25-dihydroxyvitamin D",
    "TNF-α",
    "A. thaliana",
    "a lack of the vitamin",
    "Plasmodium falciparum (malaria)",
    "12 of 15 patients",
    "the the",
    "β-carotene",
    "IgG, IgM and again IgG",
)


@dataclass(frozen=True, slots=True)
class OwnPredictions:
    """Gold questions, and by id an answer ("" for none) and a no-answer score, many of which are equal."""

    gold: tuple[GoldQuestion, ...]
    predictions: dict[str, str]
    no_answer: dict[str, float]


def own_predictions(count: int = 300) -> OwnPredictions:
    """The same every time: two of five questions have no answer, answerable ones one to three wordings."""
    rng = random.Random(2)
    gold, predictions, no_answer = [], {}, {}
    for number in range(count):
        answers = tuple(rng.sample(ANSWERS, rng.randint(1, 3))) if number % 5 > 1 else ()
        question = GoldQuestion(f"own-{number}", answers)
        gold.append(question)
        predictions[question.id] = _said(rng, answers)
        # Better than chance, in quarters, so that scores are shared.
        no_answer[question.id] = (rng.randint(-12, 8) if answers else rng.randint(-8, 12)) / 4
    return OwnPredictions(tuple(gold), predictions, no_answer)


def _said(rng: random.Random, answers: tuple[str, ...]) -> str:
    text = rng.choice(answers or ANSWERS)
    words = text.split()
    return rng.choice(
        [
            text,
            text,
            "",
            f"The {text.upper()}!",
            " ".join(reversed(words)),
            words[0],
            f"{text} and {rng.choice(ANSWERS)}",
            rng.choice(ANSWERS),
        ]
    )
