"""The gpuhunt catalogues: a zip for each provider with one CSV, its version, and before that one zip of all.

Columns by `RawCatalogItem` in dstackai/gpuhunt, addresses by its `.github/scripts/publish_catalog.sh` and
`src/gpuhunt/_internal/catalog.py`. Prices are in US dollars an hour of the instance, memory is of one card.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import partial

from pricing.http import RefreshError
from pricing.offer import ON_DEMAND, SPOT
from pricing.sources.archive import day_of, open_members
from pricing.sources.base import Collector, Fetched, Get, Instance, Source, amount, size, whole
from pricing.sources.documents import parse_csv

URL = "https://dstack-gpu-pricing.s3.eu-west-1.amazonaws.com/v3/{name}/{what}"
ORIGIN = "dstackai/gpuhunt v3/{name}/{version}/catalog.zip"

COLUMNS = ("instance_name", "location", "price", "gpu_count", "gpu_name", "gpu_memory", "spot")

PROVIDERS = {"lambda": "lambdalabs", "nebius": "nebius", "oci": "oci", "verda": "verda", "cloudrift": "cloudrift"}
"""Here and there. AWS and GCP come from SkyPilot, Azure and RunPod from themselves."""

_HERE = {there: here for here, there in PROVIDERS.items()} | {"vastai": "vast", "datacrunch": "verda"}

_VERSION = re.compile(r"(\d{8})[A-Za-z0-9_-]{0,40}")

NOT_A_GPU = "with an accelerator that is no GPU"
WITH_TERMS = "sold by calendar reservation or as a cluster only"


def parse(rows: Iterable[Mapping[str, str]], provider: str, origin: str, as_of: date | None) -> Fetched:
    """The offers in the rows of one provider's CSV."""
    collector = Collector(provider, origin, as_of)
    for row in rows:
        if row.get("gpu_vendor", "").strip().lower() not in ("", "nvidia", "amd"):
            collector.leave_out(NOT_A_GPU)
            continue
        # flags are names such as gcp-dws-calendar-mode and runpod-cluster; most mark only what is new
        if re.search("dws|cluster", row.get("flags", "")) or "edgegpu" in row["instance_name"]:
            collector.leave_out(WITH_TERMS)
            continue
        instance = Instance(
            instance_type=row["instance_name"],
            gpu_name=row["gpu_name"],
            gpu_count=amount(row["gpu_count"]),
            memory_gib=size(row["gpu_memory"]),
            vcpus=whole(row.get("cpu")),
            ram_gib=size(row.get("memory")),
        )
        market = SPOT if row["spot"].strip().lower() == "true" else ON_DEMAND
        collector.add(instance, {market: amount(row["price"])}, row["location"])
    return collector.fetched()


def parse_archive(data: bytes, origin: str, today: date) -> dict[str, Fetched]:
    """The offers in a catalogue's zip, of one provider or of all, by provider; `RefreshError` where it is none."""
    found: dict[str, Fetched] = {}
    for member in open_members(data, origin):
        there = member.name.removesuffix(".csv")
        if member.name == there:
            continue
        here, place = _HERE.get(there, there), f"{origin} {member.name}"
        # the catalogue is zipped as soon as it is collected
        day = member.day if member.day is not None and member.day <= today else None
        found[here] = parse(parse_csv(member.data, place, COLUMNS), here, place, day)
    return found


def _fetch(provider: str, get: Get, as_of: date) -> Fetched:
    name = PROVIDERS[provider]
    version = get(URL.format(name=name, what="version"), "text").decode("utf-8", "replace").strip()
    match = _VERSION.fullmatch(version)
    if match is None:
        raise RefreshError(f"gpuhunt names no version of its catalogue of {name}; look for a newer release")
    data = get(URL.format(name=name, what=f"{version}/catalog.zip"), "zip")
    origin = ORIGIN.format(name=name, version=version)
    members = [member for member in open_members(data, origin) if member.name == f"{name}.csv"]
    if not members:
        raise RefreshError(f"{origin} holds no {name}.csv; look for a newer release")
    collected = day_of(match[1])
    if collected is None or collected > as_of:
        collected = as_of
    return parse(parse_csv(members[0].data, origin, COLUMNS), provider, origin, collected)


SOURCES = tuple(
    Source("gpuhunt", provider, f"{provider}, as gpuhunt collects it every hour", partial(_fetch, provider))
    for provider in PROVIDERS
)
