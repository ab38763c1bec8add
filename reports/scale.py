"""Figures of one table in GiB, or in MiB where its largest is less than one GiB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from planner.units import GIB, MIB
from reports.figures import gib_number, signed_gib


class Scale(NamedTuple):
    """The unit of a table."""

    name: str
    """GiB or MiB."""
    in_gib: int
    """How many of them a GiB is."""

    def number(self, count: int, decimals: int = 2) -> str:
        """Bytes without the unit, as `gib_number` writes them."""
        return gib_number(count * self.in_gib, decimals)

    def signed(self, count: int, decimals: int = 2) -> str:
        """A difference without the unit, as `signed_gib` writes it."""
        return signed_gib(count * self.in_gib, decimals)


def scale_of(sizes: Iterable[int]) -> Scale:
    """The unit for sizes of so many bytes."""
    return Scale("GiB", 1) if max(sizes, default=0) >= GIB else Scale("MiB", GIB // MIB)
