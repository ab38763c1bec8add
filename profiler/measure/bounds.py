"""How far a measurement may go: in steps, seconds and dollars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from planner.errors import InputError

WARM_UP = 2
"""Steps that `profiler.measure.passes` takes before any is timed; memory is known after them."""
MOST_STEPS = 10_000
MOST_SECONDS = 86_400.0
MOST_USD = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a measurement may take; whichever bound is reached first ends it.

    Dollars buy the seconds of the measurement alone: the machine is billed from its start to its end. Raises
    `InputError`, with the option as its field, for a bound that is none.
    """

    max_steps: int = 10
    """Optimizer steps, warm-up included."""
    max_seconds: float = 300.0
    """From the start of the process that measures, loading included."""
    max_usd: Decimal | None = None
    usd_per_hour: Decimal | None = None
    """Price of the machine; None where it is not known."""

    def __post_init__(self) -> None:
        if type(self.max_steps) is not int or not WARM_UP <= self.max_steps <= MOST_STEPS:
            raise InputError(
                f"--max-steps must be a whole number from {WARM_UP} (both warm up, and none is timed) to "
                f"{MOST_STEPS:,}, not {self.max_steps}",
                field="max_steps",
            )
        if not 0 < self.max_seconds <= MOST_SECONDS:  # false for nan as well
            raise InputError(
                f"--max-seconds must be more than 0 and at most {MOST_SECONDS:,.0f} (a day), not {self.max_seconds}",
                field="max_seconds",
            )
        for usd, option in ((self.max_usd, "--max-usd"), (self.usd_per_hour, "--usd-per-hour")):
            if usd is not None:
                check_usd(usd, option)
        if self.max_usd is not None and self.usd_per_hour is None:
            raise InputError(
                "--max-usd needs the price of this machine; say with --usd-per-hour what an hour of it costs, or bound "
                "the measurement with --max-seconds",
                field="max_usd",
            )

    @property
    def seconds(self) -> float:
        """The smaller of `max_seconds` and what `max_usd` buys."""
        return min(self.max_seconds, self._paid_seconds)

    @property
    def seconds_option(self) -> str:
        """The option that sets `seconds`."""
        return "--max-usd" if self._paid_seconds < self.max_seconds else "--max-seconds"

    @property
    def _paid_seconds(self) -> float:
        if self.max_usd is None or self.usd_per_hour is None:
            return math.inf
        return float(self.max_usd / self.usd_per_hour * 3600)


def check_usd(usd: Decimal, option: str) -> None:
    """Raises `InputError`, naming the option, for what is no amount to bound anything with: zero, nan, infinity."""
    # comparing with a signaling NaN raises
    if not (usd.is_finite() and 0 < usd <= MOST_USD):
        raise InputError(
            f"{option} must be more than $0 and at most ${MOST_USD:,}, not {usd}",
            field=option.removeprefix("--").replace("-", "_"),
        )
