"""Vast.ai's offers: what hosts ask for their machines at this moment, one offer a machine.

Fields by https://docs.vast.ai/api-reference/search/search-offers and dstackai/gpuhunt
src/gpuhunt/providers/vastai.py @05712111, which asks without a key. `dph_total` is US dollars an hour of the machine
with its storage, `min_bid` the lowest bid for it, `gpu_ram` MiB of one card.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from pricing.offer import COMMUNITY, MOST_USD_PER_GPU_HOUR, SPOT
from pricing.sources.base import (
    NO_PRICE,
    SHAPELESS,
    UNTRUE,
    Collector,
    Fetched,
    Get,
    Instance,
    Source,
    amount,
    size,
    whole,
)
from pricing.sources.documents import objects, parse_json, text

URL = "https://console.vast.ai/api/v0/bundles/"

QUERY = {
    "verified": {"eq": True},
    "rentable": {"eq": True},
    "rented": {"eq": False},
    "type": "on-demand",
    "order": [["score", "desc"]],
    "limit": 3000,
}

UNFIT = "unverified or not for rent"

Kind = tuple[str, int, int]
"""The card's name, its MiB, and how many of them."""


def parse(data: bytes, as_of: date) -> Fetched:
    """The machines in an answer, with one community and one spot price for each card and count: the median.

    The cheapest of thousands of machines is gone soon or has a reason to be cheap; the note says what it costs.
    """
    collector = Collector("vast", URL, as_of)
    machines: dict[Kind, list[dict[str, object]]] = {}
    for machine in objects(parse_json(data, URL).get("offers"), URL):
        name, count, memory = (
            text(machine.get("gpu_name")),
            whole(machine.get("num_gpus")),
            size(machine.get("gpu_ram")),
        )
        if not name or count is None or memory is None:
            collector.leave_out(SHAPELESS)
        elif machine.get("rentable") is False or text(machine.get("verification")) not in ("", "verified"):
            collector.leave_out(UNFIT)
        elif (price := amount(machine.get("dph_total"))) is None:
            collector.leave_out(NO_PRICE)
        elif not _true(price, count):
            collector.leave_out(UNTRUE)
        else:
            # hosts report a few MiB more or less of the same card
            machines.setdefault((name, round(memory / 1024) * 1024, count), []).append(machine)
    for (name, memory, count), alike in sorted(machines.items()):
        for market, field in ((COMMUNITY, "dph_total"), (SPOT, "min_bid")):
            asked = [amount(one.get(field)) for one in alike]
            prices = sorted(price for price in asked if price is not None and _true(price, count))
            if prices:
                _add(collector, name, memory, count, market, prices)
    return collector.fetched()


def _add(collector: Collector, name: str, memory: int, count: int, market: str, prices: list[Decimal]) -> None:
    of = f"median of {len(prices)} machines, the cheapest at {prices[0]:.3f} USD" if len(prices) > 1 else "one machine"
    instance = Instance(
        instance_type=f"{count}x {name} {memory // 1024} GiB",
        gpu_name=name,
        gpu_count=Decimal(count),
        memory_gib=memory / 1024,
        note=of,
    )
    # the lower of the middle two: a price that someone asks
    collector.add(instance, {market: prices[(len(prices) - 1) // 2]})


def _true(price: Decimal, count: int) -> bool:
    return price.is_finite() and 0 < price <= MOST_USD_PER_GPU_HOUR * count


def _fetch(get: Get, as_of: date) -> Fetched:
    return parse(get(URL, "json", json.dumps(QUERY).encode()), as_of)


SOURCE = Source("vast", "vast", "Vast.ai machines of verified hosts: median ask and median lowest bid", _fetch)
