"""From all ways that fit to those worth a quote: what nothing beats in both cost and time."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import numpy as np

from planner.search.evaluate import Sheet
from pricing.offer import SPOT, Offer
from pricing.quote import cheapest_regions
from pricing.spot import Interruptions

ALIKE = 0.01
"""Ways whose hours lie so close, as a share, are taken for equally fast: the plainer one is shown."""

_CENT = 0.01
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """One way of a sheet, on one card."""

    sheet: Sheet
    setting: int
    optimizer: int
    split: int
    card: int

    @property
    def hours(self) -> float:
        """Of the job, on an instance that nothing interrupts."""
        return float(self.sheet.hours[self.setting, self.optimizer, self.split, self.card])

    @property
    def gpu(self) -> str:
        """The card's name."""
        return self.sheet.gpus[self.card].name


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way on one offer."""

    place: Place
    offer: Offer
    hours: float
    """Interruptions included."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A candidate and what it is expected to cost."""

    candidate: Candidate
    usd: Decimal


def rows_of(sheet: Sheet, method: str) -> list[int]:
    """The places of a method's settings."""
    return [row for row, setting in enumerate(sheet.settings) if setting.method == method]


def fastest_places(sheets: Iterable[Sheet], method: str) -> list[Place]:
    """The fastest way of a method that fits, on each card in each number under each strategy."""
    out: list[Place] = []
    for sheet in sheets:
        rows = rows_of(sheet, method)
        if not rows:
            continue
        hours = np.where(sheet.fits[rows], sheet.hours[rows], np.inf)
        shape = hours.shape[:3]
        flat = hours.reshape(-1, hours.shape[3])
        best = flat.min(axis=0)
        # what comes first is plainer
        chosen = (flat <= best * (1 + ALIKE)).argmax(axis=0)
        for card in np.flatnonzero(np.isfinite(best)).tolist():
            setting, optimizer, split = (int(index) for index in np.unravel_index(chosen[card], shape))
            out.append(Place(sheet, rows[setting], optimizer, split, card))
    return out


def candidates(places: Iterable[Place], offers: dict[tuple[int, str], Sequence[Offer]]) -> list[Candidate]:
    """Each place on each offer of so many such cards, the fastest first and of those the cheapest price first."""
    interrupted = Interruptions()
    found: list[Candidate] = []
    for place in places:
        hours = place.hours
        held = interrupted.expected_hours(hours)
        for offer in offers.get((place.sheet.num_gpus, place.gpu), ()):
            found.append(Candidate(place, offer, held if offer.market == SPOT else hours))
    return sorted(found, key=lambda one: (one.hours, one.offer.usd_per_hour))


def frontier(found: Sequence[Candidate], price: Callable[[Candidate], Decimal]) -> list[Priced]:
    """Those of which none is both as fast and as cheap: the fastest first, each cheaper than the one before.

    found: by their hours. `price` is asked only where the rent alone does not already rule a candidate out.
    """
    best: list[Priced] = []
    least = float("inf")
    for candidate in found:
        if candidate.hours * float(candidate.offer.usd_per_hour) - _CENT >= least:
            continue
        usd = price(candidate)
        if float(usd) < least:
            best.append(Priced(candidate, usd))
            least = float(usd)
    return undominated(best, lambda one: one.candidate.hours, lambda one: one.usd)


def undominated(ways: Iterable[T], hours: Callable[[T], float], usd: Callable[[T], Decimal]) -> list[T]:
    """Those of `ways` of which none is both as cheap and, but for what is `ALIKE`, as fast; the fastest first."""
    out: list[T] = []
    for way in sorted(ways, key=lambda way: (hours(way), usd(way))):
        if out and usd(way) >= usd(out[-1]):
            continue
        while out and hours(way) <= hours(out[-1]) * (1 + ALIKE):
            out.pop()
        out.append(way)
    return out


def unlike(offers: Iterable[Offer]) -> dict[tuple[int, str], Sequence[Offer]]:
    """(cards, their name) -> offers, of each instance type and market of a provider its cheapest region alone."""
    out: dict[tuple[int, str], list[Offer]] = {}
    for offer in sorted(cheapest_regions(offers), key=_order):
        out.setdefault((offer.gpu_count, offer.gpu or ""), []).append(offer)
    return {key: tuple(kept) for key, kept in out.items()}


def _order(offer: Offer) -> tuple[Decimal, int, str, str]:
    newest = -offer.as_of.toordinal() if offer.as_of is not None else 0
    return offer.usd_per_hour, newest, offer.provider, offer.region
