"""Who rents cards out: what kind of provider, how it bills, and what it charges besides the hours."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data" / "providers.csv"

HYPERSCALER = "hyperscaler"
NEOCLOUD = "neocloud"
MARKETPLACE = "marketplace"
NOTEBOOK = "notebook"

KINDS = (HYPERSCALER, NEOCLOUD, MARKETPLACE, NOTEBOOK)
"""hyperscaler: a cloud for everything; neocloud: one for GPUs; marketplace: resells the machines of others; notebook:
sells hours of a hosted notebook, and no machine to log in to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider. None: not known, which is not the same as free."""

    id: str
    """As in `Offer.provider`."""
    name: str
    """As it writes itself."""
    kind: str
    """One of `KINDS`."""
    storage_usd_per_gib_month: Decimal | None
    """Of a disk that outlives the instance."""
    storage_source: str
    egress_usd_per_gb: Decimal | None
    """Of a GB sent to the internet, as the provider counts them; 0 where it says that sending is free."""
    egress_source: str
    billing_seconds: int | None
    """What time is rounded up to: 1, 60 or 3600."""
    minimum_seconds: int | None
    """The least time that is billed; None where no more than `billing_seconds` is known of."""
    billing_source: str
    note: str


def list_providers() -> tuple[Provider, ...]:
    """All providers that something is known of."""
    return tuple(_by_id().values())


def find_provider(id: str) -> Provider | None:
    """The provider that offers call by that id; None for one that only the user's own sheets have."""
    return _by_id().get(id)


@cache
def _by_id() -> dict[str, Provider]:
    with DATA.open(encoding="utf-8", newline="") as lines:
        return {row["id"]: _provider(row) for row in csv.DictReader(lines)}


def _provider(row: dict[str, str]) -> Provider:
    return Provider(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        storage_usd_per_gib_month=_money(row["storage_usd_per_gib_month"]),
        storage_source=row["storage_source"],
        egress_usd_per_gb=_money(row["egress_usd_per_gb"]),
        egress_source=row["egress_source"],
        billing_seconds=_seconds(row["billing_seconds"]),
        minimum_seconds=_seconds(row["minimum_seconds"]),
        billing_source=row["billing_source"],
        note=row["note"],
    )


def _money(cell: str) -> Decimal | None:
    return Decimal(cell) if cell else None


def _seconds(cell: str) -> int | None:
    return int(cell) if cell else None
