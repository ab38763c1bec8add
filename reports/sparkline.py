"""Live and reserved bytes over one step, in a few rows of characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from profiler.simulate.types import Timeline
from reports.components import stretch_short
from reports.figures import gib_number
from reports.page import Page

ROWS = 5
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LABEL_ROWS = 3
_GAP = "\u00a0"
"""A space that no other name may take."""


def sparkline(timeline: Timeline, page: Page) -> list[str]:
    """The curve with its scale in GiB, the instants named under where they begin; nothing for no points.

    The scale starts at the lowest live bytes of the step: weights that never move would leave the rest flat.
    """
    points = min(len(timeline.allocated), len(timeline.reserved))
    top = max((*timeline.allocated[:points], *timeline.reserved[:points]), default=0)
    if top <= 0:
        return []
    bottom = min(timeline.allocated[:points])
    if bottom == top:
        bottom = 0
    scale = [gib_number(top, 1), *[""] * (ROWS - 2), gib_number(bottom, 1)]
    margin = max(map(len, scale))
    cells = page.width - margin - 4
    live, reserved = (
        [_eighths(size, bottom, top) for size in _resampled(sizes[:points], cells)]
        for sizes in (timeline.allocated, timeline.reserved)
    )
    begins = [(max(0, min(cells - 1, at * cells // points)), stretch_short(name)) for at, name in timeline.instants]
    return [
        page.heading("One step: live █, reserved ─, in GiB"),
        *(
            f"  {page.style(figure.rjust(margin), 'dim')} {page.style('│', 'dim')}{_row(row, live, reserved, page)}"
            for row, figure in zip(reversed(range(ROWS)), scale, strict=True)
        ),
        *(" " * (margin + 4) + page.style(line, "dim") for line in _labels(begins, cells)),
    ]


def _resampled(sizes: Sequence[int], cells: int) -> list[int]:
    """One size a cell, the largest of its stretch; fewer sizes than cells are repeated."""
    count = len(sizes)
    edges = [cell * count // cells for cell in range(cells + 1)]
    return [max(sizes[start : max(start + 1, end)]) for start, end in pairwise(edges)]


def _eighths(size: int, bottom: int, top: int) -> int:
    """The height of a size in eighths of a row; the lowest is one, so that it is seen."""
    return 1 + max(0, size - bottom) * (8 * ROWS - 1) // (top - bottom)


def _row(row: int, live: Sequence[int], reserved: Sequence[int], page: Page) -> str:
    """A row of cells, 0 the lowest, in runs of one colour."""
    text, run, colour = "", "", ""
    for filled, held in zip(live, reserved, strict=True):
        block = _EIGHTHS[max(0, min(8, filled - 8 * row))]
        line = block == " " and (held - 1) // 8 == row
        cell, its_colour = ("─", "yellow") if line else (block, "blue")
        if its_colour != colour and run:
            text, run = text + page.style(run, colour), ""
        run, colour = run + cell, its_colour
    return text + (page.style(run, colour) if run else "")


def _labels(begins: Sequence[tuple[int, str]], cells: int) -> list[str]:
    """The names under where they begin, each in the first row with room for it; without room they are left out.

    Names stand to the right of their place, and to the left of it at the right edge.
    """
    rightward = [(at, at, f"│{name}") for at, name in begins if at + 1 + len(name) <= cells]
    leftward = [(at, at - 1 - len(name), f"{_GAP}{name}│") for at, name in begins if at + 1 + len(name) > cells]
    rows = [[" "] * cells for _ in range(_LABEL_ROWS)]
    # in this order no name stands where the line to a later one has to pass
    for at, start, label in [*leftward, *reversed(rightward)]:
        for depth, row in enumerate(rows):
            if _free(row, range(start, start + len(label)), at):
                row[start : start + len(label)] = label
                for above in rows[:depth]:
                    above[at] = "│"
                break
            if row[at] not in " │":
                break
    return [line for line in ("".join(row).replace(_GAP, " ").rstrip() for row in rows) if line]


def _free(row: Sequence[str], span: range, at: int) -> bool:
    """Whether a label fits there, its line at `at` shared with one that leads further down."""
    return span.start >= 0 and all(row[cell] == " " or (cell == at and row[cell] == "│") for cell in span)
