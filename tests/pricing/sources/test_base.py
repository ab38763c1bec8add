"""Collecting rows into offers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pricing.offer import MARKETS, ON_DEMAND, SPOT
from pricing.sheets import read_sheet, write_sheet
from pricing.sources import SOURCES
from pricing.sources.base import (
    AGAIN,
    NO_GPU,
    NO_PRICE,
    SLICE,
    UNTRUE,
    Collector,
    Instance,
    amount,
    size,
    whole,
)

DAY = date(2026, 11, 22)


def collector() -> Collector:
    return Collector("aws", "a list", DAY)


def instance(count: str | None = "1", name: str = "L4") -> Instance:
    return Instance(
        instance_type="g6.xlarge", gpu_name=name, gpu_count=Decimal(count) if count else None, memory_gib=24
    )


def test_a_row_with_two_prices_is_two_offers() -> None:
    rows = collector()
    rows.add(instance(), {ON_DEMAND: Decimal("0.8048"), SPOT: Decimal("0.31")}, "us-east-1")
    on_demand, spot = rows.fetched().offers
    assert (on_demand.market, on_demand.usd_per_hour, on_demand.gpu) == (ON_DEMAND, Decimal("0.8048"), "L4")
    assert (spot.market, spot.usd_per_hour, spot.region, spot.as_of) == (SPOT, Decimal("0.31"), "us-east-1", DAY)


@pytest.mark.parametrize(
    ("count", "name", "price", "why"),
    [
        (None, "L4", "1", NO_GPU),
        ("0", "L4", "1", NO_GPU),
        ("1", " ", "1", NO_GPU),
        ("0.125", "L4", "1", SLICE),
        ("NaN", "L4", "1", UNTRUE),
        ("Infinity", "L4", "1", UNTRUE),
        ("-1", "L4", "1", UNTRUE),
        ("1e9", "L4", "1", UNTRUE),
        ("1", "L4", "NaN", UNTRUE),
        ("1", "L4", "Infinity", UNTRUE),
        ("1", "L4", "-0.5", UNTRUE),
        ("1", "L4", "730", UNTRUE),
        ("1", "L4", "0.0000001", UNTRUE),
        ("1", "L4", "1e999999", UNTRUE),
        ("1", "L4", "0.00", NO_PRICE),
    ],
)
def test_rows_that_become_no_offer_are_counted(count: str | None, name: str, price: str, why: str) -> None:
    rows = collector()
    rows.add(instance(count, name), {ON_DEMAND: Decimal(price), SPOT: None})
    assert rows.fetched().offers == ()
    assert rows.fetched().left_out == {why: 1}


def test_no_spot_price_is_not_a_spot_price_of_zero() -> None:
    rows = collector()
    rows.add(instance(), {ON_DEMAND: Decimal(1), SPOT: Decimal("0.00")})
    assert [offer.market for offer in rows.fetched().offers] == [ON_DEMAND]


def test_of_the_zones_of_a_region_the_cheapest_counts() -> None:
    rows = collector()
    for price in ("0.5", "0.3", "0.4"):
        rows.add(instance(), {SPOT: Decimal(price)}, "us-east-1")
    (offer,) = rows.fetched().offers
    assert offer.usd_per_hour == Decimal("0.3")
    assert rows.fetched().left_out == {AGAIN: 2}


def test_a_price_that_is_the_same_everywhere_is_one_row() -> None:
    rows = collector()
    for region in ("us-east-1", "eu-west-1"):
        rows.add(instance(), {ON_DEMAND: Decimal(1), SPOT: Decimal(len(region)) / 100}, region)
    by_market = {
        market: [o.region for o in rows.fetched().offers if o.market == market] for market in (ON_DEMAND, SPOT)
    }
    assert by_market == {ON_DEMAND: [""], SPOT: [""]}
    rows.add(instance(), {ON_DEMAND: Decimal(2)}, "ap-south-1")
    assert sorted(o.region for o in rows.fetched().offers if o.market == ON_DEMAND) == [
        "ap-south-1",
        "eu-west-1",
        "us-east-1",
    ]


@pytest.mark.parametrize("text", ["1.5", " 1.5 ", Decimal("1.5")])
def test_amounts(text: object) -> None:
    assert amount(text) == Decimal("1.5")


@pytest.mark.parametrize("text", [None, "", "  ", True, False])
def test_no_amount(text: object) -> None:
    assert amount(text) is None


@pytest.mark.parametrize("text", ["free", "1_000", "1,5", "$2", "0x10", "sNaN", "-nan123", "9" * 100, [], {}, 1.5])
def test_what_is_no_amount(text: object) -> None:
    number = amount(text)
    assert number is not None and number.is_nan()


def test_sizes() -> None:
    assert size("22.5") == 22.5 and whole("8.0") == 8
    for text in ("NaN", "Infinity", "-1", "0", "1e12", "x", None, [], "9" * 5000):
        assert size(text) is None and whole(text) is None
    assert whole("0.5") is None


def test_no_two_sources_are_of_one_provider() -> None:
    providers = [source.provider for source in SOURCES]
    assert len(set(providers)) == len(providers)
    assert len({source.name for source in SOURCES}) == len(SOURCES)


TEXT = st.text(max_size=150)
NUMBERS = (TEXT | st.none() | st.decimals().map(str) | st.decimals(0, 300, places=4).map(str)).map(amount)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(TEXT, TEXT, NUMBERS | st.integers(0, 9).map(Decimal), st.sampled_from(MARKETS), NUMBERS, TEXT, TEXT),
        max_size=6,
    )
)
def test_whatever_a_list_holds_its_sheet_can_be_read_back(tmp_path: Path, rows: list) -> None:
    collected = collector()
    for instance_type, name, count, market, price, region, note in rows:
        collected.add(
            Instance(instance_type=instance_type, gpu_name=name, gpu_count=count, note=note), {market: price}, region
        )
    offers = collected.fetched().offers
    write_sheet(tmp_path / "sheet.csv", offers)
    if offers:
        assert read_sheet(tmp_path / "sheet.csv", today=DAY).offers == offers
