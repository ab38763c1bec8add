"""`Wishes`: what is asked of a recommendation, and the offers that are left by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from planner.catalogue import find_gpu
from planner.errors import InputError
from planner.names import did_you_mean
from planner.run.wording import either, shown
from pricing.offer import MARKETS, RESERVED, Offer

Test = Callable[[Offer], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked besides the run and the job; None or nothing asks for nothing.

    Raises `InputError`, in one sentence, for what cannot be met by anything.
    """

    methods: tuple[str, ...] = ()
    """In any spelling of `TrainingRun`: `lora`, `int8-lora`."""
    budget: Decimal | None = None
    """At most so many US dollars for everything."""
    deadline_hours: float | None = None
    """At most so many hours for everything."""
    gpus: tuple[str, ...] = ()
    """Cards, by the names that `lora-plan gpus` lists or people use."""
    gpu_memory_gb: float | None = None
    """Cards of at most so many gigabytes, as their box says."""
    max_gpus: int | None = None
    providers: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.budget is not None and not (self.budget.is_finite() and self.budget > 0):
            raise InputError(
                f"--budget is {self.budget} US dollars, for which nothing runs; give an amount above 0", field="budget"
            )
        if self.deadline_hours is not None and not (math.isfinite(self.deadline_hours) and self.deadline_hours > 0):
            raise InputError("--deadline leaves no time; give one that is ahead, as 12h or a date", field="deadline")
        if self.gpu_memory_gb is not None and not (math.isfinite(self.gpu_memory_gb) and self.gpu_memory_gb > 0):
            raise InputError("--gpu-memory must be gigabytes above 0, such as 24", field="gpu_memory")
        if self.max_gpus is not None and self.max_gpus < 1:
            raise InputError(f"--max-gpus is {self.max_gpus}; a run needs at least 1", field="max_gpus")
        for market in self.markets:
            if market not in MARKETS:
                hint = did_you_mean(market, MARKETS)
                raise InputError(f"--market must be {either(MARKETS)}, not {shown(market)}{hint}", field="market")

    def tests(self, num_gpus: int | None) -> Iterable[tuple[str, Test]]:
        """Flags that leave offers out, in the order they are tried in. num_gpus: of the run, where it says so."""
        if self.gpus:
            names = {find_gpu(name).gpu.name for name in self.gpus}
            yield "--gpu", lambda offer: offer.gpu in names
        largest = self.gpu_memory_gb
        if largest is not None:
            yield "--gpu-memory", lambda offer: _marketing_gb(offer) <= largest
        if num_gpus is not None:
            yield "--gpus", lambda offer: offer.gpu_count == num_gpus
        most = self.max_gpus
        if most is not None:
            yield "--max-gpus", lambda offer: offer.gpu_count <= most
        if self.providers:
            providers = {name.strip().lower() for name in self.providers}
            yield "--provider", lambda offer: offer.provider in providers
        if self.markets:
            yield "--market", lambda offer: offer.market in self.markets


def wanted_offers(offers: Sequence[Offer], wishes: Wishes, num_gpus: int | None) -> list[Offer]:
    """Offers of catalogued cards that are as wished.

    A reserved one is a commitment of months and counts only where that market is asked for. Raises `InputError` naming
    the flag that leaves none.
    """
    left = [offer for offer in offers if offer.gpu is not None]
    if RESERVED not in wishes.markets:
        left = [offer for offer in left if offer.market != RESERVED]
    if not left:
        raise InputError(
            "there is no offer of any catalogued card; `lora-plan prices refresh` or `prices import` brings some",
            field="prices",
        )
    check_providers(wishes.providers, offers)
    before: list[str] = []
    for flag, test in wishes.tests(num_gpus):
        left = [offer for offer in left if test(offer)]
        if not left:
            raise InputError(_emptied(flag, before), field=flag.lstrip("-").replace("-", "_"))
        before.append(flag)
    return left


def check_providers(names: Iterable[str], offers: Iterable[Offer]) -> None:
    """Raise `InputError` for the first of `names`, as they were typed, that no offer has."""
    known = sorted({offer.provider for offer in offers})
    for name in names:
        if name.strip().lower() not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise InputError(f"--provider: there is no price of {shown(name)}{hint}", field="provider")


def _emptied(flag: str, before: Sequence[str]) -> str:
    if not before:
        return f"{flag} leaves no offer; change it or leave it out (`lora-plan prices` lists what there is)"
    leave = "leaves" if len(before) == 1 else "leave"
    return f"{flag} leaves no offer of those that {' and '.join(before)} {leave}; change or leave out one of them"


def _marketing_gb(offer: Offer) -> float:
    return find_gpu(offer.gpu or "").gpu.marketing_gb
