"""Numbers into small SVG plots for self-contained pages; every text in them is escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from markupsafe import Markup

WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 56, 46
# Of letters as wide as the style makes them, on average.
CHAR_WIDTH = 6.2
# Of lines, in a page's style: distinct for colour-blind readers, legible on its background, light or dark.
COLOURS = ("c1", "c2", "c3", "c4")
MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Series:
    """A named line; `x` and `y` have one length. In steps a value holds from its x to the next one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A named vertical line."""

    name: str
    x: float


def line_plot(title: str, x_label: str, y_label: str, series: Sequence[Series], marks: Sequence[Mark] = ()) -> Markup:
    """An SVG element with axes, grid, lines and a legend; points that are not finite are left out."""
    lines = [_thinned(s) for s in series]
    xs = [x for s in lines for x in s.x] + [m.x for m in marks if math.isfinite(m.x)]
    ys = [y for s in lines for y in s.y]
    x_axis, y_axis = _Axis.over(xs, LEFT, WIDTH - RIGHT), _Axis.over(ys, HEIGHT - BOTTOM, TOP)
    body = _frame(title, x_label, y_label, x_axis, y_axis)
    for line, colour in zip(lines, COLOURS, strict=False):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in zip(line.x, line.y, strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        body.append(f'<polyline points="{points}" class="l {colour}"/>')
        if line.dots:
            body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" class="d {colour}"/>' for x, y in places]
    for mark in marks:
        if math.isfinite(mark.x):
            x = x_axis.place(mark.x)
            body.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="m" '
                f'/><text x="{x + 4:.1f}" y="{TOP - 4}" class="s">{escape(mark.name)}</text>'
            )
    if len(lines) > 1:
        body += _legend([s.name for s in lines])
    return _svg(title, body)


def histogram(
    title: str, x_label: str, groups: Sequence[tuple[str, Sequence[float]]], marks: Sequence[Mark] = (), bins: int = 40
) -> Markup:
    """Overlaid outlines of the shares of each group's values, over common bins; values that are not finite are left
    out."""
    finite = [(name, [v for v in values if math.isfinite(v)]) for name, values in groups]
    everything = [v for _, values in finite for v in values] or [0.0]
    low, high = min(everything), max(everything)
    width = (high - low) / bins or 1.0
    series = []
    for name, values in finite:
        counts = [0] * bins
        for value in values:
            counts[min(bins - 1, int((value - low) / width))] += 1
        total = max(1, len(values))
        xs, ys = [low], [0.0]
        for i, count in enumerate(counts):
            xs += [low + i * width, low + (i + 1) * width]
            ys += [100.0 * count / total] * 2
        series.append(Series(f"{name} ({len(values):,})", [*xs, xs[-1]], [*ys, 0.0]))
    return line_plot(title, x_label, "share of questions, %", series, marks)


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    first: float
    last: float
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], first: float, last: float) -> _Axis:
        """An axis with round ticks that reach over the values, drawn from pixel `first` to pixel `last`."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if high - low < 1e-12:
            low, high = low - 0.5, high + 0.5
        rough = (high - low) / 5
        scale: float = 10.0 ** math.floor(math.log10(rough))
        step = next(scale * f for f in (1, 2, 2.5, 5, 10) if scale * f >= rough * (1 - 1e-9))
        start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(i * step for i in range(start, end + 1))
        return cls(ticks[0], ticks[-1], first, last, ticks)

    def place(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def _thinned(series: Series) -> Series:
    points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if len(points) > MOST_POINTS:
        step = (len(points) - 1) / (MOST_POINTS - 1)
        points = [points[round(i * step)] for i in range(MOST_POINTS)]
    if series.steps:
        points = [point for here, after in pairwise(points) for point in (here, (after[0], here[1]))] + points[-1:]
    return Series(series.name, [x for x, _ in points], [y for _, y in points], series.dots)


def _frame(title: str, x_label: str, y_label: str, x_axis: _Axis, y_axis: _Axis) -> list[str]:
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    body = [
        f'<text x="{LEFT}" y="18" class="t">{escape(title)}</text>',
        f'<text x="{middle_x}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="14" y="{middle_y}" text-anchor="middle" transform="rotate(-90 14 {middle_y})">'
        f"{escape(y_label)}</text>",
    ]
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        body.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="g"/>'
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        body.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    return body


def _legend(names: Sequence[str]) -> list[str]:
    """In a line under the title, where no plotted line crosses it."""
    body, x = [], float(LEFT)
    for name, colour in zip(names, COLOURS, strict=False):
        body.append(
            f'<rect x="{x:.0f}" y="26" width="11" height="11" class="d {colour}"/>'
            f'<text x="{x + 15:.0f}" y="36">{escape(name)}</text>'
        )
        x += 31 + CHAR_WIDTH * len(name)
    return body


def _svg(title: str, body: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(body)}</svg>'
    )
