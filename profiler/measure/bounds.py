"""How far a measurement may go: in steps, seconds and dollars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from planner.errors import InputError

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
        if type(self.max_steps) is not int or not 1 <= self.max_steps <= MOST_STEPS:
            raise InputError(
                f"--max-steps must be a whole number from 1 to {MOST_STEPS:,}, not {self.max_steps}", field="max_steps"
            )
        if not 0 < self.max_seconds <= MOST_SECONDS:  # false for nan as well
            raise InputError(
                f"--max-seconds must be more than 0 and at most {MOST_SECONDS:,.0f} (a day), not {self.max_seconds}",
                field="max_seconds",
            )
        _check_usd("--max-usd", "max_usd", self.max_usd)
        _check_usd("the price of an hour", "usd_per_hour", self.usd_per_hour)
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
    def text(self) -> str:
        """The bounds for people, with the option that sets the seconds."""
        steps = f"at most {self.max_steps:,} step{'' if self.max_steps == 1 else 's'}"
        by_usd = self._paid_seconds < self.max_seconds
        option = "--max-usd" if by_usd else "--max-seconds"
        return f"{steps} and {self.seconds:,.4g} s ({option}){self._cost}"

    @property
    def _paid_seconds(self) -> float:
        if self.max_usd is None or self.usd_per_hour is None:
            return math.inf
        return float(self.max_usd / self.usd_per_hour * 3600)

    @property
    def _cost(self) -> str:
        if self.usd_per_hour is None:
            return ""
        usd = self.usd_per_hour * Decimal(self.seconds) / 3600
        return f", ${usd:,.2f} at ${self.usd_per_hour:,.2f} an hour"


def _check_usd(what: str, field: str, usd: Decimal | None) -> None:
    # comparing with a signaling NaN raises
    if usd is not None and not (usd.is_finite() and 0 < usd <= MOST_USD):
        raise InputError(f"{what} must be more than $0 and at most ${MOST_USD:,}, not {usd}", field=field)
