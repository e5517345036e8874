"""An evaluation into files, and the official files of predictions back into values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bioqa_pipeline.errors import DatasetError, InputError
from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.evaluation.metrics import GoldQuestion, score_questions
from bioqa_pipeline.evaluation.page import render_evaluation_page
from bioqa_pipeline.evaluation.table import format_table
from bioqa_pipeline.inputs import read_json

QUESTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("has_answer", pa.bool_(), nullable=False),
        pa.field("best_span", pa.string()),
        pa.field("score_diff", pa.float32(), nullable=False),
        pa.field("margin", pa.float32(), nullable=False),
        pa.field("answerability", pa.float32()),
        pa.field("n_windows", pa.int32(), nullable=False),
        pa.field("exact", pa.int8(), nullable=False),
        pa.field("f1", pa.float32(), nullable=False),
    ]
)
TABLE_SCHEMA = pa.schema([("metric", pa.string()), ("value", pa.float64()), ("value_at_0", pa.float64())])


def read_predictions(path: Path, gold: Sequence[GoldQuestion]) -> dict[str, str]:
    """The answers of an official file to these questions, "" for no answer; those to others are left out.

    Raises:
        InputError: the file is not a JSON object of texts, or lacks a question.
    """
    return _read_by_id(path, gold, str)


def read_no_answer_scores(path: Path, gold: Sequence[GoldQuestion]) -> dict[str, float]:
    """The same for a file of no-answer scores.

    Raises:
        InputError: the file is not a JSON object of numbers, or lacks a question.
    """
    return {i: float(score) for i, score in _read_by_id(path, gold, (int, float)).items()}


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """metrics.txt, metrics.json, metrics.parquet; predictions.json, best_predictions.json and null_odds.json in the
    official formats; questions.parquet with every question's scores where a model was evaluated; report.html.

    Raises:
        DatasetError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_texts(evaluation, out)
        _write_predictions(evaluation, out)
        _write_tables(evaluation, out)
    except OSError as exc:
        raise DatasetError(f"{out} cannot be written: {exc}") from exc


def _write_texts(evaluation: Evaluation, out: Path) -> None:
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
    (out / "report.html").write_text(render_evaluation_page(evaluation), "utf-8")


def _write_predictions(evaluation: Evaluation, out: Path) -> None:
    _write_json(evaluation.predictions, out / "predictions.json")
    if evaluation.no_answer:
        _write_json(dict(evaluation.answers), out / "best_predictions.json")
        _write_json(dict(evaluation.no_answer), out / "null_odds.json")


def _write_tables(evaluation: Evaluation, out: Path) -> None:
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
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError("does not hold a JSON object of question ids", path)
    missing = [q.id for q in gold if q.id not in content]
    if missing:
        raise InputError(f"lacks {len(missing)} of {len(gold)} questions, such as {missing[0]}", path)
    wrong = [q.id for q in gold if not isinstance(content[q.id], kind)]
    if wrong:
        raise InputError(f"question {wrong[0]} has a value of the wrong kind: {content[wrong[0]]!r}", path)
    return {q.id: content[q.id] for q in gold}
