"""What became of refreshing and importing prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.catalogue.spelling import shown
from pricing.importing import OWN, Imported
from pricing.refresh import Outcome
from reports.page import Page


def refresh_text(outcomes: Sequence[Outcome], page: Page) -> str:
    """A source a paragraph: how many prices it gave, or why its sheet was left as it was."""
    width = max(len(outcome.source) for outcome in outcomes)
    lines: list[str] = []
    for outcome in outcomes:
        first = f"  {outcome.source:<{width}}  "
        body = page.wrap(_said(outcome), first=first)
        head = page.style(body[0][: len(first)], "green" if outcome.error is None else "red")
        lines += [head + body[0][len(first) :], *body[1:]]
    failed = sum(outcome.error is not None for outcome in outcomes)
    done = len(outcomes) - failed
    summary = f"{done} of {len(outcomes)} refreshed, in {shown(str(outcomes[0].sheet.parent), 1000)}"
    return page.finish([*lines, "", *page.wrap(summary)])


def refresh_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """All that is known of each source's outcome."""
    return {
        "sources": [
            {
                "source": outcome.source,
                "provider": outcome.provider,
                "refreshed": outcome.error is None,
                "offers": outcome.offers,
                "offers_before": outcome.before,
                "left_out": [{"why": why, "rows": rows} for why, rows in outcome.left_out.items()],
                "error": outcome.error,
                "sheet": str(outcome.sheet),
            }
            for outcome in outcomes
        ]
    }


def import_text(imported: Imported, page: Page) -> str:
    """What was imported, and where it is now."""
    where = shown(str(imported.sheet), 1000)
    replaced = "" if imported.replaced is None else f", replacing the {_prices(imported.replaced)} that were in it"
    rule = (
        "A sheet of one's own is taken whole or not at all."
        if imported.kind == OWN
        else f"{_left_out(imported.left_out)}."
    )
    return page.finish(
        [
            *page.wrap(
                f"{_prices(imported.offers)} of {', '.join(imported.providers)} from a {imported.kind}, "
                f"now in {where}{replaced}."
            ),
            *page.wrap(rule),
        ]
    )


def import_json(imported: Imported) -> dict[str, object]:
    """All that is known of an import."""
    return {
        "kind": imported.kind,
        "sheet": str(imported.sheet),
        "offers": imported.offers,
        "offers_replaced": imported.replaced,
        "providers": list(imported.providers),
        "left_out": [{"why": why, "rows": rows} for why, rows in imported.left_out.items()],
    }


def _said(outcome: Outcome) -> str:
    if outcome.error is not None:
        kept = "there is no sheet of before" if outcome.before is None else f"its {_prices(outcome.before)} stay"
        return f"not refreshed, {kept}: {outcome.error}"
    before = "" if outcome.before is None else f", {outcome.before:,} before"
    return f"{_prices(outcome.offers or 0)}{before}; {_left_out(outcome.left_out).lower()}"


def _left_out(left_out: Mapping[str, int]) -> str:
    rows = [f"{count:,} {why}" for why, count in left_out.items()]
    return f"Rows left out: {'; '.join(rows)}" if rows else "No row was left out"


def _prices(count: int) -> str:
    return f"{count:,} price{'' if count == 1 else 's'}"
