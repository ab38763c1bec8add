"""`quote`: what a run costs on an offer, line by line; `cheapest`: on which offers it costs least."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.units import GB, GIB, format_bytes
from pricing.ages import Staleness, staleness
from pricing.billing import SECONDS_PER_HOUR, billed_in_words, billed_seconds, exact_seconds
from pricing.money import cents, plain
from pricing.offer import COMMUNITY, RESERVED, SPOT, Offer
from pricing.providers import Provider, find_provider
from pricing.spot import Interruptions

if TYPE_CHECKING:  # what it imports is not needed to price hours
    from planner.job import JobTime

Hours = tuple[float, float, float]
"""Of a run that nothing interrupts: low, expected, high."""

HOURS_PER_MONTH = 730
"""By which a monthly price is divided, as AWS's and Google's price lists do: 365 x 24 / 12."""

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a quote, at the expected hours."""

    name: str
    """instance, interruptions, storage or egress."""
    usd: Decimal | None
    """In whole cents. None: it may be billed, and what is not known; it counts for nothing in the sum."""
    text: str
    """What it was worked out from."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a run costs on one instance. Without taxes, and without what no line names."""

    offer: Offer
    usd: Decimal
    """What is expected, in whole cents: the sum of the lines."""
    low_usd: Decimal
    high_usd: Decimal
    """At the low and the high end of the hours; on a spot instance without interruptions, and with many."""
    hours: float
    """For which the instance is expected to be paid, interruptions included."""
    low_hours: float
    high_hours: float
    lines: tuple[Line, ...]
    idle_gpus: int
    """Cards of the instance that the run does not use and that are paid for all the same."""
    age: Staleness
    notes: tuple[str, ...]
    """Sentences: what to know of this offer."""

    @property
    def stale(self) -> bool:
        """Whether the price is to be shown as out of date."""
        return self.age.stale

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the lines whose price is not known."""
        return tuple(line.name for line in self.lines if line.usd is None)


def quote(
    offer: Offer,
    hours: Hours | JobTime,
    today: date,
    *,
    num_gpus: int | None = None,
    disk_bytes: int | None = None,
    leaving_bytes: int | None = None,
    interruptions: Interruptions | None = None,
) -> Quote:
    """What a run of so many hours costs on an offer.

    `num_gpus` is how many cards the run uses (None: all of the instance), `disk_bytes` what it keeps on disk meanwhile
    (`Footprint.disk_bytes`) and `leaving_bytes` what is fetched afterwards (`Footprint.adapter_file_bytes`); None: not
    known. `interruptions` are what is assumed of a spot instance; they count for no other one.

    Durations are taken to the nearest millisecond and then rounded up as the provider bills them; each line is rounded
    to cents, half a cent to the even one, and the lines add up to `Quote.usd`. Raises `InputError` for hours that are
    no three rising numbers, and for more cards than the instance has.
    """
    low, expected, high = _ends(hours)
    used = offer.gpu_count if num_gpus is None else num_gpus
    if not 1 <= used <= offer.gpu_count:
        raise InputError(
            f"{offer.instance_type} of {offer.provider} has {offer.gpu_count} GPUs, not the {used} of the run; "
            "choose an offer with as many",
            field="num_gpus",
        )
    provider = find_provider(offer.provider)
    interrupted = (interruptions or Interruptions()) if offer.market == SPOT else None
    held, most = expected, high
    if interrupted is not None:
        held, most = interrupted.expected_hours(expected), interrupted.high_hours(high)
    lines = _lines(offer, provider, expected, held, interrupted, disk_bytes, leaving_bytes)
    return Quote(
        offer=offer,
        usd=_sum(lines),
        low_usd=_sum(_lines(offer, provider, low, low, None, disk_bytes, leaving_bytes)),
        high_usd=_sum(_lines(offer, provider, most, most, None, disk_bytes, leaving_bytes)),
        hours=held,
        low_hours=low,
        high_hours=most,
        lines=lines,
        idle_gpus=offer.gpu_count - used,
        age=staleness(offer, today),
        notes=_notes(offer, used),
    )


def cheapest(
    offers: Iterable[Offer],
    gpu: str,
    num_gpus: int,
    hours: Hours | JobTime,
    today: date,
    limit: int | None = None,
    *,
    disk_bytes: int | None = None,
    leaving_bytes: int | None = None,
    interruptions: Interruptions | None = None,
) -> tuple[Quote, ...]:
    """Quotes of the offers with at least `num_gpus` cards of the catalogue's name `gpu`, the cheapest first.

    One for each instance type and market of a provider, in its cheapest region; where two cost the same, the one with
    fewer idle cards comes first, then the newer price. Spot offers count with their interruptions. Reserved ones are
    left out: their price is that of a commitment for months.
    """
    enough = (o for o in offers if o.gpu == gpu and o.gpu_count >= num_gpus and o.market != RESERVED)
    ends = _ends(hours)
    quotes = [
        quote(
            offer,
            ends,
            today,
            num_gpus=num_gpus,
            disk_bytes=disk_bytes,
            leaving_bytes=leaving_bytes,
            interruptions=interruptions,
        )
        for offer in cheapest_regions(enough)
    ]
    return tuple(sorted(quotes, key=_order)[:limit])


def _ends(hours: Hours | JobTime) -> Hours:
    if not isinstance(hours, tuple):
        low, high = hours.hours_interval
        return low, hours.hours, high
    low, expected, high = hours
    if not low <= expected <= high:  # NaN is refused here too
        raise InputError(
            f"hours of {low} to {high}, {expected} expected, are in no order; give low, expected, high", field="hours"
        )
    return hours


def cheapest_regions(offers: Iterable[Offer]) -> list[Offer]:
    """Of each instance type and market of a provider the cheapest region; of two at one price the newer one's."""
    found: dict[tuple[str, str, int, str], Offer] = {}
    for offer in offers:
        key = (offer.provider, offer.instance_type, offer.gpu_count, offer.market)
        if key not in found or _region_order(offer) < _region_order(found[key]):
            found[key] = offer
    return list(found.values())


