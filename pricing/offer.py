"""`Offer`: the dated price of one instance type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from planner.errors import InputError

ON_DEMAND = "on-demand"
SPOT = "spot"
COMMUNITY = "community"
RESERVED = "reserved"

MARKETS = (ON_DEMAND, SPOT, COMMUNITY, RESERVED)
"""on-demand: kept until it is given back; spot: may be taken away; community: a private host's, no service level;
reserved: only with a commitment."""

MOST_USD_PER_GPU_HOUR = Decimal(200)
"""Ten times the dearest card there is: above it a price is of something else (a month, or cents)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one instance type costs for an hour, where, on which day, and who says so.

    One row is one price: an instance with an on-demand and a spot price is two offers. Raises `InputError`, in one
    sentence, where a field cannot be true.
    """

    provider: str
    """In lower case, as in data/providers.csv: aws, gcp, azure, lambda, runpod, vast, ..."""

    instance_type: str

    gpu: str | None
    """The card's name in the catalogue of GPUs; None where the catalogue has no such card."""

    gpu_name: str
    """The card as the source names it."""

    gpu_count: int
    """Cards in the instance."""

    market: str
    """One of `MARKETS`."""

    usd_per_hour: Decimal
    """Of the whole instance, in US dollars; never of one card."""

    region: str = ""
    """Empty: the source does not say, or the price is the same everywhere."""

    as_of: date | None = None
    """The day the price was seen. None: the source does not say, which counts as stale."""

    source: str

    vcpus: int | None = None
    ram_gib: float | None = None

    gpu_memory_gib: float | None = None
    """Of one card, as the source has it."""

    note: str = ""

    def __post_init__(self) -> None:
        where = f"offer {self.instance_type or '(no instance type)'} of {self.provider or '(no provider)'}"
        for name in ("provider", "instance_type", "gpu_name", "source"):
            if not getattr(self, name).strip():
                raise InputError(f"{where} has no {name}; fill it in", field=name)
        if self.market not in MARKETS:
            raise InputError(
                f"{where} has the market '{self.market}'; it must be one of {', '.join(MARKETS)}", field="market"
            )
        if self.gpu_count < 1:
            raise InputError(f"{where} has {self.gpu_count} GPUs; it must have at least 1", field="gpu_count")
        price = self.usd_per_hour
        if not price.is_finite() or price <= 0:
            raise InputError(
                f"{where} costs {price} USD an hour; leave the row out where there is no price", field="usd_per_hour"
            )
        if price > MOST_USD_PER_GPU_HOUR * self.gpu_count:
            raise InputError(
                f"{where} costs {price} USD an hour for {self.gpu_count} GPUs, more than {MOST_USD_PER_GPU_HOUR} each; "
                "give the price of an hour in US dollars",
                field="usd_per_hour",
            )

    @property
    def usd_per_gpu_hour(self) -> Decimal:
        """US dollars for an hour of one card."""
        return self.usd_per_hour / self.gpu_count
