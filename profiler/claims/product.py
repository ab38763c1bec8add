"""An article's own product: hours times price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from profiler.claims.claim import Claim
from profiler.claims.words import number

HALF_A_CENT = Decimal("0.005")
"""What rounding to cents may hide."""


@dataclass(frozen=True, slots=True)
class Product:
    """What is to be said of one."""

    holds: bool
    why: str


def product_of(claim: Claim) -> Product | None:
    """Hours times price beside the cost that is claimed; None where it does not say what it was computed from."""
    claimed, hours, price = claim.figure, claim.hours, claim.usd_per_hour
    if claim.quantity != "cost" or claimed is None or hours is None:
        return None
    if price is None:
        low, high = (end / float(hours) for end in (claimed.low, claimed.high))
        return Product(True, f"Over {number(float(hours))} hours that is {low:.2f} to {high:.2f} USD an hour.")
    total = hours * price
    if abs(total - Decimal(claimed.text)) <= HALF_A_CENT:
        return Product(True, f"{number(float(hours))} h x {price:.2f} USD is {claimed.text} USD.")
    return Product(False, f"{number(float(hours))} h x {price:.2f} USD is {total:.2f} USD, not {claimed.text}.")
