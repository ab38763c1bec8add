"""What the tables of a validation are made of: cells, headings, and why rows were abstained from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reports.page import Page
from reports.validation_rows import printable

REASONS = 20
"""Reasons shown; with `--json` each row has its own."""


def headings(text: str, page: Page) -> list[str]:
    """A heading of as many lines as it takes."""
    return [page.heading(line) for line in page.wrap(text, first="")]


def or_none(value: float | None, shown: Callable[[float], str]) -> str:
    """A cell; a dash for nothing."""
    return "–" if value is None else shown(value)


def size(part: float) -> str:
    """A share without a sign: `1.4%`."""
    return ">999%" if part > 9.99 else f"{100 * part:.1f}%"


def reason_lines(reasons: Sequence[tuple[str, int]], page: Page) -> list[str]:
    """Reasons with their counts, the most frequent first, as they are given."""
    width = len(f"{reasons[0][1]:,}") if reasons else 0
    lines = [
        line
        for reason, count in reasons[:REASONS]
        for line in page.wrap(printable(reason, 500), first=f"  {count:>{width},}  ")
    ]
    more = len(reasons) - REASONS
    return [*lines, *(page.wrap(f"and {more:,} more reasons, which --json has") if more > 0 else [])]
