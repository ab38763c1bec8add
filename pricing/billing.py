"""What a provider bills of the time that an instance is held."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from planner.errors import InputError
from pricing.providers import Provider

SECONDS_PER_HOUR = 3600

MOST_HOURS = 1e12
"""Beyond every run; up to it, what a decimal of 28 digits holds is exact to the cent."""

_MILLISECOND = Decimal("0.001")
_UNITS = {1: "second", 60: "minute", 3600: "hour"}


def exact_seconds(hours: float) -> Decimal:
    """A duration in seconds, to the nearest millisecond: the one place where a float becomes a decimal.

    A millisecond, because time is rounded up from here on: what a float has too much in its last digit (1.1 hours are
    3960.0000000000005 seconds) would be billed as a second, or an hour, more. Raises `InputError` for a duration that
    is negative, no number, or beyond `MOST_HOURS`.
    """
    if not 0 <= hours <= MOST_HOURS:
        raise InputError(
            f"a run of {hours} hours has no price; give a number of hours from 0 to {MOST_HOURS:g}", field="hours"
        )
    return (Decimal(hours) * SECONDS_PER_HOUR).quantize(_MILLISECOND, rounding=ROUND_HALF_EVEN)


def billed_seconds(held: Decimal, provider: Provider | None) -> Decimal:
    """What is billed of the seconds that an instance is held: rounded up to the provider's unit, and its minimum.

    Exactly what is held where the provider's unit is not known (`billed_in_words` says so).
    """
    if provider is None or provider.billing_seconds is None:
        return held
    unit = provider.billing_seconds
    units = (held / unit).to_integral_value(rounding=ROUND_CEILING)
    return max(units * unit, Decimal(provider.minimum_seconds or 0))


def billed_in_words(provider: Provider | None) -> str:
    """`billed by the second, 60 s at least`, or that it is not known."""
    if provider is None or provider.billing_seconds is None:
        return "how it is billed is not known, so to the exact second"
    unit = _UNITS.get(provider.billing_seconds, f"{provider.billing_seconds} s")
    least = provider.minimum_seconds
    return f"billed by the {unit}" + (f", {least} s at least" if least else "")
