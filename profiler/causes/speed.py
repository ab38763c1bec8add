"""Why a step takes longer, or less long, than its interval."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from planner.catalogue import find_gpu
from planner.errors import InputError
from profiler.causes.evidence import Cause, Evidence
from profiler.phases import phases

SLOWER_FIRST = 1.2
"""A first step that takes so many times the median of the others is still warming up."""

THROTTLED = 0.85
"""Share of their mean below which clocks that were seen once are throttled."""

AT_LIMIT = 0.95
"""Share of its rated power from which a card is held back by it."""

LINE = "step"


def first_steps(evidence: Evidence) -> Iterator[Cause]:
    """Kernels that are chosen and memory that is reserved in the first timed step."""
    time = evidence.measurement.time
    if time is None or len(time.samples) < 3:
        return
    first, *others = [sample.step_s for sample in time.samples]
    usual = median(others)
    if first > SLOWER_FIRST * usual:
        yield Cause(
            LINE,
            None,
            f"step: the first timed one took {first:.3g} s, the median of the others is {usual:.3g} s: it was still "
            "warming up, and more steps would tell",
        )


def slow_clocks(evidence: Evidence) -> Iterator[Cause]:
    """Clocks that fell while steps were timed."""
    sampled, time = evidence.measurement.sampled, evidence.measurement.time
    mean, lowest = sampled.sm_clock_mhz, sampled.lowest_sm_clock_mhz
    if time is None or mean is None or lowest is None or lowest >= THROTTLED * mean:
        return
    hot = f", at up to {sampled.temperature_c} degrees" if sampled.temperature_c is not None else ""
    yield Cause(
        LINE, None, f"step: the card's clock fell to {lowest:,} MHz, where {mean:,.0f} MHz is its mean{hot}: throttled"
    )


def power_limit(evidence: Evidence) -> Iterator[Cause]:
    """Power near what the card is rated for; it matters where steps are too slow."""
    sampled, rated = evidence.measurement.sampled, _rated_watts(evidence.measurement.device.gpu)
    if (
        sampled.power_w is None
        or rated is None
        or sampled.power_w < AT_LIMIT * rated
        or not _apart(evidence, slow=True)
    ):
        return
    yield Cause(
        LINE,
        None,
        f"step: the card took {sampled.power_w:,.0f} W of the {rated:,.0f} W that it is rated for, which holds its "
        "clock back",
    )


def unexplained_time(evidence: Evidence) -> Iterator[Cause]:
    """A step outside its interval that no rule explains: where the difference is."""
    time, estimate = evidence.measurement.time, evidence.estimated_time
    if time is None or estimate is None or not _apart(evidence):
        return
    parts = [phase for phase in phases(estimate, time)[:-1] if phase.estimate_s is not None]
    where = ""
    if parts:
        most = max(parts, key=lambda phase: abs((phase.measured_s or 0) - (phase.estimate_s or 0)))
        where = f", most of it in {most.name} ({most.measured_s:.3g} s, estimated {most.estimate_s:.3g} s)"
    slower = "longer" if time.step_s > estimate.high_s else "shorter"
    yield Cause(
        LINE,
        None,
        f"step: {time.step_s:.3g} s, {slower} than its interval ({estimate.low_s:.3g} to {estimate.high_s:.3g} s)"
        f"{where}: not explained",
    )


def _apart(evidence: Evidence, *, slow: bool = False) -> bool:
    time, estimate = evidence.measurement.time, evidence.estimated_time
    if time is None or estimate is None:
        return False
    return time.step_s > estimate.high_s or (not slow and time.step_s < estimate.low_s)


def _rated_watts(name: str | None) -> float | None:
    try:
        return find_gpu(name).gpu.tdp_watts if name else None
    except InputError:
        return None
