"""One step as a curve of characters."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from planner.units import GIB
from profiler.simulate.types import Timeline
from reports.page import Page
from reports.sparkline import ROWS, sparkline

RAMP = Timeline(
    allocated=tuple(point * GIB for point in range(10, 50)),
    reserved=(52 * GIB,) * 40,
    instants=((0, "end_of_forward"), (30, "loss")),
)


def curve(lines: list[str]) -> list[str]:
    """The rows of cells, the highest first."""
    return [line.partition("│")[2] for line in lines[1 : ROWS + 1]]


def test_live_bytes_rise_from_the_lowest_row_to_the_highest() -> None:
    rows = curve(sparkline(RAMP, Page()))
    assert rows[-1][0] == "▁"
    assert all(row[-1] == "█" for row in rows[1:])
    heights = [sum(" ▁▂▃▄▅▆▇█".find(row[cell]) for row in rows if row[cell] != "─") for cell in range(len(rows[0]))]
    assert heights == sorted(heights)


def test_reserved_is_a_line_above() -> None:
    assert curve(sparkline(RAMP, Page()))[0].startswith("─" * 20)


def test_the_scale_has_both_ends() -> None:
    lines = sparkline(RAMP, Page())
    assert lines[1].split()[0] == "52.0"
    assert lines[ROWS].split()[0] == "10.0"


def test_a_peak_of_one_point_is_kept() -> None:
    sizes = [10 * GIB] * 400
    sizes[211] = 50 * GIB
    timeline = Timeline(tuple(sizes), tuple(sizes), ())
    assert curve(sparkline(timeline, Page()))[0].strip() == "█"


def test_names_stand_where_their_instants_begin() -> None:
    lines = sparkline(RAMP, Page())
    (names,) = lines[ROWS + 1 :]
    start = lines[1].index("│") + 1
    assert names.index("│forward") == start
    assert names.index("│loss") == start + 30 * (80 - start) // 40


def test_names_that_would_run_into_each_other_go_below() -> None:
    close = Timeline(
        RAMP.allocated, RAMP.reserved, ((10, "loss"), (11, "first_backward_block"), (39, "optimizer_step"))
    )
    lines = sparkline(close, Page())[ROWS + 1 :]
    assert len(lines) == 2
    assert "│first backw." in lines[0]
    assert lines[0].endswith("optim. step│")
    assert lines[1].strip() == "│loss"


def test_in_ascii() -> None:
    text = Page(unicode=False).finish(sparkline(RAMP, Page(unicode=False)))
    assert text.isascii()
    assert {"#", ":", ".", "-", "|"} <= set(text)


def test_no_points_no_lines() -> None:
    assert sparkline(Timeline((), (), ()), Page()) == []
    assert sparkline(Timeline((0,), (0,), ((0, "load"),)), Page()) == []


def test_colour_adds_nothing_but_escapes() -> None:
    coloured = sparkline(RAMP, Page(colour=True))
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == sparkline(RAMP, Page())


sizes = st.lists(st.integers(0, 2**50), max_size=300).map(tuple)
starts = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["loss", "evaluation", "n" * 90])), max_size=9)


@given(sizes, sizes, starts.map(tuple), st.integers(40, 100), st.booleans())
def test_any_timeline_fits_any_page(
    allocated: tuple[int, ...],
    reserved: tuple[int, ...],
    instants: tuple[tuple[int, str], ...],
    width: int,
    unicode: bool,
) -> None:
    page = Page(width, unicode=unicode)
    lines = sparkline(Timeline(allocated, reserved, instants), page)
    assert max(map(len, page.finish(lines).split("\n"))) <= width
