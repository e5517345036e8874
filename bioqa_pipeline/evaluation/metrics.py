"""Predictions and gold answers into the official SQuAD v2.0 metrics, and the search for the best threshold.

Equal to the official evaluation script to the last digit, so sums are made in its order. An answer that is not there
is "" here, as in the official files. Knows nothing about models.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question's id and the texts of its gold answers; none where it cannot be answered."""

    id: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """Exact match (0 or 1) and token F1 of one prediction, the best over the gold answers."""

    exact: int
    f1: float


@dataclass(frozen=True, slots=True)
class Best:
    """The highest value that a threshold on the no-answer score reaches (in percent), and that threshold."""

    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What one threshold on the no-answer score gives.

    Attributes:
        f1: over all questions, in percent.
        has_answer_f1, no_answer: over the answerable and the other questions, in percent.
    """

    threshold: float
    f1: float
    has_answer_f1: float
    no_answer: float


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """A curve over descending certainty, each value 0 to 1, and its average precision in percent."""

    precision: tuple[float, ...]
    recall: tuple[float, ...]
    average_precision: float


def normalise_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _words_f1(gold_words: Sequence[str], words: Counter[str]) -> float:
    """Harmonic mean of precision and recall over the words; 1 or 0 where either side has none."""
    n_words = words.total()
    if not gold_words or not n_words:
        return float(len(gold_words) == n_words)
    # Over the words of the gold answer alone: a question can have many of them, and one long prediction.
    common = sum((Counter(gold_words) & words).values())
    if common == 0:
        return 0.0
    precision = common / n_words
    recall = common / len(gold_words)
    return (2 * precision * recall) / (precision + recall)


def score_questions(gold: Sequence[GoldQuestion], predictions: Mapping[str, str]) -> dict[str, QuestionScore]:
    """Scores every question that has a prediction; gold answers that normalise to nothing do not count."""
    scores = {}
    for question in gold:
        if question.id not in predictions:
            continue
        predicted = normalise_answer(predictions[question.id])
        words = Counter(predicted.split())
        answers = list(filter(None, map(normalise_answer, question.answers))) or [""]
        scores[question.id] = QuestionScore(
            exact=max(int(a == predicted) for a in answers), f1=max(_words_f1(a.split(), words) for a in answers)
        )
    return scores


def apply_threshold(
    gold: Sequence[GoldQuestion],
    scores: Mapping[str, QuestionScore],
    no_answer: Mapping[str, float],
    threshold: float,
) -> dict[str, QuestionScore]:
    """Scores after every prediction whose no-answer score exceeds the threshold was made "no answer"."""
    has_answer = {q.id: bool(q.answers) for q in gold}
    return {
        i: QuestionScore(int(not has_answer[i]), float(not has_answer[i])) if no_answer[i] > threshold else score
        for i, score in scores.items()
    }


def official_metrics(
    gold: Sequence[GoldQuestion],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None = None,
    *,
    threshold: float = 1.0,
) -> dict[str, float]:
    """The official table.

    exact, f1, total, the same with HasAns_ and NoAns_, and where `no_answer` is given best_exact, best_exact_thresh,
    best_f1, best_f1_thresh and the three average precisions pr_exact_ap, pr_f1_ap, pr_oracle_ap.

    Args:
        predictions: id to answer text, "" for no answer; questions without one are left out of the totals.
        no_answer: id to a score that is higher the less likely there is an answer; predictions are then not empty
            where the search shall be able to choose them.
        threshold: predictions above it are scored as "no answer"; the official default is 1.0.
    """
    raw = score_questions(gold, predictions)
    scores = apply_threshold(gold, raw, no_answer, threshold) if no_answer else raw
    answerable = [q.id for q in gold if q.answers and q.id in scores]
    impossible = [q.id for q in gold if not q.answers and q.id in scores]
    table = _means(scores, list(scores))
    for kind, ids in (("HasAns", answerable), ("NoAns", impossible)):
        if ids:
            table |= {f"{kind}_{k}": v for k, v in _means(scores, ids).items()}
    if no_answer:
        for name in ("exact", "f1"):
            best = best_threshold(gold, raw, predictions, no_answer, metric=name)
            table |= {f"best_{name}": best.value, f"best_{name}_thresh": best.threshold}
        if answerable and impossible:
            for name in ("exact", "f1", "oracle"):
                table[f"pr_{name}_ap"] = precision_recall(gold, raw, no_answer, metric=name).average_precision
    return table


def _means(scores: Mapping[str, QuestionScore], ids: Sequence[str]) -> dict[str, float]:
    total = len(ids)
    if not total:
        return {"exact": 0.0, "f1": 0.0, "total": 0}
    return {
        "exact": 100.0 * sum(scores[i].exact for i in ids) / total,
        "f1": 100.0 * sum(scores[i].f1 for i in ids) / total,
        "total": total,
    }


def best_threshold(
    gold: Sequence[GoldQuestion],
    scores: Mapping[str, QuestionScore],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float],
    *,
    metric: str,
    weights: Mapping[str, float] | None = None,
    silent: float = 0.0,
) -> Best:
    """The official search: answers are allowed one after the other, surest first, from none at all.

    Args:
        metric: "exact" or "f1".
        weights: what each question counts for; None counts them all alike, as the official search does.
        silent: the threshold where it is best to give no answer at all; that of the official search is 0.
    """
    has_answer = {q.id: bool(q.answers) for q in gold}
    count = weights or dict.fromkeys(has_answer, 1)
    current: float = sum(count[q.id] for q in gold if not q.answers)
    best, threshold = current, silent
    for question_id in sorted(no_answer, key=lambda i: no_answer[i]):
        if question_id not in scores:
            continue
        if has_answer[question_id]:
            gain: float = getattr(scores[question_id], metric)
        else:
            gain = -1 if predictions[question_id] else 0
        current += gain * count[question_id]
        if current > best:
            best, threshold = current, no_answer[question_id]
    return Best(value=100.0 * best / sum(count[i] for i in scores), threshold=threshold)


def precision_recall(
    gold: Sequence[GoldQuestion],
    scores: Mapping[str, QuestionScore],
    no_answer: Mapping[str, float],
    *,
    metric: str,
) -> PrecisionRecall:
    """The official precision-recall curve over the no-answer score.

    Args:
        metric: "exact" and "f1" count the right answers to answerable questions; "oracle" counts the answerable
            questions themselves.
    """
    has_answer = {q.id: bool(q.answers) for q in gold}
    n_positive = sum(has_answer.values())
    ordered = sorted(no_answer, key=lambda i: no_answer[i])
    true_positives = 0.0
    precisions, recalls = [1.0], [0.0]
    average = 0.0
    for i, question_id in enumerate(ordered):
        if has_answer[question_id]:
            true_positives += 1.0 if metric == "oracle" else getattr(scores[question_id], metric)
        if i == len(ordered) - 1 or no_answer[question_id] != no_answer[ordered[i + 1]]:
            precision, recall = true_positives / (i + 1), true_positives / n_positive
            average += precision * (recall - recalls[-1])
            precisions.append(precision)
            recalls.append(recall)
    return PrecisionRecall(tuple(precisions), tuple(recalls), 100.0 * average)


def threshold_curve(
    gold: Sequence[GoldQuestion],
    scores: Mapping[str, QuestionScore],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float],
) -> Iterator[CurvePoint]:
    """What every threshold gives, lowest first; one point for each distinct no-answer score."""
    has_answer = {q.id: bool(q.answers) for q in gold}
    n_positive = max(1, sum(has_answer.values()))
    n_negative = max(1, len(has_answer) - sum(has_answer.values()))
    f1, kept = 0.0, float(len(has_answer) - sum(has_answer.values()))
    ordered = sorted((i for i in no_answer if i in scores), key=lambda i: no_answer[i])
    for position, question_id in enumerate(ordered):
        if has_answer[question_id]:
            f1 += scores[question_id].f1
        elif predictions[question_id]:
            kept -= 1
        here = no_answer[question_id]
        if position + 1 == len(ordered) or no_answer[ordered[position + 1]] != here:
            yield CurvePoint(
                threshold=here,
                f1=100.0 * (f1 + kept) / len(has_answer),
                has_answer_f1=100.0 * f1 / n_positive,
                no_answer=100.0 * kept / n_negative,
            )
