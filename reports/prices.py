"""Prices as a table: for an hour of one card and of the whole instance, and how old they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from planner.catalogue.spelling import shown
from pricing.ages import HYPERSCALER_DAYS, OTHER_DAYS, SPOT_DAYS, staleness
from pricing.offer import ON_DEMAND, Offer
from reports.page import Page

MARK = "*"
"""Behind the age of a price that is out of date."""

CUT = ".."
"""At the end of a name that there is no room for."""

WIDEST = {"card": 19, "provider": 16}
"""Columns to cut where a name is longer; `instance` gets what the others leave."""

SPARED = ("instance", "$/h", "provider")
"""Columns that a narrow page goes without, the first first."""


def prices_text(offers: Sequence[Offer], today: date, page: Page, notes: Sequence[str] = ()) -> str:
    """One price a line, in the order given; offers that differ in nothing but their region share one.

    `notes` are sentences to print below. `offers` may not be empty.
    """
    one_card = len({offer.gpu or offer.gpu_name for offer in offers}) == 1
    rows = [_cells(offer, regions, today, one_card) for offer, regions in _with_regions(offers)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    widths |= {name: min(widths[name], most) for name, most in WIDEST.items() if name in widths}
    room = page.width - _width(widths | {"instance": 0})
    widths["instance"] = max(len("instance"), min(widths["instance"], room))
    for name in SPARED:
        if _width(widths) > page.width:
            del widths[name]
    return page.finish(
        [
            page.style(_line({name: name for name in widths}, widths, Page()), "bold"),
            *(_line(row, widths, page) for row in rows),
            "",
            *page.wrap(_summary(offers, today)),
            *(line for note in notes for line in page.wrap(shown(note, 400))),
        ]
    )


def usd(price: Decimal) -> str:
    """Dollars with as many decimals as say something: `113.93`, `1.99`, `0.105`."""
    return f"{price:,.2f}" if price >= 1 else f"{price:.3f}"


def _with_regions(offers: Sequence[Offer]) -> list[tuple[Offer, list[str]]]:
    alike: dict[Offer, list[str]] = {}
    for offer in offers:
        alike.setdefault(replace(offer, region="", note=""), []).append(offer.region)
    return list(alike.items())


def _cells(offer: Offer, regions: Sequence[str], today: date, one_card: bool) -> dict[str, str]:
    age = staleness(offer, today)
    days = "?" if age.days is None else f"{age.days:,} d"
    where = f"{len(regions)} regions" if len(regions) > 1 else regions[0]
    card = offer.gpu or offer.gpu_name
    market = "" if offer.market == ON_DEMAND else f" {offer.market}"
    which = {"GPUs": str(offer.gpu_count)} if one_card else {"card": shown(f"{offer.gpu_count}x {card}")}
    return {
        "$/GPU h": usd(offer.usd_per_gpu_hour),
        "$/h": usd(offer.usd_per_hour),
        **which,
        "provider": _cut(shown(offer.provider), WIDEST["provider"] - len(market)) + market,
        "age": days + (MARK if age.stale else " "),
        "instance": shown(f"{offer.instance_type}  {where}".rstrip()),
    }


def _width(widths: dict[str, int]) -> int:
    return sum(width + 2 for width in widths.values())


def _line(row: dict[str, str], widths: dict[str, int], page: Page) -> str:
    cells: list[str] = []
    for name, width in widths.items():
        text = _cut(row[name], width)
        cell = text.ljust(width) if name in ("card", "provider", "instance") else text.rjust(width)
        cells.append(page.style(cell, "yellow") if name == "age" and MARK in cell else cell)
    return "  " + "  ".join(cells)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - len(CUT)] + CUT


def _summary(offers: Sequence[Offer], today: date) -> str:
    ages = [staleness(offer, today) for offer in offers]
    stale, undated = sum(age.stale for age in ages), sum(age.days is None for age in ages)
    days = [offer.as_of for offer in offers if offer.as_of is not None]
    seen = f", seen from {min(days)} to {max(days)}" if days else ""
    said = (
        f"{_counted(len(offers), 'price')} of {_counted(len({offer.provider for offer in offers}), 'provider')}{seen}"
    )
    if not stale:
        return f"{said}; none is stale."
    without = f", {undated:,} of them without a date" if undated else ""
    return (
        f"{said}; {stale:,} {'is' if stale == 1 else 'are'} stale ({MARK}){without}: older than "
        f"{HYPERSCALER_DAYS} days for hyperscalers, {OTHER_DAYS} for others, {SPOT_DAYS} for spot. "
        "`lora-plan prices refresh` fetches new ones."
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
