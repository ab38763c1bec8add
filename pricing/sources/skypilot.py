"""The SkyPilot catalogue: one CSV of instance types, zones and prices for each cloud.

The columns are those of schema v8 in the README of skypilot-org/skypilot-catalog; what they hold differs from cloud to
cloud, as noted where it matters here. Prices are taken for US dollars, as SkyPilot does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial

from pricing.offer import ON_DEMAND, SPOT
from pricing.sources.azure_sizes import azure_sizes
from pricing.sources.base import Collector, Fetched, Get, Instance, Source, amount, size, whole
from pricing.sources.documents import parse_csv
from pricing.sources.gcp_machines import add_gcp

URL = "https://raw.githubusercontent.com/skypilot-org/skypilot-catalog/master/catalogs/v8/{cloud}/vms.csv"
ORIGIN = "skypilot-org/skypilot-catalog catalogs/v8/{cloud}/vms.csv"

COLUMNS = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "SpotPrice", "Region", "GpuInfo")

CLOUDS = ("aws", "gcp", "shadeform", "jarvislabs", "lium")
"""Those that a scheduled job keeps up to date and for which there is no better source here. Others in the catalogue
have not changed for a year, and would be dated wrongly; Seeweb's prices are in euros."""

_NO_GPUS = re.compile(r"tpu-|inferentia|trainium|gaudi|u250|v3.*fpga", re.IGNORECASE)

_RENAMED = {
    # GPU_NAME_OVERRIDES of sky/catalog/data_fetchers/fetch_runpod.py: what RunPod calls A100 PCIe and H100 PCIe
    ("runpod", "A100-80GB"): "A100-80GB-PCIe",
    ("runpod", "H100"): "H100-PCIe",
}

_OF_THE_INSTANCE = ("vast",)
"""Clouds whose SizeInMiB is of all cards together: fetch_vast.py writes `gpu_total_ram` there."""

NOT_A_GPU = "with an accelerator that is no GPU"
NOT_IN_TABLE = "of a size that is not in the table of Azure sizes"


def parse(rows: Iterator[Mapping[str, str]], cloud: str, origin: str, as_of: date | None) -> Fetched:
    """The offers in the rows of a cloud's `vms.csv`. Spot prices are of the cheapest zone of a region."""
    collector = Collector(cloud, origin, as_of)
    if cloud == "gcp":
        add_gcp(collector, rows)
    for row in rows:
        if _NO_GPUS.search(row["AcceleratorName"]):
            collector.leave_out(NOT_A_GPU)
            continue
        instance = _instance(row, cloud)
        if cloud == "azure" and row["AcceleratorName"]:
            known = azure_sizes().get(instance.instance_type)
            if known is None:
                collector.leave_out(NOT_IN_TABLE)
                continue
            instance = known
        prices = {ON_DEMAND: amount(row["Price"]), SPOT: amount(row["SpotPrice"])}
        if cloud in ("azure", "runpod") and prices[SPOT] == prices[ON_DEMAND]:
            # both repeat the price where they know of no spot price
            prices[SPOT] = None
        collector.add(instance, prices, row["Region"])
    return collector.fetched()


def card_memory_gib(gpu_info: str, count: float | None, cloud: str) -> float | None:
    """GiB of one card, by the column GpuInfo, a Python or JSON literal; None where it does not say.

    SizeInMiB is in GiB in the catalogues of Shadeform and, of some time, RunPod; no card has less than 1 GiB.
    """
    found = re.search(r"""SizeInMiB['"]?\s*:\s*(\d{1,9})""", gpu_info)
    stated = int(found[1]) if found else 0
    if not stated:
        return None
    memory_gib = stated if stated < 1024 else stated / 1024
    if cloud in _OF_THE_INSTANCE:
        return memory_gib / count if count else None
    return memory_gib


def _instance(row: Mapping[str, str], cloud: str) -> Instance:
    name = row["AcceleratorName"].strip()
    return Instance(
        instance_type=row["InstanceType"].strip(),
        gpu_name=_RENAMED.get((cloud, name), name),
        gpu_count=amount(row["AcceleratorCount"]),
        memory_gib=card_memory_gib(row["GpuInfo"], size(row["AcceleratorCount"]), cloud),
        vcpus=whole(row.get("vCPUs")),
        ram_gib=size(row.get("MemoryGiB")),
    )


def _fetch(cloud: str, get: Get, as_of: date) -> Fetched:
    data = get(URL.format(cloud=cloud), "csv")
    origin = ORIGIN.format(cloud=cloud)
    return parse(parse_csv(data, origin, COLUMNS), cloud, origin, as_of)


SOURCES = tuple(
    Source("skypilot", cloud, f"{cloud}, all regions that SkyPilot lists", partial(_fetch, cloud)) for cloud in CLOUDS
)
