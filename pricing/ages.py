"""How old a price is, and from when on it is stale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pricing.offer import SPOT, Offer
from pricing.providers import HYPERSCALER, find_provider

SPOT_DAYS = 1
"""Spot prices follow demand from hour to hour."""

HYPERSCALER_DAYS = 90
"""Their on-demand prices stand for years, and are cut on announced days."""

OTHER_DAYS = 30
"""Neoclouds and marketplaces change theirs without notice: RunPod's page had the A100 PCIe at 1.59 USD on 2026-10-07
and at 1.79 on 2026-11-09."""


@dataclass(frozen=True, slots=True)
class Staleness:
    """How far an offer can be relied on."""

    days: int | None
    """Since the price was seen; None where no day is given."""

    fresh_days: int
    """Days for which such a price is taken for current."""

    @property
    def stale(self) -> bool:
        """Whether the price is to be shown as out of date; one of unknown date is."""
        return self.days is None or self.days > self.fresh_days


def staleness(offer: Offer, today: date) -> Staleness:
    """The age of an offer on the day `today`. A clock that is behind makes no price younger than a day of 0."""
    days = None if offer.as_of is None else max(0, (today - offer.as_of).days)
    return Staleness(days, _fresh_days(offer))


def _fresh_days(offer: Offer) -> int:
    if offer.market == SPOT:
        return SPOT_DAYS
    provider = find_provider(offer.provider)
    return HYPERSCALER_DAYS if provider is not None and provider.kind == HYPERSCALER else OTHER_DAYS
