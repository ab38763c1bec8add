"""A picture of live and reserved bytes over one training step."""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.units import GIB
from profiler.simulate.types import Simulation
from profiler.whole_file import whole_file
from reports.charts.figure import picture
from reports.components import stretch
from reports.figures import gib
from reports.verdict import simulation_title, verdict_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "svg")

# Okabe and Ito's colours, told apart with any colour vision and in grey
_LIVE = "#56B4E9"
_EDGE = "#0072B2"
_RESERVED = "#D55E00"
_USABLE = "#000000"
_SHADE = 0.07
"""Darkness of every other instant."""
_ROW = 13
"""Points from one row of names to the next."""
_LETTER = 0.0075
"""Width of a letter of an instant's name, as a share of the axis."""

_IN_SIGHT = 2.5
"""The card's line is drawn up to this many times the reserved peak; beyond, the curves would lie flat."""


def write_timeline(simulation: Simulation, path: Path) -> None:
    """Write the picture as PNG or SVG, by the name's ending; the same simulation gives the same bytes.

    Raises `InputError` for another ending, a simulation of no step, and a path that cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise InputError(f"a timeline is written as .png or .svg: give {str(path)!r} one of these endings")
    drawn = _drawn(simulation, kind)
    try:
        with whole_file(path) as file:
            file.write(drawn)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"the timeline cannot be written to {str(path)!r}: {reason}; name another file") from error


def _drawn(simulation: Simulation, kind: str) -> bytes:
    if not simulation.timeline.allocated:
        raise InputError("this simulation has no step to draw a timeline of")
    return picture(
        lambda figure: _draw(simulation, figure.add_subplot()),
        kind,
        (10, 5),
        settings={"font.size": 10, "text.parse_math": False},
    )


def _draw(simulation: Simulation, axes: Axes) -> None:
    timeline = simulation.timeline
    places = range(len(timeline.allocated))
    live = [size / GIB for size in timeline.allocated]
    reserved = [size / GIB for size in timeline.reserved]
    highest = max(*live, *reserved)
    axes.fill_between(places, live, step="mid", color=_LIVE, edgecolor=_EDGE, linewidth=0.8, label="live tensors")
    axes.step(places, reserved, where="mid", color=_RESERVED, linewidth=1.8, label="reserved by PyTorch's allocator")
    if simulation.gpu:
        usable = simulation.gpu.usable_bytes / GIB
        label = f"usable on {simulation.gpu.name}: {gib(simulation.gpu.usable_bytes)}"
        if usable <= _IN_SIGHT * highest:
            axes.axhline(usable, color=_USABLE, linestyle="--", linewidth=1.3, label=label)
            highest = max(highest, usable)
        else:
            axes.plot([], [], color=_USABLE, linestyle="--", linewidth=1.3, label=f"{label}, above this picture")
    axes.set_xlim(0, max(1, len(live) - 1))
    axes.set_ylim(0, max(highest, 1 / GIB) * 1.06)
    rows = _instants(simulation, axes)
    title = _title(simulation)
    axes.set_title(title, loc="left", fontweight="bold", fontsize=min(12, 900 / len(title)), pad=26)
    axes.set_ylabel("GiB")
    axes.set_xlabel("one training step, allocation by allocation", labelpad=8 + _ROW * rows)
    axes.set_xticks([])
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _instants(simulation: Simulation, axes: Axes) -> int:
    """Shade every other instant and name each below where it begins; gives the rows that the names take."""
    timeline = simulation.timeline
    last = max(1, len(timeline.allocated) - 1)
    free_until: list[float] = []
    spans = list(pairwise([*timeline.instants, (last, "")]))
    # from the right, each in the first row where it ends before the next: no line to a name crosses another
    for number, ((start, name), (end, _)) in reversed(list(enumerate(spans))):
        if number % 2:
            axes.axvspan(start, end, color="black", alpha=_SHADE, zorder=3, linewidth=0)
        label, left = stretch(name), start / last
        ends = left + _LETTER * (len(label) + 2)
        row = next((row for row, edge in enumerate(free_until) if ends <= edge), len(free_until))
        free_until[: row + 1] = [left] * (row + 1)
        axes.annotate(
            f" {label}",
            (start, 0),
            xytext=(0, -_ROW * (row + 1)),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=9,
            color="#333333",
            arrowprops={"arrowstyle": "-", "color": "#888888", "linewidth": 0.7, "shrinkA": 0, "relpos": (0, 0)},
        )
    return len(free_until)


def _title(simulation: Simulation) -> str:
    title = simulation_title(simulation)
    if simulation.gpu and simulation.verdict:
        title += f" on {simulation.gpu.name}: {verdict_words(simulation.verdict)}"
    peak = f"{gib(simulation.memory.peak_bytes.reserved)} reserved at the peak"
    # a name may hold characters that no SVG can
    return "".join(character for character in f"{title}, {peak}" if character.isprintable())
