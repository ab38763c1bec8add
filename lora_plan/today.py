"""The day that ages of prices are counted from: one place, so that tests can stop the clock."""

from __future__ import annotations

from datetime import date


def today() -> date:
    """The day on this machine's clock."""
    return date.today()
