"""Whether a measurement that was read can have been one: what views and plans rely on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard, cast

from planner.memory.ledger import Ledgers
from profiler.measure.types import DONE, OUT_OF_MEMORY, MeasuredTime, Measurement

LARGEST = 10**18
"""No size or count is larger."""

LONGEST_NAME = 120
"""Characters of what a device, a version, an instant or a component is called."""

SIGNED = ("loss", "low_s", "temperature_c")
"""Numbers that may be below 0: by Student's t, the low end of an interval too."""


def problem(measurement: Measurement, fields: Mapping[str, object]) -> str | None:
    """What is wrong with a measurement, and the fields that it was read from; None for nothing."""
    # what a run may hold is checked by the run itself
    if not _are_possible({name: value for name, value in fields.items() if name != "run"}):
        return "it has a size, a count or a time that cannot be"
    if not all(map(_is_name, _names(measurement))):
        return "it has a name that is none"
    return None if _go_together(measurement) else "its figures do not go together"


def _are_possible(value: object) -> bool:
    """Whether all numbers within are from 0 to `LARGEST`; those of `SIGNED`, of either sign."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return all(_are_possible(abs(item) if name in SIGNED and _is_number(item) else item) for name, item in items)
    if isinstance(value, list):
        return all(map(_are_possible, cast("list[object]", value)))
    return not _is_number(value) or 0 <= value <= LARGEST


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float)


def _names(measurement: Measurement) -> Iterator[str]:
    """What views and notes print as it is."""
    device = measurement.device
    yield from filter(None, (device.kind, device.name, device.gpu, device.driver, device.runtime))
    yield from (text for pair in measurement.versions for text in pair)
    yield from (level.name for level in measurement.levels)
    for instant in measurement.memory.instants if measurement.memory is not None else ():
        yield from (instant.name, *instant.components)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _go_together(measurement: Measurement) -> bool:
    memory, time, failed = measurement.memory, measurement.time, measurement.out_of_memory
    parameters, slices = measurement.parameters, measurement.slices
    return (
        measurement.outcome in (DONE, OUT_OF_MEMORY)
        and (failed is not None) == (measurement.outcome == OUT_OF_MEMORY)
        and (memory is not None or failed is not None)
        and (memory is None or _is_ledger(memory))
        and (time is None or _is_time(time))
        and 0 <= parameters.trainable <= parameters.total > 0
        and (slices is None or len(slices.depths) > 0)
    )


def _is_ledger(memory: Ledgers) -> bool:
    peak = memory.peak_bytes
    return memory.instant in [instant.name for instant in memory.instants] and min(peak.allocated, peak.reserved) > 0


def _is_time(time: MeasuredTime) -> bool:
    return time.low_s <= time.step_s <= time.high_s and time.step_s > 0 and time.tokens > 0 and time.coverage <= 1
