"""A data set and a scorer, or somebody's predictions, into the official table and what lies behind it.

Scoring is that of the main job: the same windows, inference and spans.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bioqa_pipeline.evaluation.findings import Findings, find
from bioqa_pipeline.evaluation.judged import JudgedQuestion
from bioqa_pipeline.evaluation.metrics import (
    CurvePoint,
    GoldQuestion,
    PrecisionRecall,
    best_threshold,
    official_metrics,
    precision_recall,
    score_questions,
    threshold_curve,
)
from bioqa_pipeline.evaluation.scored import ScoredQuestion, score_paragraphs
from bioqa_pipeline.evaluation.squad import SquadParagraph
from bioqa_pipeline.evaluation.squad_judged import gold_questions, judge_squad
from bioqa_pipeline.qa.calibration import (
    ReliabilityBin,
    auroc,
    expected_calibration_error,
    fit_calibration,
    reliability,
)
from bioqa_pipeline.qa.checkpoint import CheckpointSettings
from bioqa_pipeline.qa.scoring import PairScorer


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        dataset, model: what was scored, in words.
        threshold: above it a question counts as unanswerable in `metrics`.
        metrics: the official table over the labelled questions, and for a model auroc, the speed, and ece where it is
            calibrated.
        at_zero: the same table at threshold 0, as run_squad has it; None for somebody's predictions.
        no_answer: id to the no-answer score; empty where there is none.
        answers: id to the best answer, whether or not it passes the threshold.
        judged: the labelled questions, one by one.
        certainty: what `judged` is certain by, in words.
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
    judged: tuple[JudgedQuestion, ...] = ()
    certainty: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the table does not count."""
        n = len(self.answers) - len(self.gold)
        return (f"{n:,} questions have no gold in the file: they are answered and not scored",) if n else ()

    def findings(self) -> Findings:
        """What the questions say together, beside the official table."""
        values: dict[str, Sequence[float | None]] = {
            "exact": [100.0 * q.exact for q in self.judged],
            "f1": [100.0 * q.f1 for q in self.judged],
            "HasAns_exact": [100.0 * q.exact if q.gold else None for q in self.judged],
            "HasAns_f1": [100.0 * q.f1 if q.gold else None for q in self.judged],
            "NoAns_exact": [None if q.gold else 100.0 * q.exact for q in self.judged],
            "NoAns_f1": [None if q.gold else 100.0 * q.f1 for q in self.judged],
        }
        return find(self.judged, values, grouped="article", certainty=self.certainty)

    @property
    def predictions(self) -> dict[str, str]:
        """id to answer, "" where the threshold says that there is none."""
        return {i: "" if self.no_answer.get(i, -math.inf) > self.threshold else a for i, a in self.answers.items()}

    def curve(self) -> list[CurvePoint]:
        """Metrics over all thresholds."""
        scores = score_questions(self.gold, self.answers)
        return list(threshold_curve(self.gold, scores, self.answers, self._labelled_scores()))

    def precision_recall(self, metric: str) -> PrecisionRecall:
        """The official curve for "exact", "f1" or "oracle"."""
        scores = score_questions(self.gold, self.answers)
        return precision_recall(self.gold, scores, self._labelled_scores(), metric=metric)

    def _labelled_scores(self) -> dict[str, float]:
        return {q.id: self.no_answer[q.id] for q in self.gold}


def evaluate(
    paragraphs: Sequence[SquadParagraph],
    scorer: PairScorer,
    *,
    dataset: str,
    model: str,
    on_questions: Callable[[int], None] | None = None,
) -> Evaluation:
    """Scores a SQuAD file with a model, at the scorer's threshold; questions without labels are answered only."""
    started = time.perf_counter()
    scored = score_paragraphs(paragraphs, scorer, on_questions=on_questions)
    seconds = time.perf_counter() - started
    gold = gold_questions(paragraphs)
    answers = {q.id: q.best_span or "" for q in scored}
    no_answer = {q.id: q.score_diff for q in scored}
    by_id = {q.id: q for q in scored}
    labelled = [by_id[g.id] for g in gold]
    rated = [(q.answerability, q.has_answer) for q in labelled if q.answerability is not None]
    bins = reliability([p for p, _ in rated], [label for _, label in rated])
    calibration = {"ece": expected_calibration_error(bins)} if bins else {}
    speed = {"windows": sum(q.n_windows for q in scored), "questions_per_second": len(scored) / seconds}
    return Evaluation(
        dataset=dataset,
        model=model,
        threshold=scorer.threshold,
        metrics=_official(gold, answers, no_answer, scorer.threshold) | _separation(labelled) | calibration | speed,
        at_zero=_official(gold, answers, no_answer, 0.0) if gold else None,
        gold=gold,
        answers=answers,
        no_answer=no_answer,
        questions=scored,
        reliability=bins,
        judged=judge_squad(paragraphs, answers, no_answer, scorer.threshold, by_id),
        certainty="margin" if scorer.calibration is None else "answerability",
    )


def _official(
    gold: Sequence[GoldQuestion], answers: Mapping[str, str], no_answer: Mapping[str, float] | None, threshold: float
) -> dict[str, float]:
    """The official table over the questions that have gold; nothing where none has."""
    ids = [g.id for g in gold]
    return (
        official_metrics(
            gold,
            {i: answers[i] for i in ids},
            None if no_answer is None else {i: no_answer[i] for i in ids},
            threshold=threshold,
        )
        if gold
        else {}
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
        metrics=_official(gold, predictions, no_answer, threshold),
        at_zero=None,
        gold=gold,
        answers=predictions,
        no_answer=no_answer or {},
        judged=judge_squad(paragraphs, predictions, no_answer or {}, threshold, {}),
        certainty="the no-answer score, its sign turned" if no_answer else "",
    )


def fitted_threshold(
    gold: Sequence[GoldQuestion],
    answers: Mapping[str, str],
    no_answer: Mapping[str, float],
    weights: Mapping[str, float] | None = None,
) -> float:
    """That of the highest F1, in four digits; below all scores where it is best to give no answer.

    Args: see `best_threshold`.
    """
    scores = score_questions(gold, answers)
    silent = min(filter(math.isfinite, no_answer.values()), default=0.0) - 1.0
    best = best_threshold(gold, scores, answers, no_answer, metric="f1", weights=weights, silent=silent)
    # Upwards: a threshold below that of the last answer that pays would lose this answer.
    return math.ceil(best.threshold * 1e4) / 1e4


def fit_settings(paragraphs: Sequence[SquadParagraph], scorer: PairScorer) -> tuple[CheckpointSettings, Evaluation]:
    """Threshold (highest F1) and calibration of a model on held-out paragraphs, and the figures that it reaches there.

    Raises:
        ValueError: the paragraphs have only answerable or only unanswerable questions.
    """
    held_out = evaluate(paragraphs, scorer, dataset="held out", model="")
    calibration = fit_calibration([q.margin for q in held_out.questions], [q.has_answer for q in held_out.questions])
    settings = CheckpointSettings(
        score_diff_threshold=fitted_threshold(held_out.gold, held_out.answers, held_out.no_answer),
        calibration=calibration,
        windows=scorer.config.windows,
    )
    return settings, held_out
