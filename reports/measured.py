"""What a measurement says by itself: levels by instant, the seconds of a step, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from planner.catalogue.spelling import shown_path
from planner.units import format_bytes
from profiler.measure.types import MeasuredLevels, MeasuredTime, Measurement
from profiler.phases import STEP
from profiler.verification import Verification
from reports.components import instant, instant_short
from reports.figures import columns, signed_share
from reports.page import Page
from reports.scale import scale_of
from reports.time import duration

_LEVELS = ("allocated", "reserved", "process", "device", "host")


def levels_section(levels: Sequence[MeasuredLevels], page: Page) -> list[str]:
    """The highest point of each instant at every level that is known."""
    known = [name for name in _LEVELS if any(getattr(level, name) is not None for level in levels)]
    sizes = [[getattr(level, name) for name in known] for level in levels]
    if not sizes:
        return []
    scale = scale_of(size for row in sizes for size in row if size is not None)
    for label, decimals, gap in ((instant, 2, 2), (instant_short, 2, 2), (instant_short, 1, 1)):
        cells = [
            [label(level.name), *("–" if size is None else scale.number(size, decimals) for size in row)]
            for level, row in zip(levels, sizes, strict=True)
        ]
        head, *rows = columns([["", *known], *cells], gap=gap)
        if len(head) + 4 <= page.width:
            lines = [page.style(f"    {head}", "dim"), *(f"    {row}" for row in rows)]
            break
    else:
        lines = [
            line
            for level, row in zip(levels, sizes, strict=True)
            for line in page.wrap(
                f"{instant(level.name)}: "
                + ", ".join(
                    f"{name} {scale.number(size)}" for name, size in zip(known, row, strict=True) if size is not None
                ),
                rest="    ",
            )
        ]
    return [page.heading(line) for line in page.wrap(f"Measured, by level, in {scale.name}", first="")] + lines


def measured_time_section(verification: Verification, page: Page) -> list[str]:
    """Seconds by phase beside the estimate's; tokens per second, MFU and HFU."""
    time = verification.measurement.time
    if time is None:
        return []
    estimate = verification.estimated_time
    if estimate is None:
        rows = [["", "measured"], *([phase.name, _seconds(phase.measured_s)] for phase in verification.phases)]
    else:
        rows = [["", "estimate", "measured", "difference"]]
        rows += [
            [phase.name, _seconds(phase.estimate_s), _seconds(phase.measured_s), _share(phase.relative)]
            for phase in verification.phases
        ]
    table = columns(rows)
    if len(table[0]) + 4 > page.width:
        heads = ["est.", "meas."] if estimate else ["meas."]
        table = columns([["", *heads], *(row[: 1 + len(heads)] for row in rows[1:])], gap=1)
    title, *lines = (f"    {line}" for line in table)
    of = ""
    if verification.measurement.slices is not None:
        of = ", extrapolated from slices"
    elif time.samples:
        of = f", {'one timed step' if len(time.samples) == 1 else f'the mean of {len(time.samples)} timed steps'}"
    heading = page.wrap(f"Time of a step of {time.tokens:,} tokens{of}", first="")
    return [
        *(page.heading(line) for line in heading),
        page.style(title, "dim"),
        *(page.style(line, "bold") if line.strip().startswith(STEP) else line for line in lines),
        *page.wrap(_speed(time)),
        *page.wrap(_expected(verification)),
    ]


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)


def _share(relative: float | None) -> str:
    return "–" if relative is None else signed_share(relative)


