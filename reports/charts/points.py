"""Points in a plane, joined as steps, each with its name where there is room."""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from reports.charts.chart import Point, Points
from reports.charts.style import EMPHASIS, FAINT, GRID, PAPER, PLAIN, WIDTH, nothing, title
from reports.charts.text import letters, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (WIDTH, 4.6)
"""Inches."""

_NAME = 40
"""Letters of a point's name."""
_LETTER, _LINE = 0.0098, 0.044
"""Width and height of a letter of a name, as shares of the axes."""
_MOST = 12
"""Up to this many points are named; of more, the first, the last and what matters."""


class _Box(NamedTuple):
    """A name's place, in shares of the axes."""

    left: float
    right: float
    bottom: float


def draw(chart: Points, figure: Figure) -> None:
    """Point `i` is named `part-0-i`."""
    axes = figure.add_subplot()
    title(figure, chart.title)
    axes.set_xlabel(shortened(chart.x_title, 40))
    axes.set_ylabel(shortened(chart.y_title, 40))
    points = [(place, point) for place, point in enumerate(chart.points) if isfinite(point.x) and isfinite(point.y)]
    if not points:
        nothing(axes)
        return
    across, up = _axis([point.x for _, point in points]), _axis([point.y for _, point in points])
    axes.set(xlim=across, ylim=up)
    axes.grid(linewidth=0.6, color=GRID)
    axes.step([point.x for _, point in points], [point.y for _, point in points], where="post", color=FAINT)
    for place, point in points:
        marker, colour = ("D", EMPHASIS) if point.emphasis else ("o", PLAIN)
        (drawn,) = axes.plot([point.x], [point.y], marker, color=colour, markersize=7, zorder=3)
        drawn.set_gid(f"part-0-{place}")
    named = [point for _, point in points]
    if len(named) > _MOST:
        named = [point for point in named if point.emphasis or point in (named[0], named[-1])]
    for point, box in _placed(named, across, up):
        axes.annotate(
            shortened(point.label, _NAME),
            (point.x, point.y),
            (box.left, box.bottom),
            textcoords="axes fraction",
            fontsize=8,
            fontweight="bold" if point.emphasis else "normal",
            zorder=2.5,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkB": 4, "shrinkA": 0},
        )


def _axis(values: list[float]) -> tuple[float, float]:
    """Where an axis begins and ends: at zero, unless all values lie far from it and near each other."""
    low, high = min(values), max(values)
    if high <= 0:
        return 0.0, 1.0
    start = 0.0 if low <= high / 2 or low == high else low - 0.5 * (high - low)
    return start, high + 0.12 * (high - start)


def _placed(points: list[Point], across: tuple[float, float], up: tuple[float, float]) -> list[tuple[Point, _Box]]:
    """A place for each name: above its point to the right, or as far above as it is free; without a place, no name."""
    placed: list[tuple[Point, _Box]] = []
    # what matters first; then from below, so that a name pushed up stands above those below it
    for point in sorted(points, key=lambda point: (not point.emphasis, point.y)):
        wide = _LETTER * letters(shortened(point.label, _NAME))
        left = max(0.0, min(_share(point.x, across) + 0.015, 1 - wide))
        bottom = max(0.0, _share(point.y, up)) + 0.025
        while any(_overlap(_Box(left, left + wide, bottom), other) for _, other in placed):
            bottom += _LINE / 4
        if bottom + _LINE <= 1.02:
            placed.append((point, _Box(left, left + wide, bottom)))
    return placed


def _share(value: float, axis: tuple[float, float]) -> float:
    """How far along its axis a value is."""
    start, end = axis
    return (value - start) / (end - start)


def _overlap(box: _Box, other: _Box) -> bool:
    return box.left < other.right and other.left < box.right and abs(box.bottom - other.bottom) < _LINE
