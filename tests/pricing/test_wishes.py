"""What is asked for, and which wish leaves nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from planner.errors import InputError
from pricing.wishes import Wishes, wanted_offers
from tests.pricing.offers import an_offer
from tests.pricing.recommendations import OFFERS


def wanted(**wishes: Any) -> list[str]:
    return [offer.instance_type for offer in wanted_offers(OFFERS, Wishes(**wishes), None)]


def test_without_wishes_it_is_every_catalogued_card() -> None:
    assert len(wanted()) == 5


def test_each_wish_leaves_what_is_as_wished() -> None:
    assert wanted(gpus=("h100-sxm",)) == ["gpu_1x_h100_sxm5", "gpu_8x_h100_sxm5"]
    assert wanted(gpu_memory_gb=16) == ["g4dn.xlarge"]
    assert wanted(max_gpus=1, providers=("Lambda",)) == ["gpu_1x_h100_sxm5"]
    assert wanted(markets=("spot",)) == ["1x L40S spot"]
    assert [offer.gpu_count for offer in wanted_offers(OFFERS, Wishes(), 8)] == [8]


def test_a_reserved_offer_counts_only_where_it_is_asked_for() -> None:
    offers = [*OFFERS, an_offer(market="reserved", instance_type="a year")]
    assert len(wanted_offers(offers, Wishes(), None)) == 5
    assert [offer.instance_type for offer in wanted_offers(offers, Wishes(markets=("reserved",)), None)] == ["a year"]


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"gpus": ("a30",)}, r"--gpu leaves no offer; change it"),
        ({"gpus": ("t4",), "max_gpus": 4, "providers": ("lambda",)}, "--provider leaves no offer of those that --gpu"),
        ({"gpu_memory_gb": 10.0}, "--gpu-memory leaves no offer"),
        ({"providers": ("lamda",)}, "no price of 'lamda'; did you mean 'lambda'"),
        ({"gpus": ("nosuch",)}, "GPU 'nosuch' is not known"),
    ],
)
def test_the_wish_that_leaves_nothing_is_named(wishes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        wanted(**wishes)


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"budget": Decimal(0)}, "budget"),
        ({"budget": Decimal("NaN")}, "budget"),
        ({"deadline_hours": 0.0}, "deadline"),
        ({"deadline_hours": float("nan")}, "deadline"),
        ({"gpu_memory_gb": -1.0}, "gpu_memory"),
        ({"max_gpus": 0}, "max_gpus"),
        ({"markets": ("black",)}, "market"),
    ],
)
def test_wishes_that_nothing_can_meet(wishes: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refused:
        Wishes(**wishes)
    assert refused.value.field == field
