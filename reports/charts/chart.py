"""What a chart shows, apart from how it is drawn. All text in it is plain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart."""

    name: str
    values: tuple[float | None, ...]
    """One a bar; None where there is none."""


@dataclass(frozen=True, slots=True)
class StackedBars:
    """Bars side by side, each made up of the same parts: memory by component at each instant."""

    name: str
    """For the file's name: `memory`."""
    title: str
    unit: str
    """`GiB`"""
    bars: tuple[str, ...]
    """Under each bar, in order."""
    parts: tuple[Series, ...]
    """From the bottom up."""
    limit: tuple[str, float] | None = None
    """A line across all bars with its name: what a card can use."""


@dataclass(frozen=True, slots=True)
class GroupedBars:
    """Groups of bars side by side: estimate, simulation and measurement of each component."""

    name: str
    title: str
    unit: str
    groups: tuple[str, ...]
    bars: tuple[Series, ...]
    """One value a group."""


@dataclass(frozen=True, slots=True)
class Range:
    """One row of a chart of ranges."""

    label: str
    low: float
    value: float
    high: float
    emphasis: bool = False
    """Whether it is the one that the report is about."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Rows with a point and the range around it: what a run costs on each offer."""

    name: str
    title: str
    unit: str
    """`USD`"""
    rows: tuple[Range, ...]
    """From the top down."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a plane."""

    label: str
    x: float
    y: float
    emphasis: bool = False


@dataclass(frozen=True, slots=True)
class Points:
    """Points in a plane of two axes, joined as steps in their order: the frontier of hours and dollars."""

    name: str
    title: str
    x_title: str
    y_title: str
    points: tuple[Point, ...]


Chart = StackedBars | GroupedBars | Ranges | Points
