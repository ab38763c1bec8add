"""Azure's Retail Prices API: one size after the other, page by page, without an account.

Fields and paging by https://learn.microsoft.com/en-us/rest/api/cost-management/retail-prices/azure-retail-prices.
What a size holds is not in it: that is in `data/azure_sizes.csv`.
"""

from __future__ import annotations

from datetime import date
from urllib.parse import quote

from pricing.http import RefreshError
from pricing.offer import ON_DEMAND, SPOT
from pricing.sources.azure_sizes import azure_sizes
from pricing.sources.base import SHAPELESS, Collector, Fetched, Get, Instance, Source, amount
from pricing.sources.documents import objects, parse_json, text

URL = "https://prices.azure.com/api/retail/prices"

MOST_PAGES = 50
"""Of one size; there are some three, of 100 prices each."""

RESERVED_PRICE = "of a reservation, a savings plan or a subscription for testing"
LOW_PRIORITY = "of the Low Priority market, which was closed"
WINDOWS = "with a Windows licence"
CLOUD_SERVICES = "of Cloud Services or dedicated hosts"
OTHER_UNIT = "in another unit than an hour"
OTHER_CURRENCY = "in another currency than US dollars"


def address(size: str) -> str:
    """The first page of the prices of a size."""
    asked = f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armSkuName eq '{size}'"
    return f"{URL}?$filter={quote(asked)}"


def add_page(collector: Collector, data: bytes, instance: Instance) -> str:
    """Add the prices on one page of a size; gives the address of the next page, empty on the last."""
    page = parse_json(data, URL)
    for item in objects(page.get("Items"), URL):
        if text(item.get("armSkuName")) != instance.instance_type or not text(item.get("armRegionName")):
            collector.leave_out(SHAPELESS)
        elif (why := _unfit(item)) is not None:
            collector.leave_out(why)
        else:
            market = SPOT if "Spot" in text(item.get("skuName")) + text(item.get("meterName")) else ON_DEMAND
            collector.add(instance, {market: amount(item.get("retailPrice"))}, text(item.get("armRegionName")).lower())
    following = text(page.get("NextPageLink"))
    if following and not following.startswith((f"{URL}?", f"{URL.replace('.com/', '.com:443/')}?")):
        raise RefreshError(f"{URL} names a next page at another address, which is not followed; try again later")
    return following


def _unfit(item: dict[str, object]) -> str | None:
    product, name = text(item.get("productName")), f"{text(item.get('skuName'))} {text(item.get('meterName'))}"
    if text(item.get("type")) != "Consumption":
        return RESERVED_PRICE
    if text(item.get("currencyCode")) != "USD":
        return OTHER_CURRENCY
    if text(item.get("unitOfMeasure")) != "1 Hour":
        return OTHER_UNIT
    if "Low Priority" in name:
        return LOW_PRIORITY
    # some series end in " Win" (fetch_azure.py of SkyPilot)
    if " Win" in product:
        return WINDOWS
    if "Cloud Services" in product or "CloudServices" in product or "Dedicated" in product:
        return CLOUD_SERVICES
    return None


def _fetch(get: Get, as_of: date) -> Fetched:
    collector = Collector("azure", URL, as_of)
    for size, instance in azure_sizes().items():
        page, seen = address(size), set[str]()
        while page:
            if page in seen or len(seen) == MOST_PAGES:
                raise RefreshError(f"{URL} does not come to an end of the prices of {size}; try again later")
            seen.add(page)
            page = add_page(collector, get(page, "json"), instance)
    return collector.fetched()


SOURCE = Source("azure", "azure", "Azure sizes with whole GPUs, all regions, without Windows", _fetch)
