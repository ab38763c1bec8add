"""`compare_plans`: signed differences of two plans, in bytes, seconds, hours and dollars."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, TypeVar

from pricing.plan_quotes import MILLION
from reports.comparison.sides import Planned

if TYPE_CHECKING:
    from planner.plan_types import Plan

Number = TypeVar("Number", int, float, Decimal)

NOTHING = 1e-4
"""A relative difference of seconds or hours below which none is told."""


@dataclass(frozen=True, slots=True)
class Change(Generic[Number]):
    """One figure in both plans."""

    base: Number
    other: Number

    @property
    def difference(self) -> Number:
        """What the other has more: negative where it has less."""
        return self.other - self.base


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of `TrainingRun` that differs; None where it does not apply to the run."""

    name: str
    base: object
    other: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two plans. Nothing of it is rounded."""

    base: Planned
    other: Planned

    reserved_bytes: Change[int]
    """Of the peak: this decides an out-of-memory."""

    levels: tuple[tuple[str, Change[int]], ...]
    """The peak at each level that both know, in bytes."""

    components: tuple[tuple[str, Change[int]], ...]
    """Component -> bytes, each plan's at its own peak."""

    step_s: Change[float] | None
    """Seconds of an optimizer step; None where either is not known."""

    hours: Change[float] | None
    """Expected, of the job or of a million tokens; None where they are not of the same."""

    of_job: bool
    """Whether hours and dollars are those of a job."""

    usd: Change[Decimal] | None
    """Expected dollars for the same, each on its cheapest offer; None where either has none."""

    fields: tuple[FieldChange, ...]
    """In the order of `TrainingRun`."""

    @property
    def slower(self) -> bool:
        """Whether the hours differ by more than rounding."""
        return self.hours is not None and abs(self.hours.difference) > NOTHING * self.hours.base

    @property
    def changed(self) -> bool:
        """Whether memory, the verdict, time or cost differ."""
        return (
            bool(self.reserved_bytes.difference)
            or self.base.plan.verdict != self.other.plan.verdict
            or self.base.plan.gpu != self.other.plan.gpu
            or self.slower
            or (self.usd is not None and bool(self.usd.difference))
        )


def compare_plans(base: Planned, other: Planned) -> Comparison:
    """What `other` needs more (or, with a minus, less) than `base`."""
    before, after = base.plan, other.plan
    same_work = (before.job is None) == (after.job is None)
    hours = _hours(before), _hours(after)
    quotes = base.cheapest, other.cheapest
    return Comparison(
        base=base,
        other=other,
        reserved_bytes=Change(before.memory.peak_bytes.reserved, after.memory.peak_bytes.reserved),
        levels=_levels(before, after),
        components=_components(before, after),
        step_s=Change(before.time.step_s, after.time.step_s) if before.time and after.time else None,
        hours=Change(hours[0], hours[1]) if same_work and hours[0] is not None and hours[1] is not None else None,
        of_job=before.job is not None,
        usd=Change(quotes[0].usd, quotes[1].usd) if same_work and quotes[0] and quotes[1] else None,
        fields=_fields(before, after),
    )


def _hours(plan: Plan) -> float | None:
    if plan.job is not None:
        return plan.job.hours
    return None if plan.time is None else MILLION / plan.time.tokens_per_s / 3600


def _levels(before: Plan, after: Plan) -> tuple[tuple[str, Change[int]], ...]:
    peaks = before.memory.peak_bytes, after.memory.peak_bytes
    pairs = {name: (getattr(peaks[0], name), getattr(peaks[1], name)) for name in ("allocated", "reserved", "process")}
    return tuple((name, Change(*pair)) for name, pair in pairs.items() if None not in pair)


def _components(before: Plan, after: Plan) -> tuple[tuple[str, Change[int]], ...]:
    ledgers = before.memory.peak.components, after.memory.peak.components
    names = dict.fromkeys((*ledgers[0], *ledgers[1]))
    return tuple((name, Change(ledgers[0].get(name, 0), ledgers[1].get(name, 0))) for name in names)


def _fields(before: Plan, after: Plan) -> tuple[FieldChange, ...]:
    runs = before.run.to_dict(), after.run.to_dict()
    return tuple(FieldChange(name, runs[0][name], runs[1][name]) for name in runs[0] if runs[0][name] != runs[1][name])
