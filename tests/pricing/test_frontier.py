"""What nothing beats."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pricing.frontier import ALIKE, undominated, unlike
from tests.pricing.offers import an_offer

Way = tuple[float, Decimal]
WAYS = st.lists(
    st.tuples(st.floats(0.1, 1e4), st.decimals(Decimal("0.01"), Decimal(10_000), places=2)), min_size=1, max_size=40
)


def kept(ways: list[Way]) -> list[Way]:
    return undominated(ways, lambda way: way[0], lambda way: way[1])


@given(WAYS)
def test_every_way_is_kept_or_beaten(ways: list[Way]) -> None:
    best = kept(ways)
    for hours, usd in ways:
        # what is alike may be alike to what is itself left out
        assert any(other[0] <= hours * (1 + ALIKE) ** len(ways) and other[1] <= usd for other in best)


@given(WAYS)
def test_what_is_kept_gets_slower_and_cheaper(ways: list[Way]) -> None:
    best = kept(ways)
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(best))
    assert min(usd for _, usd in ways) == best[-1][1]


def test_equally_fast_is_as_fast() -> None:
    assert kept([(1.0, Decimal(9)), (1.005, Decimal(3)), (2.0, Decimal(1))]) == [
        (1.005, Decimal(3)),
        (2.0, Decimal(1)),
    ]


def test_of_the_regions_of_an_instance_the_cheapest_counts() -> None:
    offers = [an_offer(region="eu", usd_per_hour=Decimal(2)), an_offer(region="us", usd_per_hour=Decimal(1))]
    ((key, found),) = unlike(offers).items()
    assert key == (1, "L40S")
    assert [offer.region for offer in found] == ["us"]
