"""Spot instances: how many hours a run takes when its machine is taken away now and then.

Interruptions come at random at a steady rate, whether the run trains or starts again. One costs what was trained since
the last checkpoint, half an interval on average, and the time to start again. That has a closed form (Daly 2006, "A
higher order estimate of the optimum checkpoint interval for restart dumps", the complete model without the time of a
dump): to first order, hours x (1 + rate x (interval / 2 + restart)). Waiting for another machine costs time but no
money and is not in these hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.errors import InputError

ONE_A_DAY = 1 / 24
"""Google's preemptible VMs never last longer than 24 hours (cloud.google.com/compute/docs/instances/preemptible)."""

ONE_IN_THREE_HOURS = 1 / 3
"""One V100 (p3.2xlarge) of AWS, asked for again as soon as it was lost, in four zones in April 2023: about 47
interruptions in 145 hours of running (skypilot-org/spot-traces, preemption/1-node/aws-04-22-2023, counted in the first
47 hours of each trace)."""

HIGH_SIGMAS = 2
"""Standard deviations above the mean. Hours lean to the long side: about one run in twenty takes longer still
(simulated in tests/pricing/test_spot.py)."""

MOST_LOST = 5.0
"""Interruptions within one interval and restart: e^5 attempts at each are a run that does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruptions:
    """What is assumed of spot instances.

    No rate per hour was found published, and what is known lies far apart: AWS's Spot Instance Advisor has 5 to 20 % of
    instances with an A100 or H100 interrupted in a month (thundercompute.com, which read it in May 2025), the traces of
    V100s one in three hours. So one interruption a day is expected, and the low end of a quote has none, the high end
    one in three hours.
    """

    per_hour: float = ONE_A_DAY
    high_per_hour: float = ONE_IN_THREE_HOURS
    checkpoint_hours: float = 1.0
    """Between two checkpoints."""
    restart_hours: float = 0.25
    """Until training goes on on another machine, which is paid: installing, downloading and loading the model."""

    def __post_init__(self) -> None:
        for name in ("per_hour", "high_per_hour", "checkpoint_hours", "restart_hours"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise InputError(f"{name} is {value}; it must be a number from 0 on", field=name)
        if self.checkpoint_hours == 0:
            raise InputError("checkpoint_hours is 0; give the hours between two checkpoints", field="checkpoint_hours")
        if self.high_per_hour < self.per_hour:
            raise InputError(
                f"high_per_hour is {self.high_per_hour}, below per_hour, {self.per_hour}; give the larger rate",
                field="high_per_hour",
            )
        if self.high_per_hour * (self.checkpoint_hours + self.restart_hours) > MOST_LOST:
            raise InputError(
                f"with {self.high_per_hour:g} interruptions an hour no run gets from one checkpoint to the next, "
                f"{self.checkpoint_hours:g} hours later; checkpoint more often",
                field="checkpoint_hours",
            )

    def expected_hours(self, hours: float) -> float:
        """The mean of the hours that a run of `hours` without interruptions takes."""
        return mean_hours(hours, self.per_hour, self.checkpoint_hours, self.restart_hours)

    def high_hours(self, hours: float) -> float:
        """The hours that, at the high rate, about one run in twenty exceeds."""
        rate, interval, restart = self.high_per_hour, self.checkpoint_hours, self.restart_hours
        deviation = deviation_hours(hours, rate, interval, restart)
        return mean_hours(hours, rate, interval, restart) + HIGH_SIGMAS * deviation


def mean_hours(hours: float, rate: float, interval: float, restart: float) -> float:
    """Expected hours of a run with `rate` interruptions an hour and a checkpoint every `interval` hours."""
    if rate == 0:
        return hours
    full, rest = divmod(hours, interval)
    segments = full * interval * _stretch(rate * interval) + rest * _stretch(rate * rest)
    # never below what it takes without interruptions, which rounding would allow for the smallest rates
    return max(hours, math.exp(rate * restart) * segments)


def _stretch(expected: float) -> float:
    """How many times its hours a segment takes, with `expected` interruptions in it: (e^x - 1) / x.

    Of the product, not divided by the rate: the smallest rates have few digits left, and times hours not the same.
    """
    return math.expm1(expected) / expected if expected else 1.0


def deviation_hours(hours: float, rate: float, interval: float, restart: float) -> float:
    """Standard deviation of those hours. From one checkpoint to the next is independent of what went before."""
    if rate == 0:
        return 0.0
    full, rest = divmod(hours, interval)
    return math.sqrt(full * _variance(interval, rate, restart) + _variance(rest, rate, restart))


def _variance(work: float, rate: float, restart: float) -> float:
    """Of the hours from one checkpoint to the next, `work` hours away.

    The first attempt lasts min(X, work), X until the next interruption; if that comes first, the wait for `restart +
    work` hours without an interruption follows (mean and variance of a wait for a gap in a Poisson process).
    """
    expected = rate * work
    if expected < 1e-4:  # where the differences below cancel: one interruption, at any moment of the work
        return expected * (work * work / 3 + work * restart + restart * restart)
    alone = math.exp(-expected)
    lost = 1 - alone
    gap = rate * (restart + work)
    again = math.expm1(gap) / rate
    again_variance = (math.exp(2 * gap) - 2 * gap * math.exp(gap) - 1) / rate**2
    first_variance = (1 - 2 * expected * alone - alone * alone) / rate**2
    together = alone * (lost / rate - work)  # covariance of the first attempt's length and of its being lost
    return first_variance + lost * again_variance + again * again * lost * alone + 2 * again * together
