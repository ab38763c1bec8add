"""What causes are sought in, and what is said of one."""

from __future__ import annotations

from dataclasses import dataclass

from planner.plan_types import Plan
from planner.time.step_time import StepTime
from planner.units import format_bytes
from profiler.measure.types import Measurement
from profiler.reconcile import STANDS_OUT, Reconciliation
from profiler.simulate.types import Simulation

CLOSE = 0.05
"""Share of a size within which a difference counts as that size."""

_SAID = {"formula": "estimated", "simulation": "simulated"}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why one line is off, as far as numbers show it."""

    line: str
    """A component, a level, or `step`."""
    bytes: int | None
    """What was said less what was measured, as in a reconciliation; None for time."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A measurement with what was said before it."""

    measurement: Measurement
    plan: Plan | None
    simulation: Simulation | None
    reconciliation: Reconciliation | None
    """None where no whole step was measured."""
    estimated_time: StepTime | None
    """The plan's, where it is of the device that was measured."""
    same_card: bool
    """Whether plan and simulation are of the device that was measured."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A component at the measured peak that is more or less than was said. In bytes."""

    line: str
    columns: tuple[str, ...]
    """Bases of the columns that are off by about as much: `formula`, `simulation` or both."""
    said: int
    """By the first of them."""
    measured: int

    @property
    def more(self) -> int:
        """What was measured less what was said."""
        return self.measured - self.said


def gaps(evidence: Evidence) -> tuple[Gap, ...]:
    """Components at the measured peak that are off by more than `STANDS_OUT` of it, one for each way of being off."""
    reconciliation = evidence.reconciliation
    if reconciliation is None or reconciliation.peak is None:
        return ()
    peak, columns = reconciliation.peak, reconciliation.columns
    # a column that knows the instant has 0 of a component that it has no line for
    known = [place for place, size in enumerate(peak.allocated.bytes[:-1]) if size is not None]
    least = mark(reconciliation)
    found: list[Gap] = []
    for line in peak.components:
        measured = line.bytes[-1] or 0
        for place in known:
            gap = Gap(line.name, (columns[place],), line.bytes[place] or 0, measured)
            if abs(gap.more) <= least:
                continue
            before = found[-1] if found and found[-1].line == line.name else None
            if before and abs(gap.more - before.more) <= CLOSE * abs(before.more):
                found[-1] = Gap(line.name, (*before.columns, *gap.columns), before.said, measured)
            else:
                found.append(gap)
    return tuple(found)


def mark(reconciliation: Reconciliation) -> float:
    """Bytes from which a difference is large."""
    return STANDS_OUT * (reconciliation.levels[0].bytes[-1] or 0)


def copies(more: int, size: float, most: int = 4) -> int:
    """How many times `size` a difference is, to either side; 0 where it is not a whole number of times."""
    times = round(abs(more) / size) if size else 0
    return times if 1 <= times <= most and abs(abs(more) - times * size) <= CLOSE * size else 0


def reason_sentence(gap: Gap, reason: str) -> str:
    """`base weights: 2.0 GiB more than estimated and simulated: ` and the reason."""
    said = " and ".join(_SAID.get(column, column) for column in gap.columns)
    more = "more" if gap.more > 0 else "less"
    return f"{gap.line.replace('_', ' ')}: {format_bytes(abs(gap.more))} {more} than {said}: {reason}"
