"""The time of steps, by a clock that the test moves, and the interval of their mean."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measure.timed import COVERAGE, Timer, interval_of_mean
from profiler.simulate.trace.trace import (
    AFTER,
    CLIP,
    EMBED,
    FORWARD,
    LOSS_BACKWARD,
    OPTIMIZER,
    ZERO_GRAD,
    Window,
)

SECONDS = st.floats(1e-4, 1e3)


class Clock:
    """A device whose marks are only read once it was waited for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited_until = -1.0

    def mark(self) -> object:
        return self.now

    def synchronize(self) -> None:
        self.waited_until = self.now

    def seconds(self, begin: float, end: float) -> float:
        assert max(begin, end) <= self.waited_until
        return end - begin


def timed(spent: list[tuple[str, float]]) -> tuple[float, float, float, float]:
    """Seconds in each window, in order."""
    clock = Clock()
    timer = Timer(clock)
    timer.begin()
    for phase, seconds in spent:
        timer.enter(Window(phase))
        clock.now += seconds
        if phase == EMBED:
            timer.settle(0)
    sample = timer.end()
    return sample.step_s, sample.forward_s, sample.backward_s, sample.optimizer_s


STEP = [(EMBED, 1.0), (LOSS_BACKWARD, 2.0), (AFTER, 0.0), (CLIP, 0.5), (OPTIMIZER, 0.25), (ZERO_GRAD, 0.125)]


def test_parts_of_a_step() -> None:
    assert timed(STEP) == (3.875, 1.0, 2.0, 0.875)


def test_micro_batches_add_up() -> None:
    assert timed([*STEP[:3], *STEP[:3], *STEP]) == (9.875, 3.0, 6.0, 0.875)


def test_windows_of_layers_are_of_the_part_around_them() -> None:
    assert timed([(EMBED, 1.0), (FORWARD, 4.0), (LOSS_BACKWARD, 2.0), ("backward", 8.0), (AFTER, 0.0), *STEP[3:]]) == (
        15.875,
        5.0,
        10.0,
        0.875,
    )


def test_a_timer_begins_anew_with_each_step() -> None:
    clock = Clock()
    timer = Timer(clock)
    for seconds in (1.0, 3.0):
        timer.begin()
        timer.enter(Window(EMBED))
        clock.now += seconds
        assert timer.end().step_s == timer.end().forward_s == seconds


@given(st.lists(SECONDS, min_size=6, max_size=6), st.integers(1, 4), SECONDS)
def test_parts_never_exceed_the_step(seconds: list[float], micro_batches: int, logging: float) -> None:
    """What is between the backward pass and clipping is of no part."""
    names = [phase for phase, _ in STEP]
    one = list(zip(names[:3], [*seconds[:2], logging], strict=True))
    whole, *parts = timed([*one * micro_batches, *zip(names[3:], seconds[3:], strict=True)])
    assert whole == pytest.approx(sum(parts) + micro_batches * logging)


# Student's t at 97.5 %: the table of any textbook, here by 1, 2, 4, 9 and 29 degrees of freedom
@pytest.mark.parametrize(
    ("samples", "quantile"),
    [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262), (30, 2.045), (31, 2.042)],
)
def test_the_interval_is_students(samples: int, quantile: float) -> None:
    seconds = [1.0 + 0.1 * (number % 2) + 0.01 * number for number in range(samples)]
    middle = sum(seconds) / samples
    deviation = sqrt(sum((value - middle) ** 2 for value in seconds) / (samples - 1))
    low, high = interval_of_mean(seconds)
    assert low == pytest.approx(max(middle - quantile * deviation / sqrt(samples), 0.0))
    assert high == pytest.approx(middle + quantile * deviation / sqrt(samples))
    assert COVERAGE == 0.95


def test_by_hand() -> None:
    """1, 2 and 3 seconds: mean 2, deviation 1, and 4.303 / sqrt(3) = 2.484 to either side, but no time below none."""
    low, high = interval_of_mean([1.0, 2.0, 3.0])
    assert low == 0.0
    assert high == pytest.approx(4.484, abs=0.001)


def test_of_one_sample_nothing_is_known() -> None:
    assert interval_of_mean([0.5]) == (0.5, 0.5)


@given(st.lists(SECONDS, min_size=1, max_size=60))
def test_the_mean_is_in_its_interval(seconds: list[float]) -> None:
    low, high = interval_of_mean(seconds)
    middle = sum(seconds) / len(seconds)
    assert 0 <= low <= middle * (1 + 1e-9) and middle * (1 - 1e-9) <= high
