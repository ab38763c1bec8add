"""RunPod's GraphQL API: its list of card types, asked without an account.

Fields by https://graphql-spec.runpod.io and by dstackai/gpuhunt src/gpuhunt/providers/runpod.py @0272c27a, which asks
without a key as well. Prices are of one card and an hour; n cards cost n times as much.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from pricing.http import RefreshError
from pricing.offer import COMMUNITY, ON_DEMAND, SPOT
from pricing.sources.base import SHAPELESS, Collector, Fetched, Get, Instance, Source, amount, clean, size, whole
from pricing.sources.documents import mapping, objects, parse_json, text

URL = "https://api.runpod.io/graphql"

QUERY = """query GpuTypes {
  gpuTypes {
    id
    displayName
    memoryInGb
    maxGpuCount
    securePrice
    communityPrice
    lowestPrice(input: {gpuCount: 1}) {
      minimumBidPrice
      uninterruptablePrice
      minVcpu
      minMemory
      stockStatus
    }
  }
}"""

COUNTS = (1, 2, 4, 8)
"""Cards of one pod; others up to `maxGpuCount` can be had too, at the same price each."""


def parse(data: bytes, as_of: date) -> Fetched:
    """The offers in an answer to `QUERY`: secure cloud as on-demand, community cloud, and the lowest bid as spot."""
    answer = parse_json(data, URL)
    if answer.get("errors"):
        first = (objects(answer["errors"], URL) or [{}])[0]
        said = clean(text(first.get("message"))) or "without a reason"
        raise RefreshError(f"{URL} refuses the query ({said}); look for a newer release")
    collector = Collector("runpod", URL, as_of)
    for card in objects(mapping(answer.get("data")).get("gpuTypes"), URL):
        if not text(card.get("id")) or "securePrice" not in card:
            collector.leave_out(SHAPELESS)
            continue
        _add(collector, card)
    return collector.fetched()


def _add(collector: Collector, card: dict[str, object]) -> None:
    lowest = mapping(card.get("lowestPrice"))
    most = whole(card.get("maxGpuCount")) or 1
    prices = {
        ON_DEMAND: amount(card.get("securePrice")),
        COMMUNITY: amount(card.get("communityPrice")),
        SPOT: amount(lowest.get("minimumBidPrice")),
    }
    vcpus, ram_gib = whole(lowest.get("minVcpu")), size(lowest.get("minMemory"))
    for count in COUNTS:
        if count > most:
            break
        instance = Instance(
            instance_type=f"{count}x {text(card.get('id'))}",
            gpu_name=text(card.get("displayName")) or text(card.get("id")),
            gpu_count=Decimal(count),
            memory_gib=size(card.get("memoryInGb")),
            vcpus=vcpus * count if vcpus else None,
            ram_gib=ram_gib * count if ram_gib else None,
            note="" if lowest.get("stockStatus") else "out of stock when fetched",
        )
        collector.add(instance, {market: price * count if price else None for market, price in prices.items()})


def _fetch(get: Get, as_of: date) -> Fetched:
    return parse(get(URL, "json", json.dumps({"query": QUERY}).encode()), as_of)


SOURCE = Source("runpod", "runpod", "RunPod pods: secure cloud, community cloud, lowest bid", _fetch)
