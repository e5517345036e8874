"""A data set and a scorer, or somebody's predictions, into the official table and what lies behind it.

Scoring is that of the main job: the same windows, inference and spans.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bioqa_pipeline.evaluation.metrics import (
    CurvePoint,
    GoldQuestion,
    PrecisionRecall,
    official_metrics,
    precision_recall,
    score_questions,
    threshold_curve,
)
from bioqa_pipeline.evaluation.squad import SquadParagraph, questions_with_passages
from bioqa_pipeline.qa.calibration import (
    ReliabilityBin,
    auroc,
    expected_calibration_error,
    fit_calibration,
    reliability,
)
from bioqa_pipeline.qa.checkpoint import CheckpointSettings
from bioqa_pipeline.qa.scoring import PairScorer

PAIRS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """What the model says of one question; `best_span` None where the paragraph holds no span at all."""

    id: str
    has_answer: bool
    best_span: str | None
    score_diff: float
    margin: float
    answerability: float | None
    n_windows: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        dataset, model: what was scored, in words.
        threshold: above it a question counts as unanswerable in `metrics`.
        metrics: the official table, and for a model auroc, the speed, and ece where it is calibrated.
        at_zero: the same table at threshold 0, as run_squad has it; None for somebody's predictions.
        no_answer: id to the no-answer score; empty where there is none.
        answers: id to the best answer, whether or not it passes the threshold.
    """

    dataset: str
    model: str
    threshold: float
    metrics: Mapping[str, float]
    at_zero: Mapping[str, float] | None
    gold: tuple[GoldQuestion, ...]
    answers: Mapping[str, str]
    no_answer: Mapping[str, float]
    questions: tuple[ScoredQuestion, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()

    @property
    def predictions(self) -> dict[str, str]:
        """id to answer, "" where the threshold says that there is none."""
        return {i: "" if self.no_answer.get(i, -math.inf) > self.threshold else a for i, a in self.answers.items()}

    def curve(self) -> list[CurvePoint]:
        """Metrics over all thresholds."""
        scores = score_questions(self.gold, self.answers)
        return list(threshold_curve(self.gold, scores, self.answers, self.no_answer))

    def precision_recall(self, metric: str) -> PrecisionRecall:
        """The official curve for "exact", "f1" or "oracle"."""
        return precision_recall(self.gold, score_questions(self.gold, self.answers), self.no_answer, metric=metric)


def gold_questions(paragraphs: Sequence[SquadParagraph]) -> tuple[GoldQuestion, ...]:
    """The gold side of the metrics, in file order."""
    return tuple(GoldQuestion(q.id, tuple(a.text for a in q.answers)) for p in paragraphs for q in p.questions)


def score_paragraphs(
    paragraphs: Sequence[SquadParagraph], scorer: PairScorer, *, on_questions: Callable[[int], None] | None = None
) -> tuple[ScoredQuestion, ...]:
    """Scores every question against its paragraph, as the main job scores a question against an abstract.

    Args:
        on_questions: called with the number of questions of each part when it is done.
    """
    pairs = list(questions_with_passages(paragraphs))
    scored = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = pairs[start : start + PAIRS_AT_ONCE]
        results = scorer.score([(question.text, passage) for question, passage in part])
        for (question, _), result in zip(part, results, strict=True):
            answer = result.answer
            scored.append(
                ScoredQuestion(
                    id=question.id,
                    has_answer=not question.is_impossible,
                    best_span=answer.best.text if answer.best else None,
                    score_diff=answer.score_diff,
                    margin=answer.margin,
                    answerability=answer.answerability,
                    n_windows=answer.n_windows,
                )
            )
        if on_questions:
            on_questions(len(part))
    return tuple(scored)


def evaluate(
    paragraphs: Sequence[SquadParagraph],
    scorer: PairScorer,
    *,
    dataset: str,
    model: str,
    on_questions: Callable[[int], None] | None = None,
) -> Evaluation:
    """Scores a SQuAD file with a model, at the scorer's threshold."""
    started = time.perf_counter()
    scored = score_paragraphs(paragraphs, scorer, on_questions=on_questions)
    seconds = time.perf_counter() - started
    gold = gold_questions(paragraphs)
    answers = {q.id: q.best_span or "" for q in scored}
    no_answer = {q.id: q.score_diff for q in scored}
    rated = [(q.answerability, q.has_answer) for q in scored if q.answerability is not None]
    bins = reliability([p for p, _ in rated], [label for _, label in rated])
    calibration = {"ece": expected_calibration_error(bins)} if bins else {}
    speed = {"windows": sum(q.n_windows for q in scored), "questions_per_second": len(scored) / seconds}
    official = official_metrics(gold, answers, no_answer, threshold=scorer.threshold)
    return Evaluation(
        dataset=dataset,
        model=model,
        threshold=scorer.threshold,
        metrics=official | _separation(scored) | calibration | speed,
        at_zero=official_metrics(gold, answers, no_answer, threshold=0.0),
        gold=gold,
        answers=answers,
        no_answer=no_answer,
        questions=scored,
        reliability=bins,
    )


def _separation(scored: Sequence[ScoredQuestion]) -> dict[str, float]:
    """How well the scores tell answerable questions from the others; nothing where there is one kind only."""
    labels = [q.has_answer for q in scored]
    if all(labels) or not any(labels):
        return {}
    return {
        "auroc_margin": auroc([q.margin for q in scored], labels),
        "auroc_score_diff": auroc([-q.score_diff for q in scored], labels),
    }


def evaluate_predictions(
    paragraphs: Sequence[SquadParagraph],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None,
    *,
    dataset: str,
    model: str,
    threshold: float = 1.0,
) -> Evaluation:
    """Scores somebody's answers.

    Args:
        predictions: id to answer for every question, "" for no answer.
        no_answer: id to no-answer score, higher meaning less likely answered; None scores the predictions as they are.
        threshold: on that score; 1.0 is the official default.
    """
    gold = gold_questions(paragraphs)
    return Evaluation(
        dataset=dataset,
        model=model,
        threshold=threshold,
        metrics=official_metrics(gold, predictions, no_answer, threshold=threshold),
        at_zero=None,
        gold=gold,
        answers=predictions,
        no_answer=no_answer or {},
    )


def rounded_threshold(best: float) -> float:
    """Upwards: a threshold below that of the last answer that pays would lose this answer."""
    return math.ceil(best * 1e4) / 1e4


def fit_settings(paragraphs: Sequence[SquadParagraph], scorer: PairScorer) -> tuple[CheckpointSettings, Evaluation]:
    """Threshold (highest F1) and calibration of a model on held-out paragraphs, and the figures that it reaches there.

    Raises:
        ValueError: the paragraphs have only answerable or only unanswerable questions.
    """
    held_out = evaluate(paragraphs, scorer, dataset="held out", model="")
    calibration = fit_calibration(
        [q.margin for q in held_out.questions],
        [q.n_windows for q in held_out.questions],
        [q.has_answer for q in held_out.questions],
    )
    settings = CheckpointSettings(
        score_diff_threshold=rounded_threshold(held_out.metrics["best_f1_thresh"]),
        calibration=calibration,
        windows=scorer.config.windows,
    )
    return settings, held_out
