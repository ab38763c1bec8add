"""GCP in the SkyPilot catalogue: what a machine costs together with its cards.

The catalogue lists machines without their cards and cards without a machine, each with a price of its own, A2, A3, A4
and G2 machines included, which cannot be had without (sky/catalog/gcp_catalog.py adds the two as well). What belongs
together is in `data/gcp_machines.csv`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pricing.offer import ON_DEMAND, SPOT
from pricing.sources.base import NO_GPU, Collector, Instance, amount, size, whole

DATA = Path(__file__).parents[1] / "data" / "gcp_machines.csv"

LEAST_SHARE = Decimal("0.55")
"""Of the price of the same card in its dearest region: what is below it is no on-demand price.

fetch_gcp.py takes the first SKU whose description names the card, which in some regions is that of the Dynamic Workload
Scheduler, bound to a period. In catalogs/v8/gcp/vms.csv @006059e0 such cards cost 0.33 to 0.50 of the dearest region
(A100-80GB in us-central1 1.85 USD on demand and 1.96 as spot), the others 0.58 and more.
"""

DISCOUNTED = "at half the price of the same card elsewhere, taken for one with a commitment"
APART = "of a card without a machine that it goes into"
BARE = "of a machine whose card has no price in its zone"

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type, and the cards that it is rented with."""

    name: str

    accelerator: str
    """As SkyPilot names the card."""

    count: Decimal
    gpu: str
    memory_gib: float
    """Of one card."""

    @property
    def attached(self) -> bool:
        """Whether the cards are an extra, and the machine can be had without."""
        return self.name.startswith("n1-")


def add_gcp(collector: Collector, rows: Iterable[Row]) -> None:
    """Add the machines of `rows` that hold cards, zone by zone; uses up `rows`."""
    hosts: dict[str, dict[str, Row]] = {}
    cards: dict[tuple[str, Decimal | None, str], Row] = {}
    for row in rows:
        if row["AcceleratorName"]:
            cards[row["AcceleratorName"], amount(row["AcceleratorCount"]), _zone(row)] = row
        else:
            hosts.setdefault(row["InstanceType"], {})[_zone(row)] = row
    machines, dearest = gcp_machines(), _dearest(cards.values())
    with_cards = {machine.name for machine in machines}
    collector.leave_out(NO_GPU, sum(len(zones) for name, zones in hosts.items() if name not in with_cards))
    fitting = {(machine.accelerator, machine.count) for machine in machines}
    collector.leave_out(APART, sum((name, count) not in fitting for name, count, _ in cards))
    for machine in machines:
        for zone, host in hosts.get(machine.name, {}).items():
            card = cards.get((machine.accelerator, machine.count, zone))
            if card is not None:
                _add(collector, machine, host, card, dearest[machine.accelerator])
            elif not machine.attached:
                collector.leave_out(BARE)


def _add(collector: Collector, machine: Machine, host: Row, card: Row, dearest: Decimal) -> None:
    prices = {ON_DEMAND: _sum(host["Price"], card["Price"]), SPOT: _sum(host["SpotPrice"], card["SpotPrice"])}
    rate = _rate(card)
    if rate is not None and rate < LEAST_SHARE * dearest:
        collector.leave_out(DISCOUNTED)
        prices[ON_DEMAND] = None
        if prices[SPOT] is None:
            return
    with_cards = f"{machine.name} + {machine.count} {machine.accelerator}"
    instance = Instance(
        instance_type=with_cards if machine.attached else machine.name,
        gpu_name=machine.accelerator,
        gpu_count=machine.count,
        memory_gib=machine.memory_gib,
        gpu=machine.gpu,
        vcpus=whole(host.get("vCPUs")),
        ram_gib=size(host.get("MemoryGiB")),
    )
    collector.add(instance, prices, host["Region"])


def gcp_machines() -> list[Machine]:
    """The machines that hold cards, as the table has them."""
    with DATA.open(encoding="utf-8", newline="") as lines:
        return [
            Machine(
                name=row["machine"],
                accelerator=row["accelerator"],
                count=Decimal(row["count"]),
                gpu=row["gpu"],
                memory_gib=float(row["gpu_memory_gib"]),
            )
            for row in csv.DictReader(lines)
        ]


def _dearest(cards: Iterable[Row]) -> dict[str, Decimal]:
    """The highest price of one card, by its name."""
    highest: dict[str, Decimal] = {}
    for card in cards:
        name = card["AcceleratorName"]
        highest[name] = max(highest.get(name, Decimal(0)), _rate(card) or Decimal(0))
    return highest


def _rate(card: Row) -> Decimal | None:
    price, count = amount(card["Price"]), amount(card["AcceleratorCount"])
    if price is None or not count or not price.is_finite() or not count.is_finite():
        return None
    return price / count


def _sum(host: str, card: str) -> Decimal | None:
    """None where either has no price: half of a machine cannot be rented."""
    machine_price, card_price = amount(host), amount(card)
    if not machine_price or not card_price:
        return None
    return machine_price + card_price


def _zone(row: Row) -> str:
    return row.get("AvailabilityZone") or row["Region"]