def _speed(time: MeasuredTime) -> str:
    """`1,638 tokens/s (1,620–1,655, 95% interval of the mean); MFU 32%, HFU 47%`"""
    between = ""
    if len(time.samples) > 1:
        decimals = _decimals(time.tokens_per_s)
        slow, fast = time.tokens / time.high_s, time.tokens / time.low_s if time.low_s > 0 else float("inf")
        reach = f"{slow:,.{decimals}f}–{fast:,.{decimals}f}" if isfinite(fast) else f"at least {slow:,.{decimals}f}"
        between = f" ({reach}, {time.coverage:.0%} interval of the mean)"
    shares = [
        f"{name} {share:.2g}%" if share < 10 else f"{name} {share:.0f}%"
        for name, share in (
            (name, 100 * value) for name, value in (("MFU", time.mfu), ("HFU", time.hfu)) if value is not None
        )
    ]
    used = f"; {', '.join(shares)}" if shares else ""
    return f"measured {time.tokens_per_s:,.{_decimals(time.tokens_per_s)}f} tokens/s{between}{used}"


def _expected(verification: Verification) -> str:
    """The estimate's speed, its interval and whether the measured one is in it; or why there is none."""
    estimate = verification.estimated_time
    if estimate is None:
        if verification.measurement.device.kind == "cpu" and not verification.another_card:
            return "a CPU's time is not estimated"
        why = verification.why_no_estimated_time
        return f"not held to an estimate: {why}" if why else ""
    slow, fast = estimate.tokens_per_s_interval
    used = [
        f"{name} {value:.0%}" for name, value in (("MFU", estimate.mfu), ("HFU", estimate.hfu)) if value is not None
    ]
    inside = "the measured one is in it" if verification.time_within else "the measured one is outside"
    speed = (
        f"estimated {estimate.tokens_per_s:,.0f} tokens/s ({slow:,.0f}–{fast:,.0f} in {estimate.coverage:.0%} of "
        f"runs: {inside})"
    )
    return "; ".join([speed, *([", ".join(used)] if used else [])])


def _decimals(speed: float) -> int:
    return 0 if speed >= 100 else 1


def basis(measurement: Measurement) -> list[str]:
    """What a measurement rests on, a sentence each."""
    time, slices, sampled = measurement.time, measurement.slices, measurement.sampled
    steps = len(time.samples) if time is not None else 0
    ran = f"real steps on {measurement.device.name}"
    if measurement.memory is None:
        ran = f"no whole step was done on {measurement.device.name}"
    if steps:
        ran = f"{steps} timed {'step' if steps == 1 else 'steps'} after a warm-up on {measurement.device.name}"
    weights = "random weights" if measurement.weights == "random" else f"weights of {shown_path(measurement.weights)}"
    said = [f"{ran}, {weights}", *_layers(measurement)]
    if slices is not None:
        said += slices.extrapolated
    if measurement.retries:
        times = "once" if measurement.retries == 1 else f"{measurement.retries:,} times"
        said.append(f"the allocator ran full and gave back its cache {times}")
    if measurement.loss is not None:
        finite = "" if isfinite(measurement.loss) else ", which is not finite: look at the learning rate and the data"
        said.append(f"the loss of the last step: {measurement.loss:.4g}{finite}")
    power = [
        text
        for value, text in (
            (sampled.power_w, f"{sampled.power_w or 0:,.0f} W"),
            (sampled.sm_clock_mhz, f"{sampled.sm_clock_mhz or 0:,.0f} MHz"),
            (sampled.temperature_c, f"up to {sampled.temperature_c} degrees"),
        )
        if value is not None
    ]
    if power:
        said.append(f"while steps were timed: {', '.join(power)}")
    if sampled.host_peak_bytes is not None:
        said.append(f"host memory of the process: {format_bytes(sampled.host_peak_bytes)} at most")
    if measurement.versions:
        said.append(", ".join(f"{library} {version}" for library, version in measurement.versions))
    return said


def _layers(measurement: Measurement) -> list[str]:
    slices = measurement.slices
    if slices is None and measurement.memory is None:
        return []
    if slices is None:
        return [f"all {measurement.layers} layers were run"]
    return [f"models of {listed(slices.depths)} layers were run and stand for one of {slices.layers}"]


def listed(depths: Sequence[int]) -> str:
    """`2 and 3`"""
    *first, last = (str(depth) for depth in depths)
    return f"{', '.join(first)} and {last}" if first else last
