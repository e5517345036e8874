"""Margins with known labels into the logistic map to a probability, and how far such probabilities can be trusted.

Pure; knows nothing about models and files. See `spans` for what a margin is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bioqa_pipeline.setting_values import Settings

Floats = npt.NDArray[np.float64]

# A weak pull towards 0 on the standardised margin, so that separable data has a finite fit.
RIDGE = 1e-3
ITERATIONS = 100
TOLERANCE = 1e-10


# What a fit to logits can come to, with room to spare.
Weight = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Calibration(Settings):
    """Margin into probability: sigmoid(slope * margin + log_windows * ln(n_windows) + intercept).

    Attributes:
        log_windows: 0 in all that is fitted here; other checkpoints have it.
    """

    slope: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 1.0
    log_windows: Weight = 0.0
    intercept: Weight = 0.0

    def probability(self, margin: float, n_windows: int) -> float:
        """0.0 for a margin of minus infinity (no valid span)."""
        if margin == -math.inf:
            return 0.0
        logit = self.slope * margin + self.log_windows * math.log(n_windows) + self.intercept
        return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1.0 + math.exp(logit))


def chance_of(answerability: float | None, margin: float) -> float:
    """The answerability; without a calibration the margin's own scale has to do."""
    return 0.5 * (1.0 + math.tanh(0.5 * margin)) if answerability is None else answerability


CALIBRATE = "python -m flows.calibrate"
# What people are told in the place of probabilities where a model has no calibration.
UNCALIBRATED = (
    "uncalibrated: nobody fitted this model's probabilities, so there are none, and answers are ranked by their "
    f"margin; {CALIBRATE} fits them on labelled questions"
)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions of like probability: their mean, the share that was right, and how many they are."""

    predicted: float
    observed: float
    count: int


def fit_calibration(
    margins: Sequence[float], answerable: Sequence[bool], weights: Sequence[float] | None = None
) -> Calibration:
    """Logistic regression of the label on the margin, by Newton's method.

    The number of windows gets no weight: what was fitted to the few pairs that have several made the probabilities of
    other questions no better (`data/model/README.md`).

    Args:
        margins: one per (question, passage) pair; pairs without a valid span (minus infinity) are left out.
        answerable: the gold labels; both kinds must be there.
        weights: what each pair counts for, above 0; None counts them all alike.

    Raises:
        ValueError: only one kind of label.
    """
    margin = np.asarray(margins, dtype=np.float64)
    finite = np.isfinite(margin)
    margin, labels = margin[finite], np.asarray(answerable, dtype=np.float64)[finite]
    if len(set(labels.tolist())) < 2:
        raise ValueError("calibration needs answerable and unanswerable questions")
    counts = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)[finite]
    mean, deviation = margin.mean(), margin.std() or 1.0
    design = np.column_stack([(margin - mean) / deviation, np.ones(len(labels))])
    found = _newton(design, labels, counts / counts.mean())
    if found[0] < 0:
        # Margins of such a model say nothing: its best rising map is flat.
        design[:, 0] = 0.0
        found = _newton(design, labels, counts / counts.mean())
    slope = found[0] / deviation
    return Calibration(slope=float(slope), intercept=float(found[1] - slope * mean))


def _newton(design: Floats, labels: Floats, counts: Floats) -> Floats:
    """Weights that minimise the mean logistic loss plus the ridge; the intercept, in the last column, is free.

    Args:
        counts: what each row counts for, 1 on average.
    """
    ridge = np.diag([RIDGE] * (design.shape[1] - 1) + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(ITERATIONS):
        predicted = _sigmoid(design @ weights)
        gradient = design.T @ (counts * (predicted - labels)) / len(labels) + ridge @ weights
        curvature = (design * (counts * predicted * (1 - predicted))[:, None]).T @ design / len(labels) + ridge
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(weights)), gradient)
        # Far out the quadratic model is no guide: a bounded step keeps the iteration from leaping past the minimum.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        weights = weights - step
        if float(np.abs(step).max()) < TOLERANCE:
            break
    return weights


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 0.5 * (1.0 + np.tanh(0.5 * values))
    return result


def reliability(probabilities: Sequence[float], labels: Sequence[bool], n_bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Bins of equal mass, their sizes differing by one at most, lowest probability first."""
    if not len(probabilities):
        return ()
    order = np.argsort(np.asarray(probabilities), kind="stable")
    predicted = np.asarray(probabilities, dtype=np.float64)[order]
    right = np.asarray(labels, dtype=np.float64)[order]
    return tuple(
        ReliabilityBin(float(p.mean()), float(r.mean()), len(p))
        for p, r in zip(
            np.array_split(predicted, min(n_bins, len(order))),
            np.array_split(right, min(n_bins, len(order))),
            strict=True,
        )
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean distance between predicted probability and observed share, weighted by the bins' counts; 0 to 1."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.predicted - b.observed) for b in bins) / total if total else 0.0


def brier_score(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """Mean squared distance between probability and truth; 0 is perfect, 0.25 is what 0.5 everywhere gets."""
    return float(np.mean((np.asarray(probabilities, dtype=np.float64) - np.asarray(labels, dtype=np.float64)) ** 2))


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Probability that a random positive outscores a random negative, ties counting half; nan with one kind only."""
    values = np.asarray(scores, dtype=np.float64)
    positive = np.asarray(labels, dtype=bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
