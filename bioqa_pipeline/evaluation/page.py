"""An evaluation into one self-contained HTML page: figures, plots and errors, without scripts or outside files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from bioqa_pipeline.evaluation.beside import Comparison
from bioqa_pipeline.evaluation.bioasq_evaluate import BioasqEvaluation
from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.evaluation.findings import Findings
from bioqa_pipeline.evaluation.judged import SAMPLES, Interval
from bioqa_pipeline.evaluation.silence import Silence
from bioqa_pipeline.evaluation.table import is_count
from bioqa_pipeline.html.page import asset, environment, html_page
from bioqa_pipeline.html.plots import Mark, Series, histogram, line_plot
from bioqa_pipeline.messages import counted

# An interval from fewer questions says little.
FEW = 30
# What a reader asks first, with its unit.
HEADLINE = {
    "f1": "F1, %",
    "exact": "exact, %",
    "HasAns_f1": "F1 with an answer, %",
    "NoAns_f1": "silent where right, %",
    "strict_accuracy": "first answer right",
    "lenient_accuracy": "one of five right",
    "mrr": "mean reciprocal rank",
    "list_f1": "lists, F1",
    "auroc_margin": "tells answerable, AUROC",
    "auroc_right": "tells right, AUROC",
    "ece": "calibration error",
    "ece_right": "calibration error",
}


def render_evaluation_page(evaluation: Evaluation | BioasqEvaluation, comparison: Comparison | None = None) -> str:
    """The page as HTML."""
    zero = evaluation.at_zero
    is_bioasq = isinstance(evaluation, BioasqEvaluation)
    findings = evaluation.findings()
    title = "BioASQ evaluation" if is_bioasq else "SQuAD evaluation"
    knows_threshold = isinstance(evaluation, BioasqEvaluation) or bool(evaluation.no_answer)
    body = (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            title=title,
            model=evaluation.model,
            dataset=evaluation.dataset,
            threshold=f"{evaluation.threshold:g}" if knows_threshold else None,
            notes=evaluation.notes,
            headline=list(_headline(evaluation.metrics, findings)),
            few=FEW,
            n_judged=len(evaluation.judged),
            has_zero=zero is not None,
            has_intervals=bool(findings.intervals),
            samples=SAMPLES,
            metrics=[
                (
                    name,
                    _value(name, value),
                    _interval(findings.intervals.get(name), 2 if "%" in HEADLINE.get(name, "%") else 4),
                    _value(name, zero[name]) if zero and name in zero else "",
                )
                for name, value in evaluation.metrics.items()
            ],
            comparison=comparison,
            compared=list(_compared(comparison)) if comparison else [],
            plots=list(_plots(evaluation, findings, comparison)),
            silence=findings.silence,
            reliability=evaluation.reliability,
            grouped=findings.grouped,
            groups=findings.groups,
            words=findings.words,
            errors=findings.errors,
        )
    )
    return html_page(title, body, style=asset("evaluation.css"))


def _value(name: str, value: float) -> str:
    return f"{int(value):,}" if is_count(name) else f"{value:.4f}"


def _interval(interval: Interval | None, digits: int) -> str:
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}" if interval else ""


def _headline(metrics: Mapping[str, float], findings: Findings) -> Iterator[tuple[str, str, str, str]]:
    """(name, value, interval, number of questions) of each tile."""
    for name, title in HEADLINE.items():
        if name in metrics:
            digits = 1 if title.endswith("%") else 3
            n = _n_questions(metrics, name)
            of = "" if n is None else f"{'only ' * (n < FEW)}{counted(n, 'question')}"
            yield title, f"{metrics[name]:.{digits}f}", _interval(findings.intervals.get(name), digits), of
    if findings.silence:
        for aim in findings.silence.aims:
            yield f"answered at {aim.percent} % right", f"{100 * aim.coverage:.1f} %", "", ""


def _n_questions(metrics: Mapping[str, float], name: str) -> int | None:
    """How many questions a metric is of; None where no other metric says so."""
    own = f"{name.split('_')[0]}_total"  # of HasAns_f1, NoAns_f1 and list_f1
    totals = (own, "total") if name.endswith("_right") else (own, "total", "factoid_total")
    return next((int(metrics[total]) for total in totals if total in metrics), None)


def _compared(comparison: Comparison) -> Iterator[tuple[str, str, str, str]]:
    for figure in comparison.figures:
        sign = "+" if figure.difference > 0 else ""
        ours, theirs = (_value(figure.name, v) for v in (figure.ours, figure.theirs))
        yield figure.name, ours, theirs, sign + _value(figure.name, figure.difference)


def _plots(
    evaluation: Evaluation | BioasqEvaluation, findings: Findings, comparison: Comparison | None
) -> Iterator[Markup]:
    """Those that the evaluation has numbers for."""
    if isinstance(evaluation, Evaluation) and evaluation.no_answer and evaluation.gold:
        yield from _of_thresholds(evaluation)
    if findings.silence:
        yield _risk(findings.silence, comparison)
    if evaluation.reliability:
        yield _reliability(evaluation)


def _of_thresholds(evaluation: Evaluation) -> Iterator[Markup]:
    marks = [Mark(f"threshold {evaluation.threshold:g}", evaluation.threshold)]
    has_answer = {q.id: bool(q.answers) for q in evaluation.gold}
    yield _f1_over_threshold(evaluation, marks)
    if any(has_answer.values()) and not all(has_answer.values()):
        yield _precision_and_recall(evaluation)
    scores = [
        (name, [score for i, score in evaluation.no_answer.items() if has_answer.get(i) is kind])
        for name, kind in (("answerable", True), ("unanswerable", False))
    ]
    yield histogram("No-answer scores", "no-answer score (score_diff)", scores, marks)


def _f1_over_threshold(evaluation: Evaluation, marks: Sequence[Mark]) -> Markup:
    curve = [(p.threshold, p.f1, p.has_answer_f1, p.no_answer) for p in evaluation.curve()]
    if evaluation.threshold < curve[0][0]:  # below all scores nothing is answered
        n_silent = sum(not q.answers for q in evaluation.gold)
        curve.insert(0, (evaluation.threshold, 100.0 * n_silent / len(evaluation.gold), 0.0, 100.0 * bool(n_silent)))
    elif evaluation.threshold > curve[-1][0]:
        curve.append((evaluation.threshold, *curve[-1][1:]))
    thresholds, *figures = zip(*curve, strict=True)
    names = ("all questions", "answerable", "unanswerable")
    lines = [Series(name, thresholds, own, steps=True) for name, own in zip(names, figures, strict=True)]
    return line_plot("F1 over the threshold", "threshold on the no-answer score", "F1, %", lines, marks)


def _precision_and_recall(evaluation: Evaluation) -> Markup:
    curves = [(name, evaluation.precision_recall(name)) for name in ("exact", "f1", "oracle")]
    lines = [Series(f"{name}, AP {c.average_precision:.1f}", c.recall, c.precision) for name, c in curves]
    return line_plot("Precision and recall", "recall", "precision", lines)


def _risk(silence: Silence, comparison: Comparison | None) -> Markup:
    points = silence.points
    lines = [Series("this", [100 * p.coverage for p in points], [100 * (1 - p.exactness) for p in points])]
    if comparison and comparison.beside.curve:
        curve = comparison.beside.curve
        lines.append(Series("beside", [100 * x for x, _ in curve], [100 * (1 - y) for _, y in curve]))
    return line_plot("Risk against coverage", "questions answered, surest first, %", "answers not exact, %", lines)


def _reliability(evaluation: Evaluation | BioasqEvaluation) -> Markup:
    bins = evaluation.reliability
    is_bioasq = isinstance(evaluation, BioasqEvaluation)
    lines = [
        Series("equal-mass bins", [b.predicted for b in bins], [b.observed for b in bins], dots=True),
        Series("perfect", [0.0, 1.0], [0.0, 1.0]),
    ]
    share = "share whose first answer is right" if is_bioasq else "share that is answerable"
    return line_plot("Reliability of the answerability", "predicted probability", share, lines)
