"""`Wanted`: which offers are asked for, and which of the wishes leaves none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from pricing.offer import Offer

Test = Callable[[Offer], bool]

_ANY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The offers that are asked for. An empty set, or None, asks for nothing in particular."""

    gpus: frozenset[str] = _ANY
    """Names of the catalogue of GPUs."""

    providers: frozenset[str] = _ANY
    markets: frozenset[str] = _ANY

    regions: frozenset[str] = _ANY
    """Beginnings of a word of the region: `us` wants `us-east-1` and `Oregon, US, NA`. An offer without a region is in
    none of them."""

    max_usd_per_gpu_hour: Decimal | None = None
    min_gpu_count: int | None = None

    def of(self, offers: Iterable[Offer]) -> list[Offer]:
        """Those of `offers` that are as asked for."""
        tests = [test for _, test in self.tests()]
        return [offer for offer in offers if all(test(offer) for test in tests)]

    def emptied_by(self, offers: Iterable[Offer]) -> str | None:
        """The first wish after which none of `offers` is left; None where some are left.

        One of `gpu`, `provider`, `market`, `region`, `max_price`, `min_gpus`, tried in this order. `offers` are to be
        all there are, not those that are as asked for. With no offers at all it is the first wish there is.
        """
        left = list(offers)
        for name, test in self.tests():
            left = [offer for offer in left if test(offer)]
            if not left:
                return name
        return None

    def tests(self) -> Iterable[tuple[str, Test]]:
        """The wishes there are, by their names, in the order they are tried in."""
        if gpus := self.gpus:
            yield "gpu", lambda offer: offer.gpu in gpus
        if providers := self.providers:
            yield "provider", lambda offer: offer.provider in providers
        if markets := self.markets:
            yield "market", lambda offer: offer.market in markets
        if self.regions:
            begins = re.compile("|".join(rf"(?<![^\W_]){re.escape(region)}" for region in sorted(self.regions)), re.I)
            yield "region", lambda offer: begins.search(offer.region) is not None
        most = self.max_usd_per_gpu_hour
        if most is not None:
            yield "max_price", lambda offer: offer.usd_per_gpu_hour <= most
        fewest = self.min_gpu_count
        if fewest is not None:
            yield "min_gpus", lambda offer: offer.gpu_count >= fewest


ANY = Wanted()
"""Asks for every offer."""
