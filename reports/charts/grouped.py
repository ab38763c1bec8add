"""Groups of bars side by side."""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.charts.chart import GroupedBars
from reports.charts.data import number, value_of
from reports.charts.style import WIDTH, bar_names, legend_entry, look, name_entries, scale, title

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

_LABELLED = 24
"""Up to this many bars have their value written above them."""

_COLUMNS = 4


def size(chart: GroupedBars) -> tuple[float, float]:
    """Inches."""
    return WIDTH, 3.8 + 0.2 * (len(chart.bars) // _COLUMNS)


def draw(chart: GroupedBars, figure: Figure) -> None:
    """The bar of series `j` in group `i` is named `part-j-i`, the series' entry in the legend `legend-j`."""
    axes = figure.add_subplot()
    width = 0.8 / max(1, len(chart.bars))
    labelled = len(chart.bars) * len(chart.groups) <= _LABELLED
    highest = 0.0
    handles: list[Artist] = []
    for place, series in enumerate(chart.bars):
        values = {group: value for group in range(len(chart.groups)) if (value := value_of(series, group)) is not None}
        lefts = [group + (place - (len(chart.bars) - 1) / 2) * width for group in values]
        drawn = axes.bar(lefts, list(values.values()), width, **look(place))
        for (group, value), left, patch in zip(values.items(), lefts, drawn.patches, strict=True):
            patch.set_gid(f"part-{place}-{group}")
            highest = max(highest, value)
            if labelled:
                axes.annotate(
                    number(value),
                    (left, value),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6,
                    gid=f"value-{place}-{group}",
                )
        handles.append(legend_entry(place, series.name))
    scale(axes, highest, chart.unit)
    bar_names(axes, chart.groups, WIDTH - 0.7)
    title(figure, chart.title)
    if handles:
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=_COLUMNS, frameon=False, handlelength=1.6
        )
        name_entries(legend, range(len(handles)))
