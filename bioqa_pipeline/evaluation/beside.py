"""Another evaluation, or a published table, whose figures stand beside an evaluation's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.inputs import read_json
from bioqa_pipeline.paths import DATA

CARDS = DATA / "cards"
METRICS = "metrics.json"
LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Beside:
    """Somebody's figures.

    Attributes:
        name: of the model.
        source: where the figures stand.
        threshold: that they belong to; None where nobody says.
        notes: what they leave open.
        curve: coverage and exactness, see `silence`; empty where there is none.
    """

    name: str
    dataset: str
    source: str
    threshold: float | None
    figures: Mapping[str, float]
    notes: tuple[str, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of both; `difference` is ours less theirs."""

    name: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        return self.ours - self.theirs


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both side by side; `at_zero` where the column at threshold 0 is the one that compares."""

    beside: Beside
    figures: tuple[ComparedFigure, ...]
    at_zero: bool


def known_cards() -> list[str]:
    """The published tables that come with the project."""
    return sorted(path.stem for path in CARDS.glob("*.json"))


def beside_path(spec: str) -> Path | None:
    """The user's file that a name means; None for a published table."""
    return None if spec in known_cards() else Path(spec)


def read_beside(spec: str) -> Beside:
    """A published table by its name, or the folder (or metrics.json) of another evaluation.

    Raises:
        InputError: it cannot be read, or holds no figures.
    """
    own = beside_path(spec)
    if own is None:
        return _card(CARDS / f"{spec}.json")
    path = own / METRICS if own.is_dir() else own
    if not path.is_file():
        raise InputError(
            "is no evaluation: give a folder that python -m flows.evaluate --out wrote, or "
            + " or ".join(known_cards()),
            own,
        )
    content = read_json(path)
    found = content.get("metrics") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not (figures := _figures(found)):
        raise InputError("does not hold the figures of an evaluation", path)
    return Beside(
        name=str(content.get("model") or "a model without a name"),
        dataset=str(content.get("dataset") or "unknown"),
        source=str(path),
        threshold=_number(content.get("threshold")),
        figures=figures,
        curve=tuple(_curve(content.get("silence"))),
    )


def _card(path: Path) -> Beside:
    content = read_json(path)
    return Beside(
        name=content["name"],
        dataset=content["dataset"],
        source=content["source"],
        threshold=content["threshold"],
        figures=_figures(content["figures"]),
        notes=tuple(content["open"]),
    )


def compare(metrics: Mapping[str, float], at_zero: Mapping[str, float] | None, beside: Beside) -> Comparison:
    """The figures that both have, in our order; those at threshold 0 where theirs are.

    Raises:
        InputError: they have none in common.
    """
    use_zero = at_zero is not None and beside.threshold == 0.0
    ours = at_zero if at_zero is not None and use_zero else metrics
    figures = tuple(ComparedFigure(k, v, beside.figures[k]) for k, v in ours.items() if k in beside.figures)
    if not figures:
        raise InputError(f"has no figure in common with this evaluation: {beside.name}", Path(beside.source))
    return Comparison(beside, figures, use_zero)


def _figures(found: Mapping[str, Any]) -> dict[str, float]:
    return {str(k): v for k, given in found.items() if (v := _number(given)) is not None}


def _number(value: Any) -> float | None:
    """None of what is no number, or none that a page could show."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
    return float(value) if is_number else None


def _curve(found: Any) -> list[tuple[float, float]]:
    points = found.get("curve") if isinstance(found, dict) else None
    pairs = (
        [(_number(p.get("coverage")), _number(p.get("exactness"))) for p in points or () if isinstance(p, dict)]
        if isinstance(points, list)
        else []
    )
    return [(x, y) for x, y in pairs if x is not None and y is not None]
