"""The largest batch and sequence that fit, solved from the ledgers instead of searched for."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, sqrt

from planner.tape import Size


def largest_batch(sizes: Iterable[Size], room: float, sequence: int) -> int | None:
    """The most sequences of `sequence` tokens for which every one of `sizes` is at most `room` bytes.

    None where not even one fits. Each size is linear in the batch.
    """
    best: float | None = None
    for size in sizes:
        fixed = size.constant + size.sequence * sequence
        slope = size.batch + size.tokens * sequence + size.scores * sequence * sequence
        if fixed > room:
            return None
        if slope > 0:
            limit = (room - fixed) / slope
            best = limit if best is None else min(best, limit)
    if best is None or best < 1:
        return None
    return floor(best)


def longest_sequence(sizes: Iterable[Size], room: float, batch: int) -> int | None:
    """The longest sequences for which, at `batch` of them, every one of `sizes` is at most `room` bytes.

    None where not even one token fits. Each size is quadratic in the length.
    """
    best: float | None = None
    for size in sizes:
        fixed = size.constant + size.batch * batch
        slope = size.sequence + size.tokens * batch
        square = size.scores * batch
        if fixed > room:
            return None
        limit = _positive_root(square, slope, fixed - room)
        if limit is not None:
            best = limit if best is None else min(best, limit)
    if best is None or best < 1:
        return None
    return floor(best)


def _positive_root(square: float, slope: float, constant: float) -> float | None:
    """The x >= 0 at which square*x*x + slope*x + constant is 0 (constant <= 0); None if it never is."""
    if square > 0:
        return (-slope + sqrt(slope * slope - 4 * square * constant)) / (2 * square)
    return -constant / slope if slope > 0 else None
