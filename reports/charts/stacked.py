"""Bars of stacked parts, with a line for the limit."""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.charts.chart import StackedBars
from reports.charts.data import number, total, value_of
from reports.charts.style import INK, PAPER, WIDTH, bar_names, legend_entry, look, name_entries, scale, title
from reports.charts.text import shortened

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_IN_SIGHT = 2.5
"""The limit is drawn up to this many times the highest bar; beyond, the bars would lie flat."""

_TOTALS = 14
"""Up to this many bars have their height written above them."""

_LEGEND = 2.3
"""Inches that the legend takes of the width."""


def size(chart: StackedBars) -> tuple[float, float]:
    """Inches."""
    return WIDTH, max(4.0, 1 + 0.21 * len(chart.parts))


def draw(chart: StackedBars, figure: Figure) -> None:
    """Part `j` of bar `i` is named `part-j-i`, its entry in the legend `legend-j`, a bar's height `total-i`."""
    axes = figure.add_subplot()
    totals = [total(chart, bar) for bar in range(len(chart.bars))]
    highest = max(totals, default=0)
    _stack(chart, axes)
    if len(chart.bars) <= _TOTALS:
        _write_totals(totals, axes)
    limit = _limit(chart, highest, axes)
    drawn_limit = chart.limit[1] if chart.limit and _in_sight(chart.limit[1], highest) else 0
    scale(axes, max(highest, drawn_limit), chart.unit)
    bar_names(axes, chart.bars, WIDTH - _LEGEND - 0.7)
    title(figure, chart.title)
    _explain(chart, limit, axes)


def _stack(chart: StackedBars, axes: Axes) -> None:
    bottoms = [0.0] * len(chart.bars)
    for place, part in enumerate(chart.parts):
        values = {bar: value for bar in range(len(chart.bars)) if (value := value_of(part, bar))}
        drawn = axes.bar(list(values), list(values.values()), 0.66, [bottoms[bar] for bar in values], **look(place))
        for (bar, value), patch in zip(values.items(), drawn.patches, strict=True):
            patch.set_gid(f"part-{place}-{bar}")
            bottoms[bar] += value


def _write_totals(totals: list[float], axes: Axes) -> None:
    for bar, height in enumerate(totals):
        axes.annotate(
            number(height),
            (bar, height),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            zorder=4,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
            gid=f"total-{bar}",
        )


def _limit(chart: StackedBars, highest: float, axes: Axes) -> Line2D | None:
    """The line of the limit, not to be seen where that lies too far above the bars."""
    if not chart.limit:
        return None
    name, limit = chart.limit
    label = f"{shortened(name, 26)}:\n{number(limit)} {shortened(chart.unit, 12)}"
    in_sight = _in_sight(limit, highest)
    if not in_sight:
        label += ", above this picture"
    return axes.axhline(
        limit if in_sight else 0, color=INK, linestyle="--", linewidth=1.3, label=label, visible=in_sight, gid="limit"
    )


def _in_sight(limit: float, highest: float) -> bool:
    return not highest or limit <= _IN_SIGHT * highest


def _explain(chart: StackedBars, limit: Line2D | None, axes: Axes) -> None:
    """The legend beside the bars: the limit, then the parts from the top down."""
    places = list(reversed(range(len(chart.parts))))
    handles: list[Artist] = [legend_entry(place, chart.parts[place].name) for place in places]
    if limit:
        handles.insert(0, limit)
    if not handles:
        return
    legend = axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        borderaxespad=0,
        frameon=False,
        handlelength=1.6,
        handleheight=1,
    )
    name_entries(legend, [None, *places] if limit else places)
