"""What Azure's GPU sizes hold: neither its price list nor the SkyPilot catalogue of it says so reliably."""

from __future__ import annotations

import csv
from decimal import Decimal
from functools import cache
from pathlib import Path

from pricing.sources.base import Instance

DATA = Path(__file__).parents[1] / "data" / "azure_sizes.csv"


@cache
def azure_sizes() -> dict[str, Instance]:
    """The sizes with whole cards, by name (`Standard_NC24ads_A100_v4`). Sizes with a slice of a card are not in it."""
    with DATA.open(encoding="utf-8", newline="") as lines:
        return {row["size"]: _instance(row) for row in csv.DictReader(lines)}


def _instance(row: dict[str, str]) -> Instance:
    return Instance(
        instance_type=row["size"],
        gpu_name=row["gpu_name"],
        gpu_count=Decimal(row["gpu_count"]),
        memory_gib=float(row["gpu_memory_gib"]),
        gpu=row["gpu"],
        vcpus=int(row["vcpus"]),
        ram_gib=float(row["ram_gib"]) if row["ram_gib"] else None,
        note=row["note"],
    )
