"""US dollars as decimals. A sum is worked out exactly and rounded once, to whole cents."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")


def cents(usd: Decimal) -> Decimal:
    """To whole cents, half a cent to the even one, which leaves no bias over many lines."""
    return usd.quantize(CENT, rounding=ROUND_HALF_EVEN)


def plain(usd: Decimal) -> str:
    """A price as its source has it, and no fewer than two decimals: `0.79`, `21.957642`, `32.00`."""
    exponent = usd.as_tuple().exponent
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{usd:,.{decimals}f}"
