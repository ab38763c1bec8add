"""What a planned run costs, for people: the cheapest offers of its card, and where it would cost less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.figures import columns
from reports.page import Page
from reports.plan_words import card_name
from reports.time import duration

if TYPE_CHECKING:
    from planner.plan_types import Plan
    from pricing.plan_quotes import PlanQuotes
    from pricing.quote import Quote

NO_OFFER = "no offer of it is known; `lora-plan prices` lists what is, `prices import` adds your own"
OLD_PRICE = "an old price: `lora-plan prices refresh` looks anew"


def offers_section(plan: Plan, quotes: PlanQuotes | None, page: Page) -> list[str]:
    """The cheapest offers of the plan's card, and other cards that cost less for the same run."""
    if quotes is None or plan.gpu is None:
        return []
    lines = [page.heading(f"What {priced_for(quotes)} costs on {card_name(plan.gpu)}")]
    if quotes.of_card:
        lines += _table(quotes.of_card, page, with_card=False)
    else:
        lines += page.wrap(NO_OFFER)
    if quotes.elsewhere:
        lines += ["", page.heading("The same run, cheaper"), *_table(quotes.elsewhere, page, with_card=True)]
    shown = (*quotes.of_card, *quotes.elsewhere)
    if any(quoted.stale for quoted in shown):
        lines += [page.style(line, "dim") for line in page.wrap(f"* {OLD_PRICE}")]
    lines += [
        page.style(line, "dim")
        for line in page.wrap("`lora-plan recommend` searches cards, batches, methods and kernels together")
    ]
    return lines


def priced_for(quotes: PlanQuotes) -> str:
    """What the quotes are for."""
    return "the job" if quotes.tokens is None else "a million tokens"


def offer_name(quoted: Quote) -> str:
    """`verda spot`, `aws 8 cards, on-demand`."""
    offer = quoted.offer
    size = f"{offer.gpu_count} cards, " if quoted.idle_gpus else ""
    return f"{offer.provider} {size}{offer.market}"


def seen(quoted: Quote) -> str:
    """The day of a price, or that there is none."""
    return quoted.offer.as_of.isoformat() if quoted.offer.as_of else "undated"


def _table(quotes: tuple[Quote, ...], page: Page, *, with_card: bool) -> list[str]:
    rows: list[list[str]] = []
    for quoted in quotes:
        offer = quoted.offer
        name = f"{offer.gpu} " if with_card else ""
        rows.append(
            [
                f"  {name}{offer_name(quoted)}",
                f"${quoted.usd:,.2f}",
                f"{quoted.low_usd:,.2f}-{quoted.high_usd:,.2f}",
                duration(3600 * quoted.hours),
                f"{offer.usd_per_hour:,.2f}/h",
                seen(quoted) + ("*" if quoted.stale else " "),
            ]
        )
    return [line.rstrip() for line in columns(rows)]
