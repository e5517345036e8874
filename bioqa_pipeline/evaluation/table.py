"""An evaluation into its table as text."""

from __future__ import annotations

from collections.abc import Iterator

from bioqa_pipeline.evaluation.beside import Comparison
from bioqa_pipeline.evaluation.bioasq_evaluate import BioasqEvaluation
from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.evaluation.findings import Findings
from bioqa_pipeline.evaluation.judged import SAMPLES


def format_table(evaluation: Evaluation | BioasqEvaluation, comparison: Comparison | None = None) -> str:
    """The table as text: official names, percents with six digits, the column at threshold 0 where there is one."""
    lines = [f"dataset    {evaluation.dataset}", f"model      {evaluation.model}"]
    if isinstance(evaluation, BioasqEvaluation) or evaluation.no_answer:
        lines.append(f"threshold  {evaluation.threshold:g} on the no-answer score")
    lines += [f"note       {note}" for note in evaluation.notes]
    zero = evaluation.at_zero
    lines += ["", f"{'':<22}{'':>14}" + (f"{'threshold 0':>14}" if zero is not None else "")]
    for name, value in evaluation.metrics.items():
        at_zero = f"{_value(name, zero[name]):>14}" if zero is not None and name in zero else ""
        # The terminal's own rate has the start of Prefect and of the model in it.
        of = "  scoring alone, without the start" if name == "questions_per_second" else ""
        lines.append(f"{name:<22}{_value(name, value):>14}{at_zero}{of}".rstrip())
    if evaluation.judged:
        lines += _further(evaluation.findings())
    if comparison:
        lines += _beside(comparison)
    return "\n".join(lines) + "\n"


def is_count(name: str) -> bool:
    """Whether a metric counts something, and so has no digits behind the point."""
    return name.endswith("total") or name == "windows"


def _further(findings: Findings) -> Iterator[str]:
    yield ""
    yield f"95 % intervals ({SAMPLES:,} resamples of the questions)"
    for name, interval in findings.intervals.items():
        yield f"  {name:<20}{interval.low:>14.4f}{interval.high:>14.4f}"
    if not findings.silence:
        return
    yield ""
    yield f"most questions answered while so many answers are exactly right (surest first, by {findings.silence.by})"
    for aim in findings.silence.aims:
        cut = f"from {aim.point.certainty:.4f} on" if aim.point else "none is sure enough"
        yield f"  {aim.percent} % right{'':<11}{100 * aim.coverage:>13.2f}%  {cut}"


def _beside(comparison: Comparison) -> Iterator[str]:
    other = comparison.beside
    yield ""
    yield f"beside     {other.name}"
    yield f"           {other.dataset}; {other.source}"
    yield f"{'':<22}{'threshold 0' if comparison.at_zero else 'this':>14}{'beside':>14}{'difference':>14}"
    for figure in comparison.figures:
        values = (_value(figure.name, figure.ours), _value(figure.name, figure.theirs))
        sign = "+" if figure.difference > 0 else ""
        difference = sign + _value(figure.name, figure.difference)
        yield f"  {figure.name:<20}{values[0]:>14}{values[1]:>14}{difference:>14}"
    yield from (f"  open: {note}" for note in other.notes)


def _value(name: str, value: float) -> str:
    return f"{int(value)}" if is_count(name) else f"{value:.6f}"
