"""What the sources of prices have in common: what one is, and collecting its rows into offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Protocol

from planner.errors import InputError
from pricing.gpu_names import catalogue_card
from pricing.http import Kind
from pricing.offer import Offer


class Get(Protocol):
    """`Client.get`: the document at an address; a body is posted as JSON."""

    def __call__(self, url: str, kind: Kind, body: bytes | None = None) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source gave."""

    offers: tuple[Offer, ...]

    left_out: Mapping[str, int]
    """Why rows were left out, and how many each."""


@dataclass(frozen=True, slots=True)
class Source:
    """One provider's prices at one public address. Its sheet is replaced whole or not at all."""

    catalogue: str
    """Who publishes them: the provider itself, or a catalogue of several."""

    provider: str
    """As in `Offer.provider`. No two sources are of one provider, so that each sheet has one."""

    covers: str
    """In a few words, for people."""

    fetch: Callable[[Get, date], Fetched]
    """Raises `RefreshError` where the address gives nothing usable. The date is the day of the fetch."""

    @property
    def name(self) -> str:
        """Of the source: `runpod`, `skypilot-aws`. The sheet is named after the provider."""
        return self.provider if self.catalogue == self.provider else f"{self.catalogue}-{self.provider}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance type as a row of a price list describes it."""

    instance_type: str
    gpu_name: str

    gpu_count: Decimal | None
    """Cards in it; less than one where it is a slice."""

    memory_gib: float | None = None
    """Of one card."""

    gpu: str | None = None
    """The card's name in the catalogue, where it is known without asking by the other fields."""

    vcpus: int | None = None
    ram_gib: float | None = None
    note: str = ""


NO_GPU = "without a GPU"
SLICE = "with a part of a GPU"
NO_PRICE = "without a price"
UNTRUE = "whose price, name or count cannot be true"
AGAIN = "listed again: another zone of its region, or a duplicate"
SHAPELESS = "of another shape than documented"

_STEP = Decimal("0.000001")
"""Prices are rounded to it; some services send what is left of a float."""

_LONGEST = 120

_Thing = tuple[str, str, int, str]
"""An instance type, its card and how many of them, and a market: what has one price in a region."""


@dataclass(slots=True)
class Collector:
    """Gathers the offers of one provider from the rows of a list, and counts those it leaves out."""

    provider: str
    source: str
    as_of: date | None
    left_out: Counter[str] = field(default_factory=Counter[str])
    _offers: dict[tuple[_Thing, str], Offer] = field(default_factory=dict["tuple[_Thing, str]", Offer])

    def leave_out(self, why: str, rows: int = 1) -> None:
        """Count rows that become no offer."""
        if rows:
            self.left_out[why] += rows

    def add(self, instance: Instance, prices: Mapping[str, Decimal | None], region: str = "") -> None:
        """One row: what an instance type costs by market in US dollars an hour. None and 0 are no price.

        Of an instance type that is listed again in its region the cheaper price counts.
        """
        count = instance.gpu_count
        if not instance.gpu_name.strip() or count is None or count == 0:
            return self.leave_out(NO_GPU)
        if count.is_finite() and count != count.to_integral_value():
            return self.leave_out(SLICE)
        if not count.is_finite() or not 0 < count <= 1024:
            return self.leave_out(UNTRUE)
        stated = {market: price for market, price in prices.items() if price is not None and price != 0}
        if not stated:
            return self.leave_out(NO_PRICE)
        for market, price in stated.items():
            self._keep(instance, int(count), market, price, region)
        return None

    def _keep(self, instance: Instance, count: int, market: str, price: Decimal, region: str) -> None:
        gpu, note, region = instance.gpu, instance.note, clean(region)
        if gpu is None:
            card = catalogue_card(instance.gpu_name, instance.memory_gib, instance.instance_type)
            gpu = card.gpu if card else None
            note = "; ".join(text for text in (note, card.note if card else "") if text)
        try:
            offer = Offer(
                provider=self.provider,
                instance_type=clean(instance.instance_type),
                gpu=gpu,
                gpu_name=clean(instance.gpu_name),
                gpu_count=count,
                market=market,
                usd_per_hour=price.quantize(_STEP).normalize(),
                region=region,
                as_of=self.as_of,
                source=self.source,
                vcpus=instance.vcpus,
                ram_gib=instance.ram_gib,
                gpu_memory_gib=instance.memory_gib,
                note=clean(note),
            )
        except (InputError, InvalidOperation):
            return self.leave_out(UNTRUE)
        key = ((offer.instance_type, offer.gpu or offer.gpu_name, count, market), region)
        if key in self._offers:
            self.leave_out(AGAIN)
            offer = min(offer, self._offers[key], key=lambda one: one.usd_per_hour)
        self._offers[key] = offer
        return None

    def fetched(self) -> Fetched:
        """The offers, with one row for a price that is the same in all regions."""
        places: dict[_Thing, list[Offer]] = {}
        for (thing, _), offer in self._offers.items():
            places.setdefault(thing, []).append(offer)
        offers: list[Offer] = []
        for same in places.values():
            everywhere = len(same) > 1 and len({offer.usd_per_hour for offer in same}) == 1
            offers += [replace(same[0], region="")] if everywhere else same
        return Fetched(tuple(offers), dict(self.left_out))


def clean(text: str) -> str:
    """What came from outside, on one line, printable, and of a bearable length."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[:_LONGEST]).split())


def amount(value: object) -> Decimal | None:
    """A number from JSON or CSV; None where there is none, NaN where there is something else."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int):
        return Decimal(value)
    text = value.strip() if isinstance(value, str) else "?"
    if not text:
        return None
    # Decimal reads 1_000 as well, and signalling NaNs, which raise when they are compared
    plain = len(text) <= 40 and "_" not in text and "nan" not in text.lower()
    try:
        return Decimal(text) if plain else Decimal("NaN")
    except InvalidOperation:
        return Decimal("NaN")


def size(value: object) -> float | None:
    """An amount above 0 and below 100,000 of something, as a float; None for everything else."""
    number = amount(value)
    if number is None or not number.is_finite() or not 0 < number < 100_000:
        return None
    return float(number)


def whole(value: object) -> int | None:
    """As `size`, of what comes in ones; parts are dropped."""
    number = size(value)
    return int(number) if number is not None and number >= 1 else None
