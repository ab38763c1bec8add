"""Asking for offers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pricing.offer import Offer
from pricing.wanted import ANY, Wanted
from tests.pricing.offers import an_offer

OFFERS = (
    an_offer(),
    an_offer(
        provider="aws", instance_type="g6e.12xlarge", gpu_count=4, usd_per_hour=Decimal("10.49"), region="us-east-1"
    ),
    an_offer(provider="vast", market="community", usd_per_hour=Decimal("0.60"), region="Oregon, US, NA"),
    an_offer(provider="azure", gpu="T4", gpu_name="T4", usd_per_hour=Decimal("0.526"), region="eastus"),
    an_offer(provider="lambda", gpu=None, gpu_name="RTX6000-Turing", usd_per_hour=Decimal("0.69")),
)


def providers(offers: list[Offer]) -> list[str]:
    return [offer.provider for offer in offers]


def test_no_wish_wants_everything() -> None:
    assert ANY.of(OFFERS) == list(OFFERS)
    assert ANY.emptied_by(OFFERS) is None


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Wanted(gpus=frozenset({"L40S"})), ["runpod", "aws", "vast"]),
        (Wanted(providers=frozenset({"aws", "azure"})), ["aws", "azure"]),
        (Wanted(markets=frozenset({"community"})), ["vast"]),
        (Wanted(max_usd_per_gpu_hour=Decimal("0.60")), ["vast", "azure"]),
        (Wanted(min_gpu_count=2), ["aws"]),
    ],
)
def test_each_wish_by_itself(wanted: Wanted, left: list[str]) -> None:
    assert providers(wanted.of(OFFERS)) == left


@pytest.mark.parametrize(
    ("region", "left"),
    [("us", ["aws", "vast"]), ("US-EAST", ["aws"]), ("oregon", ["vast"]), ("east", ["aws", "azure"]), ("st-1", [])],
)
def test_a_region_begins_at_a_word(region: str, left: list[str]) -> None:
    assert providers(Wanted(regions=frozenset({region})).of(OFFERS)) == left


def test_a_region_is_no_pattern() -> None:
    assert Wanted(regions=frozenset({".*"})).of(OFFERS) == []


def test_the_wish_that_leaves_none_is_named() -> None:
    l40s = frozenset({"L40S"})
    assert Wanted(gpus=frozenset({"H100-SXM"})).emptied_by(OFFERS) == "gpu"
    assert Wanted(gpus=l40s, providers=frozenset({"azure"})).emptied_by(OFFERS) == "provider"
    assert Wanted(gpus=l40s, providers=frozenset({"aws"}), markets=frozenset({"spot"})).emptied_by(OFFERS) == "market"
    assert Wanted(gpus=l40s, regions=frozenset({"eu"})).emptied_by(OFFERS) == "region"
    assert Wanted(gpus=l40s, max_usd_per_gpu_hour=Decimal("0.5")).emptied_by(OFFERS) == "max_price"
    assert Wanted(gpus=l40s, max_usd_per_gpu_hour=Decimal(1), min_gpu_count=4).emptied_by(OFFERS) == "min_gpus"
    assert Wanted(gpus=l40s, min_gpu_count=4).emptied_by(OFFERS) is None
