"""How bytes are written: GiB, and nothing that is something shown as nothing."""

from __future__ import annotations

from planner.units import GIB, MIB
from reports.figures import columns, gib, gib_number, share


def test_gib() -> None:
    assert gib(int(46.94 * GIB)) == "46.9 GiB"
    assert gib(1536 * GIB) == "1,536.0 GiB"
    assert gib(512 * MIB) == "0.50 GiB"
    assert gib(0) == "0.00 GiB"


def test_what_rounds_to_nothing_says_so() -> None:
    assert gib_number(1, 2) == "<0.01"
    assert gib_number(int(0.04 * GIB), 1) == "<0.1"
    assert gib_number(int(0.06 * GIB), 1) == "0.1"
    assert share(1, 1000) == "<1%"
    assert share(0, 1000) == "0%"
    assert share(189, 100) == "189%"


def test_columns() -> None:
    assert columns([["a", "1.0"], ["long", "10.0"]]) == ["a      1.0", "long  10.0"]
