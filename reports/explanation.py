"""One component for people: the formula with this run's numbers in it, and its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.units import format_bytes
from reports.page import Page

if TYPE_CHECKING:
    from planner.explain import Explanation, Line


def explanation_text(explanation: Explanation, page: Page) -> str:
    """Each term with its bytes and formula, their sum, and where the formula is from."""
    lines = [page.heading(explanation.title), ""]
    for line in explanation.lines:
        lines += _detail(line, page) if line.bytes is None else _term(line, page)
    total = explanation.total_bytes
    return page.finish(
        [
            *lines,
            "",
            *(page.style(text, "bold") for text in _row("  total", f"{total:,} B", page)),
            f"{format_bytes(total):>{page.width}}",
            "",
            *page.wrap(f"Source: {explanation.source}"),
        ]
    )


def _term(line: Line, page: Page) -> list[str]:
    formula = page.wrap(line.formula, first="    ")
    return [
        *_row(f"  {line.label}", f"{line.bytes:,} B", page),
        *(page.style(text, "dim") for text in formula),
    ]


def _detail(line: Line, page: Page) -> list[str]:
    return [page.style(text, "dim") for text in _row(f"    {line.label}", line.formula, page)]


def _row(left: str, right: str, page: Page) -> list[str]:
    """`left` and `right` at the two edges of the page, on two lines where one is too narrow."""
    if len(left) + len(right) + 2 <= page.width:
        return [f"{left}{right.rjust(page.width - len(left))}"]
    indent = " " * (len(left) - len(left.lstrip()))
    below = [right.rjust(page.width)] if len(right) <= page.width else page.wrap(right, first=f"{indent}  ")
    return [*page.wrap(left.strip(), first=indent), *below]
