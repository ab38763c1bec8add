"""Azure's Retail Prices API, by the documented fields and paging."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from urllib.parse import unquote

import pytest

from planner.catalogue import find_gpu
from pricing.http import RefreshError
from pricing.offer import ON_DEMAND, SPOT
from pricing.sources.azure import (
    CLOUD_SERVICES,
    LOW_PRIORITY,
    OTHER_CURRENCY,
    OTHER_UNIT,
    RESERVED_PRICE,
    SOURCE,
    URL,
    WINDOWS,
    add_page,
    address,
)
from pricing.sources.azure_sizes import azure_sizes
from pricing.sources.base import NO_PRICE, SHAPELESS, UNTRUE, Collector, Fetched
from tests.support.http_server import LocalServer, Reply

DAY = date(2026, 11, 22)
SIZE = "Standard_NC24ads_A100_v4"


def item(**fields: object) -> dict[str, object]:
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": 3.673,
        "unitPrice": 3.673,
        "armRegionName": "eastus",
        "location": "US East",
        "effectiveStartDate": "2022-06-01T00:00:00Z",
        "meterName": "NC24ads A100 v4",
        "productName": "Virtual Machines NCads A100 v4 Series",
        "skuName": "NC24ads A100 v4",
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "armSkuName": SIZE,
    } | fields


def page(*items: object, following: object = None) -> bytes:
    shape = {"BillingCurrency": "USD", "CustomerEntityType": "Retail", "Items": items, "NextPageLink": following}
    return json.dumps(shape | {"Count": len(items)}).encode()


def parse(*items: object) -> Fetched:
    collector = Collector("azure", URL, DAY)
    assert add_page(collector, page(*items), azure_sizes()[SIZE]) == ""
    return collector.fetched()


def test_on_demand_and_spot() -> None:
    spot = item(skuName="NC24ads A100 v4 Spot", meterName="NC24ads A100 v4 Spot", retailPrice=0.444433)
    on_demand_offer, spot_offer = parse(item(), spot).offers
    assert (on_demand_offer.market, on_demand_offer.usd_per_hour) == (ON_DEMAND, Decimal("3.673"))
    assert (spot_offer.market, spot_offer.usd_per_hour) == (SPOT, Decimal("0.444433"))
    assert (spot_offer.gpu, spot_offer.gpu_count, spot_offer.region, spot_offer.as_of) == (
        "A100-80GB-PCIe", 1, "eastus", DAY,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"productName": "Virtual Machines NCads A100 v4 Series Windows"}, WINDOWS),
        ({"productName": "Virtual Machines NCCadsv5 Srs Win"}, WINDOWS),
        ({"productName": "NCads A100 v4 Series Cloud Services"}, CLOUD_SERVICES),
        ({"skuName": "NC24ads A100 v4 Low Priority"}, LOW_PRIORITY),
        ({"type": "Reservation"}, RESERVED_PRICE),
        ({"type": "DevTestConsumption"}, RESERVED_PRICE),
        ({"currencyCode": "EUR"}, OTHER_CURRENCY),
        ({"currencyCode": None}, OTHER_CURRENCY),
        ({"unitOfMeasure": "1 GB/Month"}, OTHER_UNIT),
        ({"retailPrice": 0.0}, NO_PRICE),
        ({"retailPrice": None}, NO_PRICE),
        ({"retailPrice": float("nan")}, UNTRUE),
        ({"retailPrice": -3}, UNTRUE),
        ({"retailPrice": "3.673 USD"}, UNTRUE),
        ({"armSkuName": "Standard_D2s_v3"}, SHAPELESS),
        ({"armRegionName": None}, SHAPELESS),
    ],
)
def test_prices_that_are_of_something_else(fields: dict[str, object], why: str) -> None:
    fetched = parse(item(armRegionName="westus3"), item(**fields))
    assert [offer.region for offer in fetched.offers] == ["westus3"]
    assert fetched.left_out == {why: 1}


def answer_all(server: LocalServer, body: bytes) -> None:
    for size in azure_sizes():
        server.answer(address(size), Reply(body))


def test_fetching_follows_the_pages_of_each_size(server: LocalServer) -> None:
    answer_all(server, page())
    # the API names its port in these
    second = f"{URL.replace('.com', '.com:443')}?$filter=x&$skip=100"
    server.answer(address(SIZE), Reply(page(item(), following=second)))
    server.answer(second, Reply(page(item(armRegionName="westus3", retailPrice=4.0))))
    fetched = SOURCE.fetch(server.get, DAY)
    assert [offer.region for offer in fetched.offers] == ["eastus", "westus3"]
    assert len(server.asked) == len(azure_sizes()) + 1
    assert f"armSkuName eq '{SIZE}'" in unquote(address(SIZE))


@pytest.mark.parametrize(
    "elsewhere", ["https://example.org/prices", "http://prices.azure.com/api/retail/prices?x", f"{URL}.example.org/"]
)
def test_a_next_page_elsewhere_is_not_followed(server: LocalServer, elsewhere: str) -> None:
    answer_all(server, page(item(), following=elsewhere))
    with pytest.raises(RefreshError, match="at another address"):
        SOURCE.fetch(server.get, DAY)
    assert len(server.asked) == 1


def test_pages_in_a_circle_end(server: LocalServer) -> None:
    answer_all(server, page(following=f"{URL}?$skip=100"))
    server.answer(f"{URL}?$skip=100", Reply(page(following=f"{URL}?$skip=100")))
    with pytest.raises(RefreshError, match="does not come to an end"):
        SOURCE.fetch(server.get, DAY)


@pytest.mark.parametrize("body", [b'{"Items": {}}', b"{}", b"[]", b'{"Items": [{'])
def test_a_page_of_another_shape(server: LocalServer, body: bytes) -> None:
    answer_all(server, body)
    with pytest.raises(RefreshError, match="JSON"):
        SOURCE.fetch(server.get, DAY)


@pytest.mark.parametrize("size", azure_sizes().values(), ids=lambda size: size.instance_type)
def test_each_size_of_the_table_has_a_card_of_the_catalogue(size) -> None:
    gpu = find_gpu(size.gpu).gpu
    assert gpu.name == size.gpu
    assert abs(gpu.marketing_gb - size.memory_gib) <= 1
    # both stand in the name: NC48ads has 48 vCPUs, and A100 and H100 sizes name their card
    assert str(size.vcpus) in size.instance_type
