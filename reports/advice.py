"""What to change in a run, with what each change frees."""

from __future__ import annotations

from collections.abc import Sequence

from planner.plan_types import Plan, Suggestion
from reports.figures import gib
from reports.page import Page
from reports.sections import joined


def advice_section(plan: Plan, suggestions: Sequence[Suggestion], page: Page) -> list[str]:
    """Suggestions in their own order; where the run does not fit, those that make it fit first."""
    return joined(_titled(title, found, page) for title, found in advice(plan, suggestions).items())


def advice(plan: Plan, suggestions: Sequence[Suggestion]) -> dict[str, list[Suggestion]]:
    """Title -> the suggestions that it is of, where there are any."""
    if plan.gpu is None:
        groups = {
            "What would use less": [suggestion for suggestion in suggestions if suggestion.frees_bytes],
            "Smallest cards it fits": [suggestion for suggestion in suggestions if not suggestion.frees_bytes],
        }
    elif plan.verdict == "fits":
        groups = {"What would use less": list(suggestions)}
    else:
        enough = [suggestion for suggestion in suggestions if suggestion.fits]
        alone = "Helps, but is not enough alone" if enough else "Helps, but none is enough alone"
        groups = {
            "What makes it fit": enough,
            alone: [suggestion for suggestion in suggestions if not suggestion.fits],
        }
    return {title: found for title, found in groups.items() if found}


def _titled(title: str, suggestions: Sequence[Suggestion], page: Page) -> list[str]:
    figures = [freed(suggestion) for suggestion in suggestions]
    width = max(map(len, figures))
    lines = [page.heading(title)]
    for number, (suggestion, figure) in enumerate(zip(suggestions, figures, strict=True), start=1):
        narrow = Page(page.width - width - 2)
        first, *rest = narrow.wrap(suggestion.text, first=f"{number:>3}. ")
        lines += [f"{first.ljust(narrow.width)}  {figure.rjust(width)}", *rest]
    return lines


def freed(suggestion: Suggestion) -> str:
    """`frees 8.8 GiB, peak 46.5 GiB`; of another card the peak alone."""
    peak = f"peak {gib(suggestion.reserved_bytes)}"
    return f"frees {gib(suggestion.frees_bytes)}, {peak}" if suggestion.frees_bytes else peak
