"""What a `Watch` makes of a training, with a stand-in for the card and a clock of the test's own."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from profiler.training.shapes import Shape
from profiler.training.training import Peak, Watch, Watched, half_width, student_t
from tests.lora_plan.trainings import StandIn, tiny_model


class Clock:
    """Seconds that go by one at each look."""

    def __init__(self, seconds: Iterator[float]) -> None:
        self._seconds, self._now = seconds, 0.0

    def __call__(self) -> float:
        self._now += next(self._seconds)
        return self._now


def step(watch: Watch, model: torch.nn.Module, optimizer: torch.optim.Optimizer, *shapes: Shape) -> None:
    """One optimizer step as `Trainer` tells its callbacks of it."""
    watch.step_begins()
    for shape in shapes:
        model(torch.zeros(shape.batch, shape.length, dtype=torch.long)).logits.sum().backward()
        watch.batch(shape)
    watch.update_begins()
    optimizer.step()
    watch.updated(model, optimizer)
    optimizer.zero_grad()
    watch.step_ends()


def watched(*steps: tuple[Shape, ...], device: StandIn | None = None, seconds: float = 1.0) -> Watched:
    model = tiny_model(r=2, target_modules=["q_proj"])
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad])
    watch = Watch(device, Clock(iter([0.0, seconds] * len(steps))))  # type: ignore[arg-type]
    for shapes in steps:
        step(watch, model, optimizer, *shapes)
    return watch.watched()


def test_the_components_are_those_of_the_second_step() -> None:
    held = watched(*[(Shape(1, 4),)] * 2).held
    # two layers, A of 2 x 32 and B of 32 x 2, in float32
    adapters = 2 * (2 * 32 + 32 * 2) * 4
    assert held is not None
    assert held["adapters"] == held["gradients"] == adapters
    assert held["optimizer_states"] == 2 * adapters + 4 * 4
    assert watched((Shape(1, 4),)).held is None


def test_steps_are_timed_from_the_third_on_and_tokens_with_them() -> None:
    seen = watched(*[(Shape(2, 4), Shape(2, 8))] * 5, seconds=0.5)
    assert (seen.steps, seen.timed, seen.seconds, seen.tokens) == (5, 3, 1.5, 3 * 24)
    assert seen.tokens_per_s == 48
    assert (seen.shortest, seen.largest) == (Shape(2, 4), Shape(2, 8))
    assert seen.time() is None


def test_batches_of_one_shape_have_the_time_of_a_step() -> None:
    time = watched(*[(Shape(2, 4),)] * 6, seconds=0.25).time()
    assert time is not None
    assert (time.tokens, time.step_s, time.low_s, time.high_s) == (8, 0.25, 0.25, 0.25)
    assert time.tokens_per_s == 32


def test_without_an_allocator_there_is_no_peak() -> None:
    seen = watched(*[(Shape(1, 4),)] * 3)
    assert seen.peak is None and seen.levels is None
    assert seen.host_peak is None or seen.host_peak > 10**7


class Rising(StandIn):
    """An allocator whose peak since the last reset rises to what the test has for each look."""

    def __init__(self, peaks: list[int]) -> None:
        super().__init__()
        self._peaks = iter(peaks)
        self.peak = 0

    def allocator(self):  # type: ignore[no-untyped-def]
        self.peak = max(self.peak, next(self._peaks))
        return super().allocator()

    def reset_peaks(self) -> None:
        super().reset_peaks()
        self.peak = 0


def test_the_peak_is_of_the_part_in_which_it_rose() -> None:
    # a step looks at its begin, before and after the update and at its end; step 2 resets at its begin instead
    first, second, third = [5, 90, 95, 95], [40, 70, 70], [70, 60, 60, 60]
    seen = watched((Shape(1, 8),), (Shape(1, 4),), (Shape(1, 6),), device=Rising([*first, *second, *third]))
    assert seen.peak == Peak(70, "optimizer_step", 2, Shape(1, 4))
    later = watched((Shape(1, 8),), (Shape(1, 4),), (Shape(1, 6),), device=Rising([*first, *second, 71, 99, 1, 1]))
    assert later.peak == Peak(99, "forward_and_backward", 3, Shape(1, 6))
    between = watched((Shape(1, 8),), (Shape(1, 4),), (Shape(1, 6),), device=Rising([*first, *second, 120, 99, 1, 1]))
    assert between.peak is not None and (between.peak.instant, between.peak.step) == ("between_steps", 2)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)]
)
def test_students_t_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    # e.g. NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, two-sided 95 %
    assert student_t(freedom) == pytest.approx(quantile, rel=0.01)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=30))
def test_the_interval_is_the_samples_own(seconds: list[float]) -> None:
    expected = student_t(len(seconds) - 1) * statistics.stdev(seconds) / len(seconds) ** 0.5
    found = half_width(len(seconds), sum(seconds), sum(one * one for one in seconds))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