def _region_order(offer: Offer) -> tuple[Decimal, int, str]:
    return offer.usd_per_hour, -(offer.as_of or date.min).toordinal(), offer.region


def _order(quoted: Quote) -> tuple[Decimal, int, int, str, str, str]:
    offer = quoted.offer
    newest = -(offer.as_of or date.min).toordinal()
    return quoted.usd, quoted.idle_gpus, newest, offer.provider, offer.instance_type, offer.market


def _sum(lines: tuple[Line, ...]) -> Decimal:
    return sum((line.usd for line in lines if line.usd is not None), _NOTHING)


def _lines(
    offer: Offer,
    provider: Provider | None,
    hours: float,
    held: float,
    interrupted: Interruptions | None,
    disk_bytes: int | None,
    leaving_bytes: int | None,
) -> tuple[Line, ...]:
    """For `hours` of work, `held` with its interruptions."""
    lines = [_instance(offer, provider, hours)]
    if interrupted is not None:
        lines.append(_interruptions(offer, provider, hours, held, interrupted))
    return (*lines, _storage(provider, held, disk_bytes), _egress(provider, leaving_bytes))


def _rent(offer: Offer, provider: Provider | None, hours: float) -> Decimal:
    return cents(billed_seconds(exact_seconds(hours), provider) * offer.usd_per_hour / SECONDS_PER_HOUR)


def _instance(offer: Offer, provider: Provider | None, hours: float) -> Line:
    price = plain(offer.usd_per_hour)
    text = f"{hours:,.2f} h at {price} USD an hour, {billed_in_words(provider)}"
    return Line("instance", _rent(offer, provider, hours), text)


def _interruptions(
    offer: Offer, provider: Provider | None, hours: float, held: float, interrupted: Interruptions
) -> Line:
    more = _rent(offer, provider, held) - _rent(offer, provider, hours)
    text = (
        f"{held - hours:,.2f} h more: {interrupted.per_hour * held:,.1f} interruptions, one in "
        f"{1 / interrupted.per_hour:,.0f} h, with a checkpoint every {interrupted.checkpoint_hours:g} h and "
        f"{interrupted.restart_hours * 60:,.0f} min to start again; an assumption"
        if interrupted.per_hour
        else "none assumed"
    )
    return Line("interruptions", more, text)


def _storage(provider: Provider | None, hours: float, disk_bytes: int | None) -> Line:
    price = provider.storage_usd_per_gib_month if provider is not None else None
    if disk_bytes is None:
        return Line("storage", None, "how much disk the run takes is not known")
    size = format_bytes(disk_bytes)
    if price is None:
        return Line("storage", None, f"{size}: what a disk costs here is not known")
    usd = Decimal(disk_bytes) / GIB * exact_seconds(hours) / SECONDS_PER_HOUR / HOURS_PER_MONTH * price
    text = f"{size} for {hours:,.2f} h on a disk that outlives the instance, {plain(price)} USD per GiB and month"
    return Line("storage", cents(usd), text)


def _egress(provider: Provider | None, leaving_bytes: int | None) -> Line:
    price = provider.egress_usd_per_gb if provider is not None else None
    if leaving_bytes is None:
        return Line("egress", None, "how large the trained file is, is not known")
    size = format_bytes(leaving_bytes)
    if price is None:
        return Line("egress", None, f"{size}: what sending it costs here is not known")
    if not price:
        return Line("egress", cents(price), f"{size}: sending is free")
    return Line("egress", cents(Decimal(leaving_bytes) / GB * price), f"{size} sent once, {plain(price)} USD per GB")


def _notes(offer: Offer, used: int) -> tuple[str, ...]:
    notes: list[str] = []
    if used < offer.gpu_count:
        notes.append(
            f"The instance has {offer.gpu_count} cards and the run uses {used}; all {offer.gpu_count} are paid."
        )
    if offer.market == COMMUNITY:
        notes.append("A private host's machine, without a service level: it may go away, which is not priced in.")
    return tuple(notes)
