"""An evaluation into its table as text."""

from __future__ import annotations

from bioqa_pipeline.evaluation.evaluate import Evaluation


def format_table(evaluation: Evaluation) -> str:
    """The table as text: official names, percents with six digits, the column at threshold 0 where there is one."""
    lines = [f"dataset    {evaluation.dataset}", f"model      {evaluation.model}"]
    if evaluation.no_answer:
        lines.append(f"threshold  {evaluation.threshold:g} on the no-answer score")
    zero = evaluation.at_zero
    lines += ["", f"{'':<22}{'':>14}" + (f"{'threshold 0':>14}" if zero is not None else "")]
    for name, value in evaluation.metrics.items():
        at_zero = f"{_value(name, zero[name]):>14}" if zero is not None and name in zero else ""
        lines.append(f"{name:<22}{_value(name, value):>14}{at_zero}".rstrip())
    return "\n".join(lines) + "\n"


def is_count(name: str) -> bool:
    """Whether a metric counts something, and so has no digits behind the point."""
    return name.endswith("total") or name == "windows"


def _value(name: str, value: float) -> str:
    return f"{int(value)}" if is_count(name) else f"{value:.6f}"
