"""A SQuAD file and a scorer, or somebody's predictions, into the official table and what lies behind it.

Scoring is that of the main job: the same windows, inference and spans. Writes the result as text, JSON, Parquet and
official prediction files; knows nothing about arguments and terminals.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bioqa_pipeline.errors import InputError
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

QUESTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("has_answer", pa.bool_(), nullable=False),
        pa.field("best_span", pa.string()),
        pa.field("score_diff", pa.float32(), nullable=False),
        pa.field("margin", pa.float32(), nullable=False),
        pa.field("answerability", pa.float32(), nullable=False),
        pa.field("n_windows", pa.int32(), nullable=False),
        pa.field("exact", pa.int8(), nullable=False),
        pa.field("f1", pa.float32(), nullable=False),
    ]
)
TABLE_SCHEMA = pa.schema([("metric", pa.string()), ("value", pa.float64()), ("value_at_0", pa.float64())])


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """What the model says of one question; `best_span` None where the paragraph holds no span at all."""

    id: str
    has_answer: bool
    best_span: str | None
    score_diff: float
    margin: float
    answerability: float
    n_windows: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        dataset, model: what was scored, in words.
        threshold: above it a question counts as unanswerable in `metrics`.
        metrics: the official table, and for a model auroc, ece and the speed.
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
    labels = [q.has_answer for q in scored]
    bins = reliability([q.answerability for q in scored], labels)
    more = {
        "auroc_margin": auroc([q.margin for q in scored], labels),
        "auroc_score_diff": auroc([-q.score_diff for q in scored], labels),
        "ece": expected_calibration_error(bins),
        "windows": sum(q.n_windows for q in scored),
        "questions_per_second": len(scored) / seconds,
    }
    return Evaluation(
        dataset=dataset,
        model=model,
        threshold=scorer.threshold,
        metrics=official_metrics(gold, answers, no_answer, threshold=scorer.threshold) | more,
        at_zero=official_metrics(gold, answers, no_answer, threshold=0.0),
        gold=gold,
        answers=answers,
        no_answer=no_answer,
        questions=scored,
        reliability=bins,
    )


def evaluate_predictions(
    paragraphs: Sequence[SquadParagraph],
    predictions: Path,
    no_answer: Path | None,
    *,
    dataset: str,
    threshold: float = 1.0,
) -> Evaluation:
    """Scores somebody's official files; questions of other files in them are left out.

    Args:
        no_answer: id to no-answer score, higher meaning less likely answered; None scores the predictions as they are.
        threshold: on that score; 1.0 is the official default.

    Raises:
        InputError: a file is not a JSON object of the right kind, or lacks a question of the data set.
    """
    gold = gold_questions(paragraphs)
    answers = _read_by_id(predictions, gold, str)
    odds = {i: float(v) for i, v in _read_by_id(no_answer, gold, (int, float)).items()} if no_answer else {}
    return Evaluation(
        dataset=dataset,
        model=str(predictions),
        threshold=threshold,
        metrics=official_metrics(gold, answers, odds or None, threshold=threshold),
        at_zero=None,
        gold=gold,
        answers=answers,
        no_answer=odds,
    )


def fit_settings(paragraphs: Sequence[SquadParagraph], scorer: PairScorer) -> tuple[CheckpointSettings, Evaluation]:
    """Threshold (highest F1) and calibration of a model on held-out paragraphs, and the figures that it reaches there.

    Raises:
        ValueError: the paragraphs have only answerable or only unanswerable questions.
    """
    found = evaluate(paragraphs, scorer, dataset="held out", model="")
    calibration = fit_calibration(
        [q.margin for q in found.questions],
        [q.n_windows for q in found.questions],
        [q.has_answer for q in found.questions],
    )
    settings = CheckpointSettings(
        score_diff_threshold=round(found.metrics["best_f1_thresh"], 4),
        calibration=calibration,
        windows=scorer.config.windows,
    )
    return settings, found


def format_table(evaluation: Evaluation) -> str:
    """The table as text: official names, percents with six digits, the column at threshold 0 where there is one."""
    lines = [f"dataset    {evaluation.dataset}", f"model      {evaluation.model}"]
    if evaluation.no_answer:
        lines.append(f"threshold  {evaluation.threshold:g} on the no-answer score")
    zero = evaluation.at_zero
    lines += ["", f"{'':<22}{'':>14}" + (f"{'threshold 0':>14}" if zero is not None else "")]
    for name, value in evaluation.metrics.items():
        at_zero = f"{_number(name, zero[name]):>14}" if zero is not None and name in zero else ""
        lines.append(f"{name:<22}{_number(name, value):>14}{at_zero}".rstrip())
    return "\n".join(lines) + "\n"


def _number(name: str, value: float) -> str:
    return f"{int(value)}" if name.endswith("total") or name == "windows" else f"{value:.6f}"


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """metrics.txt, metrics.json, metrics.parquet; predictions.json, best_predictions.json and null_odds.json in the
    official formats; questions.parquet with every question's scores where a model was evaluated."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.txt").write_text(format_table(evaluation), "utf-8")
    table = {
        "dataset": evaluation.dataset,
        "model": evaluation.model,
        "threshold": evaluation.threshold,
        "metrics": dict(evaluation.metrics),
        "metrics_at_threshold_0": dict(evaluation.at_zero) if evaluation.at_zero else None,
        "reliability": [asdict(b) for b in evaluation.reliability],
    }
    _write_json(table, out / "metrics.json", indent=2)
    _write_json(evaluation.predictions, out / "predictions.json")
    if evaluation.no_answer:
        _write_json(dict(evaluation.answers), out / "best_predictions.json")
        _write_json(dict(evaluation.no_answer), out / "null_odds.json")
    zero = evaluation.at_zero or {}
    rows = [{"metric": k, "value": v, "value_at_0": zero.get(k)} for k, v in evaluation.metrics.items()]
    header = {"dataset": evaluation.dataset, "model": evaluation.model, "threshold": repr(evaluation.threshold)}
    pq.write_table(pa.Table.from_pylist(rows, TABLE_SCHEMA.with_metadata(header)), out / "metrics.parquet")
    if evaluation.questions:
        scores = score_questions(evaluation.gold, evaluation.predictions)
        questions = [asdict(q) | asdict(scores[q.id]) for q in evaluation.questions]
        schema = QUESTION_SCHEMA.with_metadata(header)
        pq.write_table(pa.Table.from_pylist(questions, schema), out / "questions.parquet", compression="zstd")


def _write_json(content: object, path: Path, indent: int | None = None) -> None:
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", "utf-8")


def _read_by_id(path: Path, gold: Sequence[GoldQuestion], kind: type | tuple[type, ...]) -> dict[str, Any]:
    """The file's values for the questions of the data set."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise InputError(f"cannot be read: {exc.strerror}", path) from exc
    except ValueError as exc:
        raise InputError(f"is not JSON: {exc}", path) from exc
    if not isinstance(content, dict):
        raise InputError("does not hold a JSON object of question ids", path)
    missing = [q.id for q in gold if q.id not in content]
    if missing:
        raise InputError(f"lacks {len(missing)} of {len(gold)} questions, such as {missing[0]}", path)
    wrong = [q.id for q in gold if not isinstance(content[q.id], kind)]
    if wrong:
        raise InputError(f"question {wrong[0]} has a value of the wrong kind: {content[wrong[0]]!r}", path)
    return {q.id: content[q.id] for q in gold}
