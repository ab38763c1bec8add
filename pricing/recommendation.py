"""What a recommendation says."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from planner.job import Job, JobTime
from planner.run import TrainingRun
from planner.time.step_time import StepTime
from pricing.quote import Quote


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do the job that fits: a run on an instance."""

    method: str
    """As it was asked for."""
    run: TrainingRun
    gpu: str
    reserved_bytes: int
    """The peak of what the allocator holds, on each card."""
    usable_bytes: int
    step: StepTime
    job: JobTime
    quote: Quote
    notes: tuple[str, ...]
    """What the plan says besides."""

    @property
    def usd(self) -> Decimal:
        """Expected, for everything that the quote names."""
        return self.quote.usd

    @property
    def hours(self) -> float:
        """Expected, from the order of the machine to the last file, interruptions included."""
        return self.quote.hours


@dataclass(frozen=True, slots=True)
class MemoryMiss:
    """A card on which no run of a method fits, though it nearly does."""

    method: str
    run: TrainingRun
    """The one that needs least."""
    gpu: str
    needed_bytes: int
    """What the allocator holds at its peak."""
    high_bytes: int
    """The high end of its interval, which has to be usable."""
    usable_bytes: int
    usd_per_hour: Decimal
    """Of the cheapest offer."""


@dataclass(frozen=True, slots=True)
class LimitMiss:
    """The nearest that a method comes to a budget or a deadline that it misses."""

    method: str
    limit: str
    """budget or deadline."""
    way: Way
    over_usd: Decimal | None
    over_hours: float | None
    within_deadline: bool = False
    """Whether the way was chosen among those that a deadline leaves."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Ways that were not considered, for one reason."""

    reason: str
    ways: int
    """On one card of each number of them."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The ways to do a job that nothing beats in both cost and time, and what else was found."""

    model: str
    job: Job
    assumed_job: bool
    """Whether the job is lora-plan's own, as none was given."""
    sequence_length: int
    more_given: bool
    """Whether more of the run was given than its model, its sequence length and what a search varies."""
    considered: int
    """Candidates: a plan on an offer."""
    plans: int
    """A plan on so many cards of one kind."""
    fitting: int
    """Plans that fit."""
    offers: int
    frontier: tuple[Way, ...]
    """The fastest first, each cheaper than the one before."""
    by_method: tuple[Way, ...]
    """The cheapest way of each method that has one, the cheapest first."""
    memory_misses: tuple[MemoryMiss, ...]
    limit_misses: tuple[LimitMiss, ...]
    emptied_by: str | None
    """Why there is no way: memory, budget, deadline, or `budget and deadline`; None where there is one."""
    left_out: tuple[LeftOut, ...]
    without_offers: tuple[str, ...]
    """Cards of the catalogue that nobody offers, of those asked for."""
    notes: tuple[str, ...]

    @property
    def cheapest(self) -> Way | None:
        """The way that costs least."""
        return self.frontier[-1] if self.frontier else None

    @property
    def fastest(self) -> Way | None:
        """The way that takes least time."""
        return self.frontier[0] if self.frontier else None
