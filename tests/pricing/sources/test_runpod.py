"""RunPod's answer to the query of its card types, by the documented fields."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from pricing.http import RefreshError
from pricing.offer import COMMUNITY, ON_DEMAND, SPOT
from pricing.sources.base import NO_PRICE, SHAPELESS, UNTRUE, Fetched
from pricing.sources.runpod import SOURCE, URL, parse
from tests.support.http_server import LocalServer, Reply

DAY = date(2026, 11, 22)


def card(**fields: object) -> dict[str, object]:
    """A card type with the prices of an A100 PCIe of 2026-08-19."""
    return {
        "id": "NVIDIA A100 80GB PCIe",
        "displayName": "A100 PCIe",
        "memoryInGb": 80,
        "maxGpuCount": 8,
        "securePrice": 1.39,
        "communityPrice": 1.19,
        "lowestPrice": {
            "minimumBidPrice": 0.6,
            "uninterruptablePrice": 1.19,
            "minVcpu": 8,
            "minMemory": 117,
            "stockStatus": "High",
        },
    } | fields


def answer(*cards: object) -> bytes:
    return json.dumps({"data": {"gpuTypes": list(cards)}}).encode()


def prices(fetched: Fetched) -> dict[tuple[str, int], Decimal]:
    return {(offer.market, offer.gpu_count): offer.usd_per_hour for offer in fetched.offers}


def test_a_card_in_three_markets() -> None:
    fetched = parse(answer(card()), DAY)
    assert prices(fetched) == {
        (ON_DEMAND, 1): Decimal("1.39"), (COMMUNITY, 1): Decimal("1.19"), (SPOT, 1): Decimal("0.6"),
        (ON_DEMAND, 2): Decimal("2.78"), (COMMUNITY, 2): Decimal("2.38"), (SPOT, 2): Decimal("1.2"),
        (ON_DEMAND, 4): Decimal("5.56"), (COMMUNITY, 4): Decimal("4.76"), (SPOT, 4): Decimal("2.4"),
        (ON_DEMAND, 8): Decimal("11.12"), (COMMUNITY, 8): Decimal("9.52"), (SPOT, 8): Decimal("4.8"),
    }  # fmt: skip
    assert {(o.gpu, o.provider, o.as_of, o.note) for o in fetched.offers} == {("A100-80GB-PCIe", "runpod", DAY, "")}
    assert {(o.gpu_count, o.vcpus, o.ram_gib) for o in fetched.offers} >= {(1, 8, 117.0), (2, 16, 234.0)}


def test_no_more_cards_than_there_are() -> None:
    assert {count for _, count in prices(parse(answer(card(maxGpuCount=3)), DAY))} == {1, 2}


@pytest.mark.parametrize("absent", [None, 0, 0.0])
def test_a_market_without_a_price(absent: object) -> None:
    fetched = parse(answer(card(communityPrice=absent, lowestPrice=None, maxGpuCount=1)), DAY)
    assert prices(fetched) == {(ON_DEMAND, 1): Decimal("1.39")}
    assert fetched.offers[0].note == "out of stock when fetched"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (card(securePrice=None, communityPrice=None, lowestPrice={}, maxGpuCount=1), NO_PRICE),
        (card(securePrice="free", communityPrice=None, lowestPrice=[], maxGpuCount=1), UNTRUE),
        (card(securePrice=float("nan"), communityPrice=None, lowestPrice={}, maxGpuCount=1), UNTRUE),
        (card(securePrice=-1, communityPrice=None, lowestPrice={}, maxGpuCount=1), UNTRUE),
        (card(securePrice=1000, communityPrice=None, lowestPrice={}, maxGpuCount=1), UNTRUE),
        (card(id=None), SHAPELESS),
        ("a card", SHAPELESS),
        (None, SHAPELESS),
        ({"id": "NVIDIA L4"}, SHAPELESS),
    ],
)
def test_a_wrong_card_does_not_spoil_the_others(wrong: object, why: str) -> None:
    fetched = parse(answer(wrong, card(maxGpuCount=1)), DAY)
    assert len(fetched.offers) == 3
    assert fetched.left_out == {why: 1}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b'{"errors": [{"message": "Cannot query field \\"x\\""}]}', "refuses the query .Cannot query field"),
        (b'{"errors": ["no"], "data": null}', "refuses the query .without a reason"),
        (b'{"data": null}', "another shape"),
        (b'{"data": {"gpuTypes": {}}}', "another shape"),
        (b"[]", "another shape"),
        (b'{"data": {"gpuTypes": [{"id": "NVI', "is not whole JSON"),
        (b'{"data": ' + b"9" * 5000 + b"}", "is not whole JSON .too long a number"),
        (b'{"data": ' + b"[" * 100_000 + b"}", "JSON"),
        (b'{"data": "\xff"}', "other than UTF-8"),
    ],
)
def test_an_answer_of_another_shape(body: bytes, what: str) -> None:
    with pytest.raises(RefreshError, match=what):
        parse(body, DAY)


def test_fetching_posts_the_query(server: LocalServer) -> None:
    server.answer(URL, Reply(answer(card())))
    assert len(SOURCE.fetch(server.get, DAY).offers) == 12
    assert "gpuTypes" in json.loads(server.asked[0].body)["query"]
