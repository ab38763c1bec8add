"""Vast's answer to a search of offers, by the documented fields."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from pricing.http import RefreshError
from pricing.offer import COMMUNITY, SPOT
from pricing.sources.base import NO_PRICE, SHAPELESS, UNTRUE
from pricing.sources.vast import SOURCE, UNFIT, URL, parse
from tests.support.http_server import LocalServer, Reply

DAY = date(2026, 11, 22)


def machine(**fields: object) -> dict[str, object]:
    return {
        "id": 12345678,
        "gpu_name": "A100 SXM4",
        "num_gpus": 2,
        "gpu_ram": 81920,
        "dph_total": 1.4907407407407407,
        "min_bid": 0.7,
        "cpu_cores_effective": 32,
        "cpu_ram": 65536,
        "geolocation": "Slovenia, SI",
        "rentable": True,
        "verification": "verified",
    } | fields


def answer(*machines: object) -> bytes:
    return json.dumps({"offers": list(machines)}).encode()


def test_the_median_of_machines_alike() -> None:
    asks = [1.2, 9.9, 1.5, 1.4]
    fetched = parse(
        answer(*(machine(dph_total=ask, min_bid=ask / 2, gpu_ram=81920 + n) for n, ask in enumerate(asks))), DAY
    )
    community, spot = fetched.offers
    # the lower of the middle two of 1.2, 1.4, 1.5, 9.9
    assert (community.market, community.usd_per_hour) == (COMMUNITY, Decimal("1.4"))
    assert (spot.market, spot.usd_per_hour) == (SPOT, Decimal("0.7"))
    assert (community.gpu, community.gpu_count, community.instance_type) == ("A100-80GB-SXM", 2, "2x A100 SXM4 80 GiB")
    assert community.note == "median of 4 machines, the cheapest at 1.200 USD"


def test_cards_of_one_name_and_two_sizes_are_told_apart() -> None:
    # there are RTX 4090 with 48 GB, which the catalogue does not have
    fetched = parse(answer(*(machine(gpu_name="RTX 4090", gpu_ram=mib, num_gpus=1) for mib in (24564, 49140))), DAY)
    assert {(round(offer.gpu_memory_gib or 0), offer.gpu) for offer in fetched.offers} == {(24, "RTX4090"), (48, None)}


def test_what_is_left_of_a_float_is_rounded() -> None:
    assert parse(answer(machine()), DAY).offers[0].usd_per_hour == Decimal("1.490741")


def test_no_bid_is_no_spot_price() -> None:
    for bid in (None, 0, "x", -1, float("inf")):
        assert [offer.market for offer in parse(answer(machine(min_bid=bid)), DAY).offers] == [COMMUNITY]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (machine(rentable=False), UNFIT),
        (machine(verification="unverified"), UNFIT),
        (machine(dph_total=None), NO_PRICE),
        (machine(dph_total=float("nan")), UNTRUE),
        (machine(dph_total=-1), UNTRUE),
        (machine(dph_total=0), UNTRUE),
        (machine(dph_total=10_000), UNTRUE),
        (machine(num_gpus=0), SHAPELESS),
        (machine(num_gpus="two"), SHAPELESS),
        (machine(gpu_name=["A100"]), SHAPELESS),
        (machine(gpu_ram=None), SHAPELESS),
        ("machine", SHAPELESS),
    ],
)
def test_a_wrong_machine_does_not_spoil_the_others(wrong: object, why: str) -> None:
    fetched = parse(answer(wrong, machine()), DAY)
    assert len(fetched.offers) == 2
    assert fetched.left_out == {why: 1}


@pytest.mark.parametrize("body", [b'{"offers": {}}', b'{"success": false}', b'{"offers": [', b"null"])
def test_an_answer_of_another_shape(body: bytes) -> None:
    with pytest.raises(RefreshError, match="JSON"):
        parse(body, DAY)


def test_fetching_asks_for_verified_machines(server: LocalServer) -> None:
    server.answer(URL, Reply(answer(machine())))
    assert len(SOURCE.fetch(server.get, DAY).offers) == 2
    assert json.loads(server.asked[0].body)["verified"] == {"eq": True}
