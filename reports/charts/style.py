"""How charts look: colours told apart in grey and with any colour vision, axes, and names under bars."""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict

from reports.charts.text import letters, shortened, visible, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.patches import Patch

WIDTH = 8.0
"""Inches of every chart."""

# these four the HTML page gives other colours in the dark
INK = "#222222"
PAPER = "#ffffff"
FAINT = "#888888"
GRID = "#dddddd"

EMPHASIS = "#D55E00"
PLAIN = "#0072B2"

# Okabe and Ito's colours, and two greys for their black; a dark one stands beside a light one
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#F0E442", "#CC79A7", "#777777", "#BBBBBB")
# of lines only: each dot of a hatch takes a hundred bytes of an SVG
_HATCHES = ("", "", "///", "", "---", "", "\\\\\\", "xx", "")
_LATER_HATCHES = ("++", "||", "//", "\\\\", "--")
_POINTS_PER_LETTER = 5.8
"""Width of a letter of 9 points, a little more than DejaVu Sans takes on average."""

SETTINGS = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "hatch.color": PAPER,
    "hatch.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


class Look(TypedDict):
    """How a bar is filled and edged, by matplotlib's names."""

    facecolor: str
    hatch: str
    edgecolor: str
    linewidth: float


def look(place: int) -> Look:
    """How the bars of the series at this place look: no two alike among the first fifty-four."""
    turn, colour = divmod(place, len(_COLOURS))
    hatch = _LATER_HATCHES[(turn - 1) % len(_LATER_HATCHES)] if turn else _HATCHES[colour]
    return {"facecolor": _COLOURS[colour], "hatch": hatch, "edgecolor": PAPER, "linewidth": 0.6}


def legend_entry(place: int, name: str) -> Patch:
    """What stands in the legend for the series at this place."""
    from matplotlib.patches import Patch

    return Patch(**look(place), label=shortened(name, 26))


def name_entries(legend: Legend, places: Iterable[int | None]) -> None:
    """Name each entry of a legend by its series' place: `legend-2` its look, `legend-name-2` its text."""
    for place, handle, text in zip(places, legend.legend_handles, legend.get_texts(), strict=True):
        if place is not None and handle:
            handle.set_gid(f"legend-{place}")
            text.set_gid(f"legend-name-{place}")


def title(figure: Figure, text: str) -> None:
    """The chart's title, above on the left."""
    figure.suptitle(wrapped(text, 62, 2), x=0.006, ha="left", fontweight="bold", fontsize=11)


def bar_names(axes: Axes, names: tuple[str, ...], width: float) -> None:
    """Names under bars at 0, 1, 2 …, along `width` inches: in lines where words have room, else upright.

    Of more names than there is room for, every so many is shown. A chart of no bar says so.
    """
    count = max(4, len(names))
    axes.set_xlim((len(names) - 1 - count) / 2, (len(names) - 1 + count) / 2)
    room = int(width * 72 / count / _POINTS_PER_LETTER)
    if max((letters(word) for name in names for word in visible(name).split()), default=0) <= room:
        axes.set_xticks(range(len(names)), [wrapped(name, room) for name in names])
    else:
        places = range(0, len(names), -(-len(names) // int(width * 72 / 9)))
        axes.set_xticks(places, [shortened(names[place], 24) for place in places], rotation=90, fontsize=7)
    axes.tick_params(axis="x", length=0)
    if not names:
        nothing(axes)


def nothing(axes: Axes) -> None:
    """Say in the middle that there is nothing to show, and show no scale."""
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", color=INK)


def scale(axes: Axes, highest: float, unit: str) -> None:
    """The upright axis of bars: from zero to a little above the highest, in `unit`."""
    axes.set_ylim(0, 1.1 * highest if highest > 0 else 1)
    axes.set_ylabel(shortened(unit, 20))
    axes.grid(axis="y", linewidth=0.6)
