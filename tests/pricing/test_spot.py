"""Hours with interruptions, against a simulation of them."""

from __future__ import annotations

import math
from random import Random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from pricing.spot import HIGH_SIGMAS, Interruptions, deviation_hours, mean_hours

RUNS = 20_000


def simulated(hours: float, rate: float, interval: float, restart: float, random: Random) -> float:
    """Hours of one run that is interrupted at random and goes back to its last checkpoint."""
    clock, done, next_one = 0.0, 0.0, random.expovariate(rate)
    while done < hours:
        work = min(interval, hours - done)
        needed = work
        while next_one < needed:
            clock += next_one
            next_one = random.expovariate(rate)
            needed = restart + work
        clock += needed
        next_one -= needed
        done = hours if work < interval else done + work
    return clock


@pytest.mark.parametrize(
    ("hours", "rate", "interval", "restart"),
    [
        (6, 1 / 3, 1, 0.25),
        (6.3, 1 / 24, 1, 0.25),
        (20, 1 / 3, 1, 0.25),
        (0.5, 1 / 3, 1, 0.25),  # over before the first checkpoint
        (10, 0.5, 2, 0.5),
        (24, 1 / 24, 24, 0.2),  # no checkpoints: each interruption loses everything
    ],
)
def test_mean_and_deviation_are_those_of_a_simulation(hours: float, rate: float, interval: float, restart: float):
    random = Random(17)
    clocks = [simulated(hours, rate, interval, restart, random) for _ in range(RUNS)]
    expected = mean_hours(hours, rate, interval, restart)
    deviation = deviation_hours(hours, rate, interval, restart)
    assert mean(clocks) == pytest.approx(expected, abs=4 * deviation / math.sqrt(RUNS))
    assert stdev(clocks) == pytest.approx(deviation, rel=0.03)
    longer = sum(clock > expected + HIGH_SIGMAS * deviation for clock in clocks) / RUNS
    assert 0.025 < longer < 0.08  # "about one run in twenty"


def test_to_first_order_one_costs_half_an_interval_and_the_restart() -> None:
    hours, rate, interval, restart = 100, 0.001, 1, 0.25
    assert mean_hours(hours, rate, interval, restart) == pytest.approx(
        hours * (1 + rate * (interval / 2 + restart)), rel=1e-5
    )


def test_the_variance_of_seldom_interruptions_meets_the_exact_one() -> None:
    # on both sides of where the formula changes
    below, above = (deviation_hours(1, rate, 1, 0.25) ** 2 / rate for rate in (0.99e-4, 1.01e-4))
    assert below == pytest.approx(above, rel=1e-3)


POSITIVE = st.floats(0.01, 10)


@given(st.floats(0, 1e4), st.floats(0, 0.2), POSITIVE, st.floats(0, 10), st.floats(0, 1))
def test_interruptions_make_no_run_shorter(
    hours: float, rate: float, interval: float, restart: float, share: float
) -> None:
    assumed = Interruptions(per_hour=rate * share, high_per_hour=rate, checkpoint_hours=interval, restart_hours=restart)
    assert hours <= assumed.expected_hours(hours) <= assumed.high_hours(hours) * (1 + 1e-12)


def test_the_smallest_rate_that_a_float_holds_costs_nothing() -> None:
    rarely = Interruptions(per_hour=5e-324, high_per_hour=1.65e-59, checkpoint_hours=1.0, restart_hours=0.0)
    assert rarely.expected_hours(1.9375) == rarely.high_hours(1.9375) == 1.9375


@given(st.floats(0, 1e4), POSITIVE, st.floats(0, 10))
def test_without_interruptions_hours_stay_as_they_are(hours: float, interval: float, restart: float) -> None:
    never = Interruptions(per_hour=0, high_per_hour=0, checkpoint_hours=interval, restart_hours=restart)
    assert never.expected_hours(hours) == never.high_hours(hours) == hours


@given(st.floats(0.1, 1e3), st.floats(0.001, 0.1), st.floats(0.1, 10), st.floats(0.01, 1))
def test_a_higher_rate_and_a_longer_restart_cost_more(hours: float, rate: float, interval: float, more: float) -> None:
    plain = mean_hours(hours, rate, interval, 0.25)
    assert mean_hours(hours, rate * (1 + more), interval, 0.25) > plain
    assert mean_hours(hours, rate, interval, 0.25 + more) > plain


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"per_hour": -1}, "per_hour"),
        ({"per_hour": math.nan}, "per_hour"),
        ({"checkpoint_hours": 0}, "checkpoint_hours"),
        ({"restart_hours": math.inf}, "restart_hours"),
        ({"per_hour": 2, "high_per_hour": 1}, "high_per_hour"),
        ({"high_per_hour": 10}, "checkpoint_hours"),
    ],
)
def test_what_cannot_be_assumed_is_refused(fields: dict[str, float], field: str) -> None:
    with pytest.raises(InputError) as refused:
        Interruptions(**fields)
    assert refused.value.field == field
