"""The figures that a chart shows, as a table of text."""

from __future__ import annotations

from math import isfinite

from reports.charts.chart import Chart, GroupedBars, Points, Ranges, Series, StackedBars

NONE = "–"
"""Stands where a chart has no value."""


def number(value: float | None) -> str:
    """`46.90`, `0.0031`, `12,345`: three digits at least, two decimals at most unless all would be zeros."""
    if value is None or not isfinite(value):
        return NONE
    size = abs(value)
    if size >= 1e12 or 0 < size < 0.005:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 10_000 else f"{value:,.2f}"


def table(chart: Chart) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The head and the rows: the first column is text, the others are figures."""
    match chart:
        case StackedBars():
            places = range(len(chart.bars))
            rows = [(part.name, *(number(value_of(part, bar)) for bar in places)) for part in chart.parts]
            rows.append(("in all", *(number(total(chart, bar)) for bar in places)))
            if chart.limit:
                rows.append((chart.limit[0], *(number(chart.limit[1]) for _ in places)))
            return (f"in {chart.unit}", *chart.bars), tuple(rows)
        case GroupedBars():
            rows = [
                (name, *(number(value_of(bar, place)) for bar in chart.bars)) for place, name in enumerate(chart.groups)
            ]
            return (f"in {chart.unit}", *(bar.name for bar in chart.bars)), tuple(rows)
        case Ranges():
            rows = ((row.label, number(row.low), number(row.value), number(row.high)) for row in chart.rows)
            return (f"in {chart.unit}", "low", "expected", "high"), tuple(rows)
        case Points():
            rows = ((point.label, number(point.x), number(point.y)) for point in chart.points)
            return ("", chart.x_title, chart.y_title), tuple(rows)


def value_of(series: Series, place: int) -> float | None:
    """The finite value of a bar in a series; None where it has none."""
    value = series.values[place] if place < len(series.values) else None
    return value if value is not None and isfinite(value) else None


def total(chart: StackedBars, bar: int) -> float:
    """How high a bar of stacked parts is, in the chart's unit."""
    return sum(value_of(part, bar) or 0 for part in chart.parts)


def as_text(chart: Chart) -> str:
    """The table with a line a row and tabs between: what a drawn picture says about itself."""
    head, rows = table(chart)
    return "\n".join("\t".join(row) for row in (head, *rows))


def spoken(chart: Chart) -> dict[str, str]:
    """What each bar or point says when it is asked, by the name that it has in the drawn SVG: `part-2-3`."""
    match chart:
        case StackedBars():
            return _spoken_bars(chart.bars, chart.parts, chart.unit)
        case GroupedBars():
            return _spoken_bars(chart.groups, chart.bars, chart.unit)
        case Ranges():
            said = (
                f"{row.label}: {number(row.value)} {chart.unit} ({number(row.low)} to {number(row.high)})"
                for row in chart.rows
            )
        case Points():
            said = (
                f"{point.label}: {number(point.x)} {chart.x_title}, {number(point.y)} {chart.y_title}"
                for point in chart.points
            )
    return {f"part-0-{place}": words for place, words in enumerate(said)}


def _spoken_bars(bars: tuple[str, ...], series: tuple[Series, ...], unit: str) -> dict[str, str]:
    return {
        f"part-{part}-{bar}": f"{name}, {one.name}: {number(value_of(one, bar))} {unit}"
        for part, one in enumerate(series)
        for bar, name in enumerate(bars)
    }
