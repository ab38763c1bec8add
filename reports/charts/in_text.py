"""Stacked bars drawn in letters, for where there is no picture."""

from __future__ import annotations

from reports.charts.chart import StackedBars
from reports.charts.data import number, total, value_of
from reports.charts.text import letters, shortened

_MARKS = "█▒▓░▚▞◆▪╱·"
_LIMIT = "┊"
_CELLS = 48
_NAME = 24
_LINE = 76


def in_text(chart: StackedBars) -> str:
    """A line a bar, with its height at the end; then the limit, and what the marks stand for. Up to 90 columns wide."""
    names = [shortened(name, _NAME) for name in chart.bars]
    widest = max(map(letters, names), default=0)
    totals = [total(chart, bar) for bar in range(len(names))]
    highest = max([*totals, chart.limit[1] if chart.limit else 0])
    lines = [
        f"{name}{' ' * (widest - letters(name))}  {_bar(chart, bar, highest)}  {number(totals[bar])}"
        for bar, name in enumerate(names)
    ]
    if chart.limit:
        name, limit = chart.limit
        lines.append(f"{_LIMIT} {shortened(name, _LINE - 20)}: {number(limit)} {shortened(chart.unit, 12)}")
    return "\n".join([*lines, *_legend(chart)])


def _bar(chart: StackedBars, bar: int, highest: float) -> str:
    """The parts in order, each edge within half a cell of its place."""
    cells, so_far = "", 0.0
    for place, part in enumerate(chart.parts):
        so_far += value_of(part, bar) or 0
        end = round(so_far / highest * _CELLS) if highest > 0 else 0
        cells += _MARKS[place % len(_MARKS)] * (end - len(cells))
    cells = cells.ljust(_CELLS)
    if chart.limit and highest > 0:
        at = min(_CELLS - 1, max(0, round(chart.limit[1] / highest * _CELLS)))
        cells = cells[:at] + (_LIMIT if cells[at] == " " else cells[at]) + cells[at + 1 :]
    return cells


def _legend(chart: StackedBars) -> list[str]:
    """The entries, as many in a line as there is room for."""
    lines = [""]
    for place, part in enumerate(chart.parts):
        entry = f"{_MARKS[place % len(_MARKS)]} {shortened(part.name, _NAME)}"
        if lines[-1] and letters(lines[-1]) + letters(entry) + 3 > _LINE:
            lines.append("")
        lines[-1] += f"{'   ' if lines[-1] else ''}{entry}"
    return lines
