"""What is compared: a file's plan, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan_types import Plan
    from planner.trainer_configs import Reading, Setting
    from pricing.plan_quotes import PlanQuotes
    from pricing.quote import Quote


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of one file. It stands on formulas alone, so that it is the same on every machine."""

    name: str
    """Of the file, as it was given."""

    plan: Plan

    quotes: PlanQuotes | None
    """None without a card, or where the time of a step is not known."""

    reading: Reading | None
    """Of a trainer's config; None for a run file."""

    @property
    def cheapest(self) -> Quote | None:
        """The quote that is expected to be least, on the planned card; None where no offer of it is known."""
        return self.quotes.of_card[0] if self.quotes is not None and self.quotes.of_card else None

    @property
    def uncounted(self) -> tuple[Setting, ...]:
        """Settings that move memory and are in no figure."""
        return () if self.reading is None else self.reading.uncounted


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A file that has no plan."""

    name: str

    reason: str
    """One sentence."""

    refused: bool
    """Whether something in it cannot be used; otherwise the planner abstains."""

    @property
    def sentence(self) -> str:
        """The reason, with the file's name where it does not say it itself."""
        return self.reason if self.name in self.reason else f"{self.name}: {self.reason}"


Side = Planned | Unplanned
