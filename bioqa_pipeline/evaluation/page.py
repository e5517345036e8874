"""An evaluation into one self-contained HTML page: the official table and plots, without scripts or outside files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.evaluation.table import is_count
from bioqa_pipeline.html.page import asset, environment, html_page
from bioqa_pipeline.html.plots import Mark, Series, histogram, line_plot


def render_evaluation_page(evaluation: Evaluation) -> str:
    """The page as HTML."""
    zero = evaluation.at_zero
    body = (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            model=evaluation.model,
            dataset=evaluation.dataset,
            threshold=f"{evaluation.threshold:g}" if evaluation.no_answer else None,
            has_zero=zero is not None,
            metrics=[
                (name, _value(name, value), _value(name, zero[name]) if zero and name in zero else "")
                for name, value in evaluation.metrics.items()
            ],
            plots=list(_plots(evaluation)) if evaluation.no_answer else [],
        )
    )
    return html_page("SQuAD evaluation", body, style=asset("evaluation.css"))


def _value(name: str, value: float) -> str:
    return f"{int(value):,}" if is_count(name) else f"{value:.4f}"


def _plots(evaluation: Evaluation) -> Iterator[Markup]:
    """Those that the evaluation has numbers for."""
    marks = [Mark(f"threshold {evaluation.threshold:g}", evaluation.threshold)]
    has_answer = {q.id: bool(q.answers) for q in evaluation.gold}
    yield _f1_over_threshold(evaluation, marks)
    if any(has_answer.values()) and not all(has_answer.values()):
        yield _precision_and_recall(evaluation)
    scores = [
        (name, [score for i, score in evaluation.no_answer.items() if has_answer[i] is kind])
        for name, kind in (("answerable", True), ("unanswerable", False))
    ]
    yield histogram("No-answer scores", "no-answer score (score_diff)", scores, marks)
    if evaluation.reliability:
        yield _reliability(evaluation)


def _f1_over_threshold(evaluation: Evaluation, marks: Sequence[Mark]) -> Markup:
    curve = evaluation.curve()
    thresholds = [p.threshold for p in curve]
    lines = [
        Series("all questions", thresholds, [p.f1 for p in curve]),
        Series("answerable", thresholds, [p.has_answer_f1 for p in curve]),
        Series("unanswerable", thresholds, [p.no_answer for p in curve]),
    ]
    return line_plot("F1 over the threshold", "threshold on the no-answer score", "F1, %", lines, marks)


def _precision_and_recall(evaluation: Evaluation) -> Markup:
    curves = [(name, evaluation.precision_recall(name)) for name in ("exact", "f1", "oracle")]
    lines = [Series(f"{name}, AP {c.average_precision:.1f}", c.recall, c.precision) for name, c in curves]
    return line_plot("Precision and recall", "recall", "precision", lines)


def _reliability(evaluation: Evaluation) -> Markup:
    bins = evaluation.reliability
    lines = [
        Series("equal-mass bins", [b.predicted for b in bins], [b.observed for b in bins], dots=True),
        Series("perfect", [0.0, 1.0], [0.0, 1.0]),
    ]
    return line_plot("Reliability of the answerability", "predicted probability", "share that is answerable", lines)
