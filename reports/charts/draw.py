"""Charts as files. matplotlib is imported when the first is drawn."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Literal

from reports.charts import grouped, points, ranges, stacked
from reports.charts.chart import Chart, GroupedBars, Points, Ranges, StackedBars
from reports.charts.data import as_text
from reports.charts.figure import picture
from reports.charts.style import SETTINGS
from reports.charts.text import visible, visible_lines


@lru_cache(maxsize=16)  # a report is drawn ahead, while it waits for what else stands in it
def draw(chart: Chart, kind: Literal["svg", "png"]) -> bytes:
    """The chart as a file; the same chart gives the same bytes with the same matplotlib.

    An SVG keeps its text as text, has the chart's title as its own for who hears it, carries the figures it shows
    (`as_text`) as its description, and names each bar, point and legend entry (`part-2-3`: series and place).
    A PNG has 150 dots an inch. Text from outside is shown as text, shortened where it is long.
    """
    about = {"Title": visible(chart.title), "Description": visible_lines(as_text(chart)), "Creator": None}
    match chart:
        case StackedBars():
            size, on_figure = stacked.size(chart), partial(stacked.draw, chart)
        case GroupedBars():
            size, on_figure = grouped.size(chart), partial(grouped.draw, chart)
        case Ranges():
            size, on_figure = ranges.size(chart), partial(ranges.draw, chart)
        case Points():
            size, on_figure = points.SIZE, partial(points.draw, chart)
    drawn = picture(on_figure, kind, size, settings=SETTINGS, metadata=about)
    return drawn.replace(b"<svg ", b'<svg role="img" ', 1) if kind == "svg" else drawn
