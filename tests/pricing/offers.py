"""Offers to test with."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from pricing.offer import Offer

TODAY = date(2026, 11, 22)


def an_offer(**changes: Any) -> Offer:
    """A plausible offer, with `changes`."""
    fields: dict[str, Any] = {
        "provider": "runpod",
        "instance_type": "1x L40S secure",
        "gpu": "L40S",
        "gpu_name": "L40S",
        "gpu_count": 1,
        "market": "on-demand",
        "usd_per_hour": Decimal("1.09"),
        "as_of": date(2026, 11, 9),
        "source": "runpod.io/pricing",
    }
    return Offer(**(fields | changes))
