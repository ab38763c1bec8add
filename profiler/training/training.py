"""A training that someone else runs, watched from outside: what it holds and how long its steps take.

Nothing here waits for the device. The allocator's own counts are read three times a step, which takes microseconds; the
tensors of the model and the optimizer are counted once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from profiler.measure.device.base import AllocatorLevels, Device
from profiler.measure.device.host import resident_bytes
from profiler.measure.types import MeasuredTime
from profiler.training.model import held_bytes
from profiler.training.shapes import Shape

STEADY = 2
"""The first step that begins with the optimizer's states in place."""

PASSES = "forward_and_backward"
UPDATE = "optimizer_step"
BETWEEN = "between_steps"
"""Instants that an allocator's peak can be told apart by; between steps are evaluation and saving."""

COVERAGE = 0.95
"""Of the interval of a mean step."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that was allocated, from step 2 on."""

    allocated: int
    instant: str
    """`forward_and_backward`, `optimizer_step` or `between_steps`."""
    step: int
    shape: Shape | None
    """The largest micro-batch of that step."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of a training, sizes in bytes."""

    steps: int
    """Optimizer steps that were done while it was watched."""
    peak: Peak | None
    """None where no allocator keeps count."""
    levels: AllocatorLevels | None
    """At the end of the last step; peaks are from step 2 on."""
    update: AllocatorLevels | None
    """In the optimizer's step of step 2, before gradients are dropped."""
    held: dict[str, int] | None
    """Component -> bytes of its tensors, in the optimizer's step of step 2."""
    host_peak: int | None
    """Most resident host memory of the process at the end of a step."""
    shortest: Shape | None
    largest: Shape | None
    """Micro-batches of the fewest and the most tokens."""
    timed: int
    """Steps of `seconds`: from the third on, since the first two make states and choose kernels."""
    seconds: float
    """Of the timed steps, without what is between them: loading data, evaluating, saving."""
    squares: float
    """Sum of the squares of their seconds."""
    tokens: int
    """Of the timed steps, padding included."""

    @property
    def tokens_per_s(self) -> float | None:
        """Of this process."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None

    def time(self) -> MeasuredTime | None:
        """The time of a step, where all were of one shape: a mean over several is the time of no run."""
        if self.timed < 1 or not self.tokens or self.shortest != self.largest:
            return None
        mean = self.seconds / self.timed
        reach = half_width(self.timed, self.seconds, self.squares)
        return MeasuredTime(
            samples=(),
            tokens=self.tokens // self.timed,
            step_s=mean,
            low_s=max(mean - reach, mean / 1000),
            high_s=mean + reach,
            coverage=COVERAGE,
            mfu=None,
            hfu=None,
        )


class Watch:
    """Watches one training. The methods are called as the training goes."""

    def __init__(self, device: Device | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._device = device
        self._clock = clock
        self._steps = 0
        self._peak: Peak | None = None
        self._levels = self._update = None
        self._held: dict[str, int] | None = None
        self._host_peak: int | None = None
        self._shortest: Shape | None = None
        self._largest: Shape | None = None
        self._of_step: Shape | None = None
        self._began = 0.0
        self._timed = self._tokens = self._tokens_of_step = 0
        self._seconds = self._squares = 0.0

    @property
    def steps(self) -> int:
        """Steps that are done."""
        return self._steps

    @property
    def of_step(self) -> Shape | None:
        """The largest micro-batch of the last step that is done."""
        return self._of_step

    def step_begins(self) -> None:
        """Before the first micro-batch of a step."""
        if self._device is not None:
            if self._steps + 1 == STEADY:
                self._device.reset_peaks()
                self._peak = None
            else:
                self._see(BETWEEN)
        self._of_step, self._tokens_of_step = None, 0
        self._began = self._clock()

    def batch(self, shape: Shape) -> None:
        """A micro-batch goes into the model."""
        self._of_step = _larger(self._of_step, shape)
        self._largest = _larger(self._largest, shape)
        if self._shortest is None or shape.tokens < self._shortest.tokens:
            self._shortest = shape
        self._tokens_of_step += shape.tokens

    def update_begins(self) -> None:
        """Before the optimizer's step."""
        self._see(PASSES)

    def updated(self, model: Any, optimizer: Any) -> None:
        """After the optimizer's step, gradients still there."""
        levels = self._see(UPDATE)
        if self._steps + 1 == STEADY:
            self._update = levels
            self._held = held_bytes(model, optimizer)

    def step_ends(self) -> None:
        """After a step."""
        seconds = self._clock() - self._began
        self._steps += 1
        self._see(UPDATE)
        resident = resident_bytes()
        if resident is not None:
            self._host_peak = max(resident, self._host_peak or 0)
        if self._steps > STEADY:
            self._timed += 1
            self._seconds += seconds
            self._squares += seconds * seconds
            self._tokens += self._tokens_of_step

    def watched(self) -> Watched:
        """What was seen so far."""
        return Watched(
            steps=self._steps,
            peak=self._peak,
            levels=self._levels,
            update=self._update,
            held=self._held,
            host_peak=self._host_peak,
            shortest=self._shortest,
            largest=self._largest,
            timed=self._timed,
            seconds=self._seconds,
            squares=self._squares,
            tokens=self._tokens,
        )

    def _see(self, instant: str) -> AllocatorLevels | None:
        """The allocator now; the peak is of `instant` if it has risen since the last look."""
        self._levels = levels = self._device.allocator() if self._device is not None else None
        if levels is not None and (self._peak is None or levels.peak_allocated > self._peak.allocated):
            step = self._steps + (instant != BETWEEN)
            self._peak = Peak(levels.peak_allocated, instant, step, self._of_step)
        return levels


def half_width(count: int, total: float, squares: float) -> float:
    """Half the interval of a mean that holds it with `COVERAGE`, by Student's t; 0 for a single value."""
    if count < 2:
        return 0.0
    variance = max(0.0, (squares - total * total / count) / (count - 1))
    return student_t(count - 1) * math.sqrt(variance / count)


def student_t(freedom: int) -> float:
    """The quantile of Student's t that leaves `COVERAGE` between it and its negative.

    Exact for 1 and 2 degrees of freedom; from 3 on the expansion of Abramowitz & Stegun 26.7.5, 1 % off at most.
    """
    p = (1 + COVERAGE) / 2
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    if freedom == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z, n = NormalDist().inv_cdf(p), freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _larger(one: Shape | None, other: Shape) -> Shape:
    return other if one is None or other.tokens > one.tokens else one
