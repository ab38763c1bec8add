"""What to change in a run, with what each change frees."""

from __future__ import annotations

from collections.abc import Sequence

from planner.plan_types import Plan, Suggestion
from reports.figures import gib
from reports.page import Page


def advice_section(plan: Plan, suggestions: Sequence[Suggestion], page: Page) -> list[str]:
    """Suggestions in their own order; where the run does not fit, those that make it fit first."""
    if plan.gpu is None:
        changes = [suggestion for suggestion in suggestions if suggestion.frees_bytes]
        cards = [suggestion for suggestion in suggestions if not suggestion.frees_bytes]
        return _both(_titled("What would use less", changes, page), _titled("Smallest cards it fits", cards, page))
    if plan.verdict == "fits":
        return _titled("What would use less", suggestions, page)
    enough = [suggestion for suggestion in suggestions if suggestion.fits]
    helpful = [suggestion for suggestion in suggestions if not suggestion.fits]
    return _both(
        _titled("What makes it fit", enough, page),
        _titled("Helps, but is not enough alone" if enough else "Helps, but none is enough alone", helpful, page),
    )


def _both(first: list[str], second: list[str]) -> list[str]:
    return [*first, "", *second] if first and second else first or second


def _titled(title: str, suggestions: Sequence[Suggestion], page: Page) -> list[str]:
    if not suggestions:
        return []
    figures = [_figures(suggestion) for suggestion in suggestions]
    width = max(map(len, figures))
    lines = [page.heading(title)]
    for number, (suggestion, figure) in enumerate(zip(suggestions, figures, strict=True), start=1):
        narrow = Page(page.width - width - 2)
        first, *rest = narrow.wrap(suggestion.text, first=f"{number:>3}. ")
        lines += [f"{first.ljust(narrow.width)}  {figure.rjust(width)}", *rest]
    return lines


def _figures(suggestion: Suggestion) -> str:
    peak = f"peak {gib(suggestion.reserved_bytes)}"
    return f"frees {gib(suggestion.frees_bytes)}, {peak}" if suggestion.frees_bytes else peak
