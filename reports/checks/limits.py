"""`Limits`: what a run is held to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

Figure = float | str | None
"""GiB, a share or hours; a verdict, or dollars, as text; None for what is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may need; None for what it is not held to.

    A gate has to be safe: memory, dollars and hours are held to the high end of what they are expected between, not to
    what is expected.
    """

    verdict: str | None = "fits"
    """`fits`, or `tight` where that is enough."""

    memory_gib: float | None = None
    """At most so much reserved memory on each card, in GiB (1024**3 bytes)."""

    headroom: float | None = None
    """At least this share of a card's usable memory stays free."""

    budget_usd: Decimal | None = None
    """At most so many US dollars for the job, on the offer of the card whose high end is the least."""

    deadline_hours: float | None = None
    """At most so many hours for the job, without interruptions."""

    @property
    def stated(self) -> dict[str, Figure]:
        """The limits that are set, by the names that a limits file gives them."""
        limits: dict[str, Figure] = {
            "verdict": self.verdict,
            "memory_gib": self.memory_gib,
            "headroom": self.headroom,
            "budget_usd": None if self.budget_usd is None else str(self.budget_usd),
            "deadline": self.deadline_hours,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}
