"""A picture of predicted against measured peaks, an engine a panel; and one of speeds.

The bytes of an SVG depend on matplotlib's version, so a picture carries the table of what it shows (`table_in`), which
is part of what `reports.charts.words.words_in` compares.
"""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from planner.errors import InputError
from planner.units import GIB
from profiler.speed.score import SpeedScore
from profiler.validate.score import Score
from reports.charts.figure import picture

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND = 0.05
"""The shaded band: as far as this share of the measurement, to either side."""


class Quantity(NamedTuple):
    """What the axes are of."""

    name: str
    unit: str
    band: float
    """The shaded band: as far as this share of the measurement, to either side."""


PEAK = Quantity("peak", "GiB", BAND)
SPEED = Quantity("speed", "tokens/s and GPU", 0.25)

# Okabe and Ito's colours, told apart with any colour vision; one marker less than colours, so that pairs repeat late
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "^", "s", "D", "v", "P")
_SHADE = "#CCCCCC"
_LINE = "#666666"
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"

Points = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Panel (an engine) -> series (source and level) -> what was measured and predicted of each row."""


def points(scores: Mapping[str, Sequence[Score]]) -> Points:
    """What there is to draw of each engine's scores, as far as an eye can tell: four digits, in order of size."""
    drawn: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for engine, rows in scores.items():
        panel = drawn.setdefault(engine, {})
        for row in sorted(rows, key=lambda row: (row.source, row.level, row.measured)):
            if row.predicted is not None:
                point = (float(f"{row.measured / GIB:.4g}"), float(f"{row.predicted / GIB:.4g}"))
                panel.setdefault(f"{row.source}, {row.level}", []).append(point)
    return drawn


def speed_points(scores: Sequence[SpeedScore]) -> Points:
    """The same of speeds: by the other sources alone, and as shipped."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {"by the other sources alone": {}, "as shipped": {}}
    for row in sorted(scores, key=lambda row: (row.source, row.measured or 0)):
        for panel, speed in zip(panels.values(), (row.held_out, row.predicted), strict=True):
            if row.measured and speed:
                point = (float(f"{row.measured:.4g}"), float(f"{speed.tokens_per_s:.4g}"))
                panel.setdefault(row.source, []).append(point)
    return panels


def table(drawn: Points, quantity: Quantity = PEAK) -> str:
    """The points as text, which a picture of them carries."""
    lines = [f"{quantity.unit} measured and predicted, and a band of {quantity.band:.0%}"]
    for engine, panel in drawn.items():
        lines += [f"{engine}: {label}: {x:g} {y:g}" for label, series in panel.items() for x, y in sorted(series)]
    return "\n".join(lines)


def table_in(svg: str) -> str:
    """The table that a picture carries; nothing for text that is no such picture."""
    try:
        return ElementTree.fromstring(svg).findtext(f".//{_DESCRIPTION}", "")
    except ElementTree.ParseError:
        return ""


def accuracy_picture(drawn: Points, kind: str = "svg", quantity: Quantity = PEAK) -> bytes:
    """The picture as an SVG, or as a PNG; the same points give the same bytes.

    Raises `InputError` where there is no point.
    """
    if not any(drawn.values()):
        raise InputError("no row has both a measurement and a prediction, so there is nothing to draw")
    return picture(
        lambda figure: _draw(drawn, figure, quantity),
        kind,
        (8, 4.5),
        settings={"svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"], "font.size": 9},
        metadata={"Description": table(drawn, quantity)},
    )


def _draw(drawn: Points, figure: Figure, quantity: Quantity) -> None:
    from matplotlib.patches import Patch

    sizes = [size for panel in drawn.values() for series in panel.values() for point in series for size in point]
    limits = (min(sizes) / 1.15, max(sizes) * 1.15)
    styles = dict(zip(_labels(drawn), zip(cycle(_COLOURS), cycle(_MARKERS), strict=False), strict=False))
    panels: list[Axes] = list(figure.subplots(1, len(drawn), sharex=True, sharey=True, squeeze=False)[0])
    for axes, (engine, panel) in zip(panels, drawn.items(), strict=True):
        _axes(axes, limits, quantity.band)
        axes.text(0.04, 0.95, engine, transform=axes.transAxes, va="top", fontweight="bold")
        for label, series in panel.items():
            colour, marker = styles[label]
            x, y = zip(*series, strict=True)
            axes.scatter(x, y, s=14, c=colour, marker=marker, linewidths=0.4, edgecolors="white", zorder=3)
        axes.set_xlabel(f"measured {quantity.name}, {quantity.unit}")
    panels[0].set_ylabel(f"predicted {quantity.name}, {quantity.unit}")
    handles: list[Artist] = [
        panels[0].scatter([], [], s=18, c=colour, marker=marker, linewidths=0.4, label=label)
        for label, (colour, marker) in styles.items()
    ]
    handles.append(Patch(color=_SHADE, linewidth=0, label=f"within {quantity.band:.0%}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _labels(drawn: Points) -> list[str]:
    """The series of all panels, by name: a source has one colour in all of them."""
    return sorted({label for panel in drawn.values() for label in panel})


def _axes(axes: Axes, limits: tuple[float, float], band: float) -> None:
    """Two logarithmic axes of the same scale, the diagonal, and the band about it."""
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=2))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    small, large = limits
    below, above = 1 - band, 1 + band
    corners = [small * below, small * above, large * above, large * below]
    axes.fill([small, small, large, large], corners, color=_SHADE, linewidth=0)
    axes.plot(limits, limits, color=_LINE, linewidth=0.8)
    axes.grid(color="#EEEEEE", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
