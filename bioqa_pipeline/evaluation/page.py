"""An evaluation into one self-contained HTML page: the official table and plots, without scripts or outside files."""

from __future__ import annotations

from html import escape
from pathlib import Path

from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.html.page import html_page
from bioqa_pipeline.html.plots import Mark, Series, histogram, line_plot

STYLE = """
body { max-width: 66rem; }
p { margin: .2rem 0; color: var(--soft); }
.wide { overflow-x: auto; }
table { margin: 1.2rem 0; }
th, td { padding: .2rem .9rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child { padding-left: 0; text-align: left; font-weight: 400; }
thead th { color: var(--soft); }
td { font-variant-numeric: tabular-nums; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
/* The lines' colours are chosen for white. */
svg { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 4px; }
svg text { font: 11px system-ui, sans-serif; fill: #333; }
svg .t { font-size: 13px; font-weight: 600; }
svg .s { fill: #555; }
svg .g { stroke: #e6e6e6; }
"""


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Writes the page."""
    path.write_text(render_report(evaluation), "utf-8")


def render_report(evaluation: Evaluation) -> str:
    """The page as text."""
    plots = "\n".join(_plots(evaluation))
    body = (
        "<main><h1>SQuAD evaluation</h1>\n"
        f"<p>Model: {escape(evaluation.model)}</p>\n<p>Data set: {escape(evaluation.dataset)}</p>\n"
        f"{_threshold(evaluation)}{_table(evaluation)}\n"
        f'<div class="plots">{plots}</div></main>'
    )
    return html_page("SQuAD evaluation", body, style=STYLE)


def _threshold(evaluation: Evaluation) -> str:
    if not evaluation.no_answer:
        return "<p>No no-answer scores were given: predictions are scored as they are.</p>\n"
    return f"<p>A question counts as unanswerable above a no-answer score of {evaluation.threshold:g}.</p>\n"


def _table(evaluation: Evaluation) -> str:
    zero = evaluation.at_zero
    names = ["metric", "value"] + ["at threshold 0"] * (zero is not None)
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for name, value in evaluation.metrics.items():
        cells = [f'<th scope="row">{escape(name)}</th><td>{_number(value)}</td>']
        if zero is not None:
            cells.append(f"<td>{_number(zero[name]) if name in zero else ''}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide" role="region" aria-label="Metrics" tabindex="0">{table}</div>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:.4f}"


def _plots(evaluation: Evaluation) -> list[str]:
    """Those that the evaluation has numbers for."""
    if not evaluation.no_answer:
        return []
    marks = [Mark(f"threshold {evaluation.threshold:g}", evaluation.threshold)]
    curve = evaluation.curve()
    x = [p.threshold for p in curve]
    plots = [
        line_plot(
            "F1 over the threshold",
            "threshold on the no-answer score",
            "F1, %",
            [
                Series("all questions", x, [p.f1 for p in curve]),
                Series("answerable", x, [p.has_answer_f1 for p in curve]),
                Series("unanswerable", x, [p.no_answer for p in curve]),
            ],
            marks,
        )
    ]
    has_answer = {q.id: bool(q.answers) for q in evaluation.gold}
    if any(has_answer.values()) and not all(has_answer.values()):
        curves = [(name, evaluation.precision_recall(name)) for name in ("exact", "f1", "oracle")]
        series = [Series(f"{name}, AP {c.average_precision:.1f}", c.recall, c.precision) for name, c in curves]
        plots.append(line_plot("Precision and recall", "recall", "precision", series))
    groups = [
        (name, [score for i, score in evaluation.no_answer.items() if has_answer[i] is kind])
        for name, kind in (("answerable", True), ("unanswerable", False))
    ]
    plots.append(histogram("No-answer scores", "no-answer score (score_diff)", groups, marks))
    if evaluation.reliability:
        bins = evaluation.reliability
        plots.append(
            line_plot(
                "Reliability of the answerability",
                "predicted probability",
                "share that is answerable",
                [
                    Series("equal-mass bins", [b.predicted for b in bins], [b.observed for b in bins], dots=True),
                    Series("perfect", [0.0, 1.0], [0.0, 1.0]),
                ],
            )
        )
    return plots
