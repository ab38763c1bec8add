"""Whether the batches that a training has still before it fit, from what the first ones took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planner.memory.estimate import OPTIMIZER_STEP
from planner.memory.step import END_OF_FORWARD, FIRST_BACKWARD, LAST_BACKWARD, LOSS_INSTANT, MIDDLE_BACKWARD
from planner.plan import plan_memory
from planner.run import TrainingRun
from planner.units import GIB
from profiler.measure.device.base import AllocatorLevels
from profiler.training.shapes import Shape

STEP_INSTANTS = (END_OF_FORWARD, LOSS_INSTANT, FIRST_BACKWARD, MIDDLE_BACKWARD, LAST_BACKWARD, OPTIMIZER_STEP)
"""What the peak of a step is of: loading and evaluation are no part of it."""

STEP = 64
"""A length that is proposed is a multiple of it, where it is longer."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the largest batch to come will take at its peak, in bytes."""

    shape: Shape
    number: int | None
    """Which batch it is, from 1; None where that is drawn at random."""
    allocated: int
    reserved: int
    usable: int
    """What the allocator can hold."""
    measured: bool
    """Whether it is a measurement that the plan's difference was added to; else it is the plan's own figure."""
    longest_that_fits: int | None
    """The longest sequences of the same batch that fit; None where not even short ones do."""

    @property
    def fits(self) -> bool:
        """Whether all that is held fits, cache included."""
        return self.reserved <= self.usable


def forecast(
    run: TrainingRun,
    coming: Shape,
    number: int | None,
    usable: int,
    measured: AllocatorLevels | None,
    step: Shape,
    largest: Shape,
) -> Forecast:
    """The peak with the batch that is coming.

    measured: peaks of one step in the steady state; None where no allocator keeps count, and the plan's own figures are
    taken. step: the largest batch of that step, which its live tensors are of. largest: of all batches so far, which
    the cache is of. Raises as `plan_memory` does.

    What is added to a measurement is the planner's difference between the two batches: weights, states, and whatever
    the planner has wrong of both, cancel.
    """

    def planned(shape: Shape) -> tuple[int, int]:
        memory = plan_memory(run.replace(micro_batch_size=shape.batch, sequence_length=shape.length))
        steps = (instant.allocated_bytes for instant in memory.instants if instant.name in STEP_INSTANTS)
        return max(steps), memory.peak_bytes.reserved

    off_allocated = off_reserved = 0
    if measured is not None:
        off_allocated = measured.peak_allocated - planned(step)[0]
        off_reserved = measured.peak_reserved - planned(largest)[1]

    def peak(shape: Shape) -> tuple[int, int]:
        allocated, reserved = planned(shape)
        allocated += off_allocated
        return allocated, max(reserved + off_reserved, allocated)

    allocated, reserved = peak(coming)
    longest = largest_below(lambda length: peak(Shape(coming.batch, length))[1] <= usable, coming.length)
    return Forecast(coming, number, allocated, reserved, usable, measured is not None, longest)


def largest_below(fits: Callable[[int], bool], most: int) -> int | None:
    """The largest length up to `most` that fits, a multiple of `STEP` where there is one. `fits` is monotone."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if low == most:
        return low
    return low // STEP * STEP or low or None


def forecast_sentence(found: Forecast, card: str) -> str:
    """One sentence about batches that will not fit: which, how much, and what to change. GiB is 1024**3 bytes."""
    shape = found.shape
    length = f"{shape.length:,} tokens"
    if found.number is not None:
        which = f"batch {found.number:,} has {length}"
    else:
        which = f"the longest sample has {length} and is still to come"
    if shape.batch > 1:
        which += f" ({shape.batch} sequences of as many)"
    basis = "about" if found.measured else "about, by the plan alone,"
    size = f"{basis} {found.reserved / GIB:,.1f} GiB of {found.usable / GIB:,.1f} usable on {card}"
    if found.allocated > found.usable:
        end = "which will not fit"
    else:
        end = "which fits only if the allocator can give back its cache"
    if found.longest_that_fits is not None:
        change = f"set max_length to {found.longest_that_fits:,}"
        change += " or per_device_train_batch_size lower" if shape.batch > 1 else ""
    elif shape.batch > 1:
        change = "set per_device_train_batch_size lower"
    else:
        change = "use a smaller optimizer, a quantized base or a larger card (`lora-plan recommend` names some)"
    return f"{which}: {size}, {end}; {change}"
