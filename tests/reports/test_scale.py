"""The unit of a table."""

from __future__ import annotations

import pytest

from planner.units import GIB, MIB
from reports.scale import scale_of


@pytest.mark.parametrize(("largest", "unit"), [(GIB, "GiB"), (GIB - 1, "MiB"), (0, "MiB")])
def test_mib_below_one_gib(largest: int, unit: str) -> None:
    assert scale_of([0, largest]).name == unit


def test_figures_are_in_that_unit() -> None:
    assert scale_of([3 * GIB]).number(3 * GIB // 2) == "1.50"
    small = scale_of([3 * MIB])
    assert small.number(3 * MIB // 2) == "1.50"
    assert small.signed(-MIB // 4) == "-0.25"
    assert small.number(1) == "<0.01"


def test_nothing_at_all_has_a_unit() -> None:
    assert scale_of([]).name == "MiB"
