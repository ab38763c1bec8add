"""Quotes: the articles' own sums, what comes besides, and which offers are cheapest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.job import JobTime, Part
from planner.units import GIB
from pricing.offer import Offer
from pricing.quote import Hours, Quote, cheapest, quote
from pricing.sheets import BUNDLED, read_sheet
from pricing.spot import Interruptions
from tests.pricing.offers import TODAY, an_offer

NOTHING = {"disk_bytes": 0, "leaving_bytes": 0}


def exactly(hours: float) -> Hours:
    return hours, hours, hours


def lines(quoted: Quote) -> dict[str, Decimal | None]:
    return {line.name: line.usd for line in quoted.lines}


@pytest.mark.parametrize(
    ("hours", "price", "usd"),
    [
        (6, "0.79", "4.74"),
        (24, "1.48", "35.52"),
        (18, "1.19", "21.42"),
        (4, "21.60", "86.40"),
        (8, "1.19", "9.52"),
        (10, "32", "320.00"),
    ],
)
def test_the_articles_sums_come_out_to_the_cent(hours: float, price: str, usd: str) -> None:
    quoted = quote(an_offer(usd_per_hour=Decimal(price)), exactly(hours), TODAY, disk_bytes=0, leaving_bytes=0)
    assert str(quoted.usd) == str(quoted.low_usd) == str(quoted.high_usd) == usd


def test_low_and_high_are_those_of_the_hours() -> None:
    quoted = quote(an_offer(usd_per_hour=Decimal(2)), (1.5, 2, 4), TODAY, disk_bytes=0, leaving_bytes=0)
    assert (quoted.low_usd, quoted.usd, quoted.high_usd) == (3, 4, 8)
    assert (quoted.low_hours, quoted.hours, quoted.high_hours) == (1.5, 2, 4)


def test_a_minute_that_has_begun_is_billed_where_minutes_are() -> None:
    # 61 s are two minutes on Lambda
    quoted = quote(an_offer(provider="lambda", usd_per_hour=Decimal(60)), exactly(61 / 3600), TODAY)
    assert lines(quoted)["instance"] == 2
    assert "by the minute" in quoted.lines[0].text


def test_disk_and_egress_are_billed_besides() -> None:
    # a month of 100 GiB at 0.08, and 10 GB at 0.09
    quoted = quote(
        an_offer(provider="aws", usd_per_hour=Decimal(1)),
        exactly(730),
        TODAY,
        disk_bytes=100 * GIB,
        leaving_bytes=10**10,
    )
    assert lines(quoted) == {"instance": 730, "storage": 8, "egress": Decimal("0.90")}
    assert str(quoted.usd) == "738.90"
    assert quoted.unknown == ()


def test_free_is_zero_and_unknown_is_not() -> None:
    runpod, nebius, own = (
        quote(an_offer(provider=name), exactly(1), TODAY, disk_bytes=GIB, leaving_bytes=10**9)
        for name in ("runpod", "nebius", "a cloud of my own")
    )
    assert lines(runpod)["egress"] == 0
    assert nebius.unknown == own.unknown == ("storage", "egress")
    assert all("not known" in line.text for line in own.lines)
    assert quote(an_offer(), exactly(1), TODAY).unknown == ("storage", "egress")  # sizes that are not known


def test_cards_that_stand_idle_are_paid_and_named() -> None:
    eight = an_offer(gpu_count=8, usd_per_hour=Decimal(16))
    quoted = quote(eight, exactly(1), TODAY, num_gpus=1)
    assert (quoted.usd, quoted.idle_gpus) == (16, 7)
    assert quoted.notes == ("The instance has 8 cards and the run uses 1; all 8 are paid.",)
    assert quote(eight, exactly(1), TODAY).notes == ()
    with pytest.raises(InputError, match="has 8 GPUs, not the 9"):
        quote(eight, exactly(1), TODAY, num_gpus=9)


def test_a_stale_price_is_marked() -> None:
    old, new, undated = (
        quote(an_offer(as_of=day), exactly(1), TODAY) for day in (date(2026, 9, 1), date(2026, 11, 20), None)
    )
    assert (old.stale, old.age.days) == (True, 82)
    assert (new.stale, new.age.days) == (False, 2)
    assert (undated.stale, undated.age.days) == (True, None)


def test_a_spot_quote_shows_its_interruptions() -> None:
    price = Decimal(1)
    spot = quote(an_offer(market="spot", usd_per_hour=price), (10, 10, 10), TODAY)
    plain = quote(an_offer(usd_per_hour=price), (10, 10, 10), TODAY)
    assert spot.low_usd == plain.usd == 10  # nothing may happen
    assert lines(spot)["instance"] == 10
    more = lines(spot)["interruptions"]
    assert more is not None and more > 0
    assert spot.usd == 10 + more
    assert spot.high_usd > spot.usd
    # to first order 10 / 24 interruptions of half an hour and a quarter
    assert float(more) == pytest.approx(10 / 24 * 0.75, rel=0.05)
    assert "assumption" in spot.lines[1].text
    assert "interruptions" not in lines(plain)


def test_a_spot_instance_that_is_never_interrupted_costs_its_hours() -> None:
    never = Interruptions(per_hour=0, high_per_hour=0)
    spot = quote(an_offer(market="spot"), (5, 6, 7), TODAY, interruptions=never)
    plain = quote(an_offer(), (5, 6, 7), TODAY, interruptions=never)
    assert (spot.low_usd, spot.usd, spot.high_usd) == (plain.low_usd, plain.usd, plain.high_usd)
    assert lines(spot)["interruptions"] == 0


MARKET = st.sampled_from(["on-demand", "spot", "community"])
PROVIDER = st.sampled_from(["aws", "gcp", "azure", "lambda", "runpod", "vast", "my own"])


@given(
    st.decimals("0.01", 100, places=4),
    st.lists(st.floats(0, 1e4), min_size=3, max_size=3).map(sorted),
    MARKET,
    PROVIDER,
    st.one_of(st.none(), st.integers(0, 10**13)),
)
def test_the_lines_add_up_and_low_is_no_more_than_high(
    price: Decimal, hours: list[float], market: str, provider: str, size: int | None
) -> None:
    offer = an_offer(provider=provider, market=market, usd_per_hour=price)
    low, expected, high = hours
    quoted = quote(offer, (low, expected, high), TODAY, disk_bytes=size, leaving_bytes=size)
    assert quoted.usd == sum(line.usd for line in quoted.lines if line.usd is not None)
    assert quoted.low_usd <= quoted.usd <= quoted.high_usd
    assert all(line.usd is None or line.usd >= 0 for line in quoted.lines)
    assert quoted.usd.as_tuple().exponent == -2
    without = quote(replace(offer, market="on-demand"), (low, expected, high), TODAY, disk_bytes=size)
    assert quoted.hours >= without.hours


@pytest.mark.parametrize("hours", [(2, 1, 3), (1, 2, math.nan), (-1, 0, 1), (1, 1, math.inf)])
def test_hours_that_are_none_have_no_price(hours: Hours) -> None:
    with pytest.raises(InputError) as refused:
        quote(an_offer(), hours, TODAY)
    assert refused.value.field == "hours"


def test_a_job_is_priced_by_all_its_parts() -> None:
    job = JobTime(
        steps=1,
        steps_per_epoch=1,
        epochs=1,
        examples=1,
        tokens=1,
        padded_tokens=1,
        parts=(Part("start-up", 1800, 900, 3600, ""), Part("training", 5400, 4500, 7200, "")),
        coverage=0.9,
        assumptions=(),
    )
    quoted = quote(an_offer(usd_per_hour=Decimal(2)), job, TODAY, disk_bytes=0, leaving_bytes=0)
    assert (quoted.low_usd, quoted.usd, quoted.high_usd) == (3, 4, 6)


@dataclass(frozen=True)
class Market:
    """Offers of one card, and what is cheapest among them."""

    offers: tuple[Offer, ...]

    def names(self, gpus: int = 1, limit: int | None = None) -> list[str]:
        found = cheapest(self.offers, "L40S", gpus, exactly(10), TODAY, limit, **NOTHING)  # pyright: ignore[reportArgumentType]
        return [f"{quoted.offer.instance_type} {quoted.usd}" for quoted in found]


def named(name: str, count: int, price: str, **fields: object) -> Offer:
    return an_offer(instance_type=name, gpu_count=count, usd_per_hour=Decimal(price), **fields)


def test_the_cheapest_comes_first_whatever_stands_idle() -> None:
    market = Market((named("eight", 8, "6"), named("one", 1, "1"), named("two", 2, "1.50")))
    assert market.names() == ["one 10.00", "two 15.00", "eight 60.00"]
    assert market.names(2) == ["two 15.00", "eight 60.00"]
    assert market.names(9) == []
    assert market.names(limit=1) == ["one 10.00"]


def test_at_one_price_the_matching_count_and_then_the_newer_price_come_first() -> None:
    market = Market(
        (
            named("two", 2, "1"),
            named("undated", 1, "1", as_of=None),
            named("old", 1, "1", as_of=date(2026, 1, 1)),
            named("new", 1, "1", as_of=date(2026, 11, 1)),
        )
    )
    assert market.names() == ["new 10.00", "old 10.00", "undated 10.00", "two 10.00"]


def test_of_the_regions_of_an_instance_the_cheapest_is_quoted() -> None:
    market = Market((named("a", 1, "2", region="us"), named("a", 1, "1.80", region="eu"), named("b", 1, "3")))
    assert market.names() == ["a 18.00", "b 30.00"]


def test_other_cards_and_commitments_are_left_out() -> None:
    market = Market(
        (
            named("other", 1, "0.10", gpu="L4"),
            named("unknown", 1, "0.10", gpu=None),
            named("reserved", 1, "0.50", market="reserved"),
            named("one", 1, "1"),
        )
    )
    assert market.names() == ["one 10.00"]


def test_an_offer_without_a_spot_price_has_no_spot_quote() -> None:
    found = cheapest((an_offer(), an_offer(provider="aws", market="spot")), "L40S", 1, exactly(1), TODAY)
    assert [(quoted.offer.provider, quoted.offer.market) for quoted in found] == [
        ("runpod", "on-demand"),
        ("aws", "spot"),
    ]


def test_every_bundled_offer_has_a_quote() -> None:
    offers = [offer for path in sorted(BUNDLED.glob("*.csv")) for offer in read_sheet(path).offers]
    for offer in offers:
        quoted = quote(offer, (1, 2, 3), TODAY, num_gpus=1, disk_bytes=30 * GIB, leaving_bytes=10**8)
        assert 0 < quoted.low_usd <= quoted.usd <= quoted.high_usd
        assert quoted.idle_gpus == offer.gpu_count - 1
    card = next(offer.gpu for offer in offers if offer.gpu is not None)
    assert cheapest(offers, card, 1, (1, 2, 3), TODAY, 3)
