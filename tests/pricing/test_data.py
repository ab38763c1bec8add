"""The bundled sheets: every line of them."""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from planner.catalogue import list_gpus
from pricing.offer import SPOT, Offer
from pricing.providers import HYPERSCALER, find_provider, list_providers
from pricing.sheet_file import COLUMNS, key, read_sheet
from pricing.sheets import BUNDLED

SHEETS = sorted(BUNDLED.glob("*.csv"))
OFFERS = [offer for sheet in SHEETS for offer in read_sheet(sheet).offers]
WRITTEN = date(2026, 11, 22)
"""The day these sheets were put together. Change it with them."""

SHARED = Path(__file__).parents[3] / "shared" / "data" / "prices.csv"

FRACTIONS = {"0.5": "1/2 ", "0.333": "1/3 ", "0.25": "1/4 ", "0.167": "1/6 ", "0.125": "1/8 "}


def rows(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.stem)
def test_every_line_is_an_offer_and_none_is_there_twice(sheet: Path) -> None:
    offers = read_sheet(sheet, today=WRITTEN).offers
    assert len(offers) == len(rows(sheet))
    assert len({key(offer) for offer in offers}) == len(offers)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.stem)
def test_a_sheet_has_the_columns_of_an_offer_and_one_provider(sheet: Path) -> None:
    assert tuple(rows(sheet)[0]) == COLUMNS
    assert {row["provider"] for row in rows(sheet)} == {sheet.stem}
    assert find_provider(sheet.stem) is not None


def test_every_provider_has_a_sheet() -> None:
    assert {provider.id for provider in list_providers()} == {sheet.stem for sheet in SHEETS}


def test_cards_are_called_as_in_the_catalogue() -> None:
    names = {gpu.name for gpu in list_gpus()}
    for offer in OFFERS:
        assert offer.gpu is None or offer.gpu in names


def test_a_card_has_the_memory_that_its_price_is_for() -> None:
    marketed = {gpu.name: gpu.marketing_gb for gpu in list_gpus()}
    for offer in OFFERS:
        if offer.gpu is not None and offer.gpu_memory_gib is not None:
            # B300 is sold as 262 to 288 GB
            assert offer.gpu_memory_gib == pytest.approx(marketed[offer.gpu], rel=0.10), offer


def test_slices_of_a_card_are_no_card() -> None:
    slices = [offer for offer in OFFERS if offer.gpu_name.startswith(tuple(FRACTIONS.values()))]
    assert len(slices) == 53
    assert all(offer.gpu is None and offer.gpu_count == 1 for offer in slices)


def test_a_card_costs_what_such_cards_cost() -> None:
    # a month's price for an hour's, cents for dollars, or eight cards for one would be further out; the dearest of a
    # group are cards in machines with many CPUs
    groups: dict[tuple[str, bool, bool], list[Offer]] = defaultdict(list)
    for offer in OFFERS:
        assert Decimal("0.02") < offer.usd_per_gpu_hour < 40, offer
        provider = find_provider(offer.provider)
        assert provider is not None
        if offer.gpu is not None:
            groups[offer.gpu, provider.kind == HYPERSCALER, offer.market == SPOT].append(offer)
    for offers in groups.values():
        middle = statistics.median(offer.usd_per_gpu_hour for offer in offers)
        for offer in offers:
            assert middle / 6 < offer.usd_per_gpu_hour < 6 * middle, offer


def test_spot_is_cheaper_than_keeping_the_instance() -> None:
    def thing(offer: Offer) -> tuple[object, ...]:
        return offer.provider, offer.instance_type, offer.gpu or offer.gpu_name, offer.gpu_count, offer.region

    kept = {thing(offer): offer for offer in OFFERS if offer.market != SPOT}
    both = [(offer, kept[thing(offer)]) for offer in OFFERS if offer.market == SPOT and thing(offer) in kept]
    assert len(both) > 150
    for spot, on_demand in both:
        assert spot.usd_per_hour < on_demand.usd_per_hour, spot


def test_hosts_of_a_marketplace_give_no_service_level() -> None:
    for offer in OFFERS:
        if offer.provider in ("vast", "lium"):
            assert offer.market == "community", offer


def test_prices_of_the_articles_that_still_stood() -> None:
    """RunPod's L40S at 0.79 and A100 at 1.19 an hour, CoreWeave's eight A100 at 21.60."""
    prices = {(offer.provider, offer.gpu, offer.gpu_count, offer.market): offer.usd_per_hour for offer in OFFERS}
    assert prices["runpod", "L40S", 1, "community"] == Decimal("0.79")
    assert prices["runpod", "A100-80GB-PCIe", 1, "community"] == Decimal("1.19")
    assert prices["coreweave", "A100-80GB-SXM", 8, "on-demand"] == Decimal("21.60")


def test_colab_is_priced_by_its_compute_units() -> None:
    colab = {offer.gpu: offer for offer in OFFERS if offer.provider == "colab"}
    # 9.99 USD for 100 units; 1.19 units an hour of a T4
    assert colab["T4"].usd_per_hour == Decimal("1.19") * Decimal("9.99") / 100
    assert colab["T4"].as_of == date(2026, 3, 10)


@pytest.mark.skipif(not SHARED.exists(), reason="the collected prices are not here")
def test_no_price_that_was_collected_is_lost_but_to_a_newer_one() -> None:
    """Each price of the collection is in the sheets to the digit, or a newer one of that provider's card is."""
    ours = defaultdict(list)
    for offer in OFFERS:
        ours[offer.provider].append(offer)
    for row in rows(SHARED):
        card = FRACTIONS.get(row["gpu_count"], "") + row["gpu"]
        for column, spot in (("usd_per_hour_ondemand", False), ("usd_per_hour_spot", True)):
            if not row[column] or row["instance_type"].startswith("N1+"):
                continue
            alike = [
                offer for offer in ours[row["provider"]] if offer.gpu_name == card and (offer.market == SPOT) == spot
            ]
            same = any(str(offer.usd_per_hour) == row[column] for offer in alike)
            newer = any(str(offer.as_of or "") > row["as_of"] for offer in alike)
            assert same or newer, row
