"""Ledgers whose bytes are still polynomials, and their sums."""

from __future__ import annotations

from collections.abc import Mapping

from planner.tape import Size

Ledger = Mapping[str, Size]
"""Component -> bytes."""

LOSS = "logits_and_loss"
WEIGHTS = "base_weights"


def plus(a: Ledger, b: Ledger) -> dict[str, Size]:
    """The sum of two ledgers."""
    out = dict(a)
    for component, size in b.items():
        out[component] = out[component].plus(size) if component in out else size
    return out


def minus(a: Ledger, b: Ledger) -> dict[str, Size]:
    """What is in ledger `a` and not in `b`."""
    rest = plus(a, {component: size.times(-1) for component, size in b.items()})
    return {component: size for component, size in rest.items() if any(size)}
