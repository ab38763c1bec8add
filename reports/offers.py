"""What a planned run costs, for people: the cheapest offers of its card, and where it would cost less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.figures import columns
from reports.page import Page
from reports.time import duration

if TYPE_CHECKING:
    from planner.plan_types import Plan
    from pricing.plan_quotes import PlanQuotes
    from pricing.quote import Quote


def offers_section(plan: Plan, quotes: PlanQuotes | None, page: Page) -> list[str]:
    """The cheapest offers of the plan's card, and other cards that cost less for the same run."""
    if quotes is None or plan.gpu is None:
        return []
    what = "the job" if quotes.tokens is None else "a million tokens"
    card = plan.gpu.name if plan.gpu.count == 1 else f"{plan.gpu.count} x {plan.gpu.name}"
    lines = [page.heading(f"What {what} costs on {card}")]
    if quotes.of_card:
        lines += _table(quotes.of_card, page, with_card=False)
    else:
        lines += page.wrap("no offer of it is known; `lora-plan prices` lists what is, `prices import` adds your own")
    if quotes.elsewhere:
        lines += ["", page.heading("The same run, cheaper"), *_table(quotes.elsewhere, page, with_card=True)]
    shown = (*quotes.of_card, *quotes.elsewhere)
    if any(quoted.stale for quoted in shown):
        lines += [
            page.style(line, "dim") for line in page.wrap("* an old price: `lora-plan prices refresh` looks anew")
        ]
    lines += [
        page.style(line, "dim")
        for line in page.wrap("`lora-plan recommend` searches cards, batches, methods and kernels together")
    ]
    return lines


def _table(quotes: tuple[Quote, ...], page: Page, *, with_card: bool) -> list[str]:
    rows: list[list[str]] = []
    for quoted in quotes:
        offer = quoted.offer
        name = f"{offer.gpu} " if with_card else ""
        size = f"{offer.gpu_count} cards, " if quoted.idle_gpus else ""
        seen = offer.as_of.isoformat() if offer.as_of else "undated"
        rows.append(
            [
                f"  {name}{offer.provider} {size}{offer.market}",
                f"${quoted.usd:,.2f}",
                f"{quoted.low_usd:,.2f}-{quoted.high_usd:,.2f}",
                duration(3600 * quoted.hours),
                f"{offer.usd_per_hour:,.2f}/h",
                seen + ("*" if quoted.stale else " "),
            ]
        )
    return [line.rstrip() for line in columns(rows)]
