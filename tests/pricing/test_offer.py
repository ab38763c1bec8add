"""One offer, and what cannot be one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from planner.errors import InputError
from tests.pricing.offers import an_offer


def test_a_price_is_of_the_instance_and_shared_by_its_cards() -> None:
    # p4d.24xlarge in us-east-1, by the price list of AWS
    offer = an_offer(instance_type="p4d.24xlarge", gpu_count=8, usd_per_hour=Decimal("21.957642"))
    assert offer.usd_per_gpu_hour == Decimal("2.74470525")


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "-1", "0", "0.00"])
def test_a_price_is_a_number_above_0(price: str) -> None:
    with pytest.raises(InputError, match=r"1x L40S secure of runpod costs .* leave the row out"):
        an_offer(usd_per_hour=Decimal(price))


def test_a_price_in_cents_or_of_a_month_is_absurd() -> None:
    assert an_offer(gpu_count=8, usd_per_hour=Decimal(1600)).usd_per_gpu_hour == 200
    with pytest.raises(InputError, match="more than 200 each"):
        an_offer(gpu_count=8, usd_per_hour=Decimal("1600.01"))


@pytest.mark.parametrize("field", ["provider", "instance_type", "gpu_name", "source"])
def test_nothing_that_is_needed_may_be_blank(field: str) -> None:
    with pytest.raises(InputError, match=f"has no {field}"):
        an_offer(**{field: " "})


def test_a_market_is_one_of_four() -> None:
    with pytest.raises(InputError, match="must be one of on-demand, spot, community, reserved"):
        an_offer(market="preemptible")


def test_an_instance_has_a_card() -> None:
    with pytest.raises(InputError, match="has 0 GPUs"):
        an_offer(gpu_count=0)
