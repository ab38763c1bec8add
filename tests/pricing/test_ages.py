"""From when on a price is stale."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from pricing.ages import staleness
from tests.pricing.offers import TODAY, an_offer


@pytest.mark.parametrize(
    ("provider", "market", "fresh_days"),
    [
        ("runpod", "on-demand", 30),
        ("vast", "community", 30),
        ("shadeform", "on-demand", 30),
        ("colab", "on-demand", 30),
        ("aws", "on-demand", 90),
        ("azure", "reserved", 90),
        ("gcp", "spot", 1),
        ("verda", "spot", 1),
        ("a cloud of my own", "on-demand", 30),
    ],
)
def test_a_price_is_fresh_for_as_long_as_such_prices_are(provider: str, market: str, fresh_days: int) -> None:
    for days, stale in ((0, False), (fresh_days, False), (fresh_days + 1, True)):
        age = staleness(an_offer(provider=provider, market=market, as_of=TODAY - timedelta(days)), TODAY)
        assert (age.days, age.fresh_days, age.stale) == (days, fresh_days, stale)


def test_a_price_without_a_date_is_stale() -> None:
    age = staleness(an_offer(as_of=None), TODAY)
    assert age.days is None
    assert age.stale


def test_a_clock_that_is_behind_makes_no_price_younger_than_today() -> None:
    age = staleness(an_offer(as_of=date(2026, 11, 9)), date(2026, 1, 1))
    assert (age.days, age.stale) == (0, False)
