"""The picture's points."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from profiler.simulate.ledger import LayerRange
from profiler.simulate.timeline import timeline
from profiler.simulate.trace.trace import BACKWARD, EMBED, FORWARD, HEAD, LOAD, OPTIMIZER, ZERO_GRAD
from tests.profiler.simulate.test_ledger import Sheet

TWO = LayerRange(0, 1)


def two_steps() -> Sheet:
    sheet = Sheet()
    sheet.window(0, LOAD)
    sheet.make(100)
    for step in (1, 2):
        sheet.window(step, EMBED)
        sheet.make(1)
        sheet.window(step, FORWARD, 0)
        sheet.make(2)
        sheet.window(step, FORWARD, 1)
        sheet.make(3)
        sheet.window(step, HEAD)
        sheet.make(4)
        sheet.window(step, BACKWARD, 1)
        sheet.make(5)
        sheet.window(step, BACKWARD, 0)
        sheet.make(6)
        sheet.window(step, OPTIMIZER)
        sheet.make(7)
        sheet.window(step, ZERO_GRAD)
        sheet.make(8)
    return sheet


def test_only_the_last_step_is_shown() -> None:
    allocated = list(range(17))
    reserved = [10 * value for value in allocated]
    shown = timeline(two_steps().stream, allocated, reserved, TWO, points=8)
    assert shown.allocated == tuple(range(9, 17))
    assert shown.reserved == tuple(range(90, 170, 10))


def test_instants_begin_where_their_first_window_does() -> None:
    shown = timeline(two_steps().stream, [0] * 17, [0] * 17, TWO, points=8)
    assert shown.instants == (
        (0, "end_of_forward"),
        (3, "loss"),
        (4, "first_backward_block"),
        (5, "last_backward_block"),
        (6, "optimizer_step"),
    )


def test_few_events_are_stretched_to_all_points() -> None:
    shown = timeline(two_steps().stream, list(range(17)), [0] * 17, TWO, points=24)
    assert shown.allocated == tuple(value for value in range(9, 17) for _ in range(3))
    assert shown.instants[1] == (3 * 3, "loss")


def test_a_point_is_the_largest_of_its_events() -> None:
    sheet = two_steps()
    allocated = [0] * 9 + [1, 9, 2, 3, 8, 4, 7, 5]
    shown = timeline(sheet.stream, allocated, allocated, TWO, points=4)
    assert shown.allocated == shown.reserved == (9, 3, 8, 7)
    assert shown.instants == (
        (0, "end_of_forward"),
        (1, "loss"),
        (2, "first_backward_block"),
        (2, "last_backward_block"),
        (3, "optimizer_step"),
    )


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60), st.integers(1, 80))
def test_the_peak_is_kept_and_no_point_is_above_it(allocated: list[int], points: int) -> None:
    sheet = Sheet()
    sheet.window(1, FORWARD, 0)
    for _ in allocated:
        sheet.make(1)
    shown = timeline(sheet.stream, allocated, allocated, TWO, points)
    assert max(shown.allocated) == max(allocated)
    assert set(shown.allocated) <= set(allocated)
    assert 1 <= len(shown.allocated) <= points
