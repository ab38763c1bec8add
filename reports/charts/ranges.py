"""Rows with a point and the range around it."""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from reports.charts.chart import Ranges
from reports.charts.data import number
from reports.charts.style import EMPHASIS, GRID, PLAIN, WIDTH, nothing, title
from reports.charts.text import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def size(chart: Ranges) -> tuple[float, float]:
    """Inches."""
    return WIDTH, 1.3 + 0.26 * max(3, len(chart.rows))


def draw(chart: Ranges, figure: Figure) -> None:
    """What is drawn of row `i` is named `range-0-i` (the line) and `part-0-i` (the point)."""
    axes = figure.add_subplot()
    title(figure, chart.title)
    if not chart.rows:
        nothing(axes)
        return
    highest = 0.0
    for place, row in enumerate(chart.rows):
        colour, weight = (EMPHASIS, "bold") if row.emphasis else (PLAIN, "normal")
        if not all(map(isfinite, (row.low, row.value, row.high))):
            continue
        highest = max(highest, row.high, row.value)
        line = axes.plot([row.low, row.high], [place, place], color=colour, linewidth=5, alpha=0.35)
        line[0].set(gid=f"range-0-{place}", solid_capstyle="round")
        point = axes.plot([row.value], [place], "D" if row.emphasis else "o", color=colour, markersize=6)
        point[0].set_gid(f"part-0-{place}")
        axes.annotate(
            number(row.value),
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontweight=weight,
            annotation_clip=False,
        )
    axes.set_yticks(range(len(chart.rows)), [shortened(row.label, 44) for row in chart.rows])
    for label, row in zip(axes.get_yticklabels(), chart.rows, strict=True):
        label.set_fontweight("bold" if row.emphasis else "normal")
    axes.set_ylim(max(2.5, len(chart.rows) - 0.5), -0.5)
    axes.set_xlim(0, 1.04 * highest if highest > 0 else 1)
    axes.set_xlabel(shortened(chart.unit, 40))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.6, color=GRID)
    axes.spines["left"].set_visible(False)
