"""An evaluation into files, and the official files of predictions back into values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bioqa_pipeline.errors import DatasetError, InputError
from bioqa_pipeline.evaluation.beside import METRICS, Comparison
from bioqa_pipeline.evaluation.bioasq_evaluate import BioasqEvaluation
from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.evaluation.metrics import GoldQuestion, score_questions
from bioqa_pipeline.evaluation.page import render_evaluation_page
from bioqa_pipeline.evaluation.table import format_table
from bioqa_pipeline.inputs import read_json
from bioqa_pipeline.storage.local import LocalStorage
from bioqa_pipeline.storage.marker import foreign, mark, says

QUESTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("has_answer", pa.bool_()),
        pa.field("best_span", pa.string()),
        pa.field("score_diff", pa.float32(), nullable=False),
        pa.field("margin", pa.float32(), nullable=False),
        pa.field("answerability", pa.float32()),
        pa.field("n_windows", pa.int32(), nullable=False),
        pa.field("exact", pa.int8()),
        pa.field("f1", pa.float32()),
        pa.field("evidence", pa.string()),
    ]
)
BIOASQ_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("answers", pa.list_(pa.string()), nullable=False),
        pa.field("n_sure", pa.int32(), nullable=False),
        pa.field("gold", pa.list_(pa.list_(pa.string()))),
        pa.field("margin", pa.float32()),
        pa.field("answerability", pa.float32()),
        pa.field("evidence", pa.string()),
        pa.field("pmid", pa.int64()),
        pa.field("n_texts", pa.int32(), nullable=False),
        pa.field("n_windows", pa.int32(), nullable=False),
        *(
            pa.field(name, pa.float32())
            for name in ("strict", "lenient", "reciprocal_rank", "precision", "recall", "f1")
        ),
    ]
)
KIND = "evaluation"
# Of metrics.json.
OF_EVERY_VERSION = ("dataset", "model", "threshold", "metrics", "reliability")
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
    scores = {}
    for question_id, score in _read_by_id(path, gold, (int, float)).items():
        # JSON of Python's own making can say NaN, and a whole number can be larger than any float.
        if isinstance(score, bool) or not abs(score) <= sys.float_info.max:
            raise InputError(f"question {question_id} has no finite number: {str(score)[:40]}", path)
        scores[question_id] = float(score)
    return scores


def check_out(out: Path) -> None:
    """Makes sure that an evaluation may be written to a folder; to be called before there is one.

    Raises:
        DatasetError: it holds something else.
    """
    try:
        reason = foreign(out, KIND, lambda out: says(out / METRICS, *OF_EVERY_VERSION))
    except OSError as exc:
        raise DatasetError(f"{out} cannot be read: {exc.strerror}") from exc
    if reason:
        raise DatasetError(reason)


def write_evaluation(
    evaluation: Evaluation | BioasqEvaluation, out: Path, comparison: Comparison | None = None
) -> None:
    """metrics.txt, metrics.json, metrics.parquet, report.html; questions.parquet with every question's scores where a
    model was evaluated. Of a SQuAD file predictions.json, best_predictions.json and null_odds.json in the official
    formats; of a BioASQ file submission.json in the challenge's.

    An evaluation that is there is replaced, file by file.

    Raises:
        DatasetError: the folder holds something else, or cannot be written.
    """
    check_out(out)
    mark(out, KIND)
    storage = LocalStorage(out)
    for name, content in _contents(evaluation, comparison):
        storage.write(name, content)


def _contents(
    evaluation: Evaluation | BioasqEvaluation, comparison: Comparison | None
) -> Iterator[tuple[str, bytes | memoryview]]:
    yield "metrics.txt", format_table(evaluation, comparison).encode()
    table = {
        "dataset": evaluation.dataset,
        "model": evaluation.model,
        "threshold": evaluation.threshold,
        "metrics": dict(evaluation.metrics),
        "metrics_at_threshold_0": dict(evaluation.at_zero) if evaluation.at_zero else None,
        "reliability": [asdict(b) for b in evaluation.reliability],
        "notes": list(evaluation.notes),
        **(evaluation.findings().as_json() if evaluation.judged else {}),
        **({"beside": asdict(comparison)} if comparison else {}),
    }
    yield METRICS, _json(table, indent=2)
    yield "report.html", render_evaluation_page(evaluation, comparison).encode()
    zero = evaluation.at_zero or {}
    rows = [{"metric": k, "value": v, "value_at_0": zero.get(k)} for k, v in evaluation.metrics.items()]
    header = {"dataset": evaluation.dataset, "model": evaluation.model, "threshold": repr(evaluation.threshold)}
    yield "metrics.parquet", _parquet(pa.Table.from_pylist(rows, TABLE_SCHEMA.with_metadata(header)))
    if isinstance(evaluation, BioasqEvaluation):
        yield from _of_bioasq(evaluation, header)
    else:
        yield from _of_squad(evaluation, header)


def _of_squad(evaluation: Evaluation, header: dict[str, str]) -> Iterator[tuple[str, bytes | memoryview]]:
    yield "predictions.json", _json(evaluation.predictions)
    if evaluation.no_answer:
        yield "best_predictions.json", _json(dict(evaluation.answers))
        # A paragraph without a token has an infinite one, which is no number in JSON.
        most = sys.float_info.max
        yield "null_odds.json", _json({i: max(-most, min(most, s)) for i, s in evaluation.no_answer.items()})
    if evaluation.questions:
        scores = score_questions(evaluation.gold, evaluation.predictions)
        questions = [
            asdict(q) | (asdict(scores[q.id]) if q.id in scores else {"has_answer": None}) for q in evaluation.questions
        ]
        schema = QUESTION_SCHEMA.with_metadata(header)
        yield "questions.parquet", _parquet(pa.Table.from_pylist(questions, schema), compression="zstd")


def _of_bioasq(evaluation: BioasqEvaluation, header: dict[str, str]) -> Iterator[tuple[str, bytes | memoryview]]:
    yield "submission.json", evaluation.submission()
    rows = []
    for question in evaluation.questions:
        if answer := evaluation.answers.get(question.id):
            score = evaluation.scores.get(question.id)
            own = {"question": question.text, "type": str(question.type), "gold": question.gold}
            rows.append(asdict(answer) | own | (asdict(score) if score else {}))
    yield (
        "questions.parquet",
        _parquet(pa.Table.from_pylist(rows, BIOASQ_SCHEMA.with_metadata(header)), compression="zstd"),
    )


def _json(content: object, indent: int | None = None) -> bytes:
    return (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode()


def _parquet(table: pa.Table, compression: str = "snappy") -> memoryview:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression)
    return memoryview(sink.getvalue())


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
        raise InputError(f"question {wrong[0]} has a value of the wrong kind: {str(content[wrong[0]])[:40]}", path)
    return {q.id: content[q.id] for q in gold}
