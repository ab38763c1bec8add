"""Stacked bars in letters."""

from __future__ import annotations

from dataclasses import replace

from reports.charts.chart import Series, StackedBars
from reports.charts.in_text import in_text
from tests.reports.documents.samples import HOSTILE, MEMORY


def test_bars_are_as_long_as_what_they_show() -> None:
    chart = StackedBars(
        "memory", "", "GiB", ("load", "loss"), (Series("weights", (2, 2)), Series("loss", (None, 1))), ("usable", 4)
    )
    # 48 cells are the limit's 4 GiB
    assert in_text(chart).splitlines() == [
        f"load  {'█' * 24}{' ' * 23}┊  2.00",
        f"loss  {'█' * 24}{'▒' * 12}{' ' * 11}┊  3.00",
        "┊ usable: 4.00 GiB",
        "█ weights   ▒ loss",
    ]


def test_no_bar_and_no_height() -> None:
    assert in_text(replace(MEMORY, bars=(), parts=(), limit=None)) == ""
    nothing = replace(MEMORY, bars=("load",), parts=(Series("a", (None,)),), limit=None)
    assert in_text(nothing).splitlines()[0].split() == ["load", "0.00"]


def test_names_from_outside_stay_on_their_line() -> None:
    names = tuple(HOSTILE)
    chart = StackedBars("memory", "", "GiB", names, (Series("a", (1.0,) * len(names)),))
    assert len(in_text(chart).splitlines()) == len(names) + 1
