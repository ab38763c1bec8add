"""`check_run`: one run held to its limits. GiB is 1024**3 bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.units import GIB
from reports.checks.limits import Figure, Limits
from reports.comparison.sentence import dollars, verdict_on_card
from reports.comparison.sides import Planned, Side, Unplanned
from reports.figures import gib, gib_number
from reports.plan_words import card_name
from reports.time import duration

if TYPE_CHECKING:
    from decimal import Decimal

    from planner.job import JobTime
    from planner.plan_types import Plan, PlannedGpu

_ORDER = ("does_not_fit", "tight", "fits")


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """One limit, and what it was held to."""

    name: str
    """verdict, memory_gib, headroom, budget_usd or deadline."""

    ok: bool

    text: str
    """What was found and by how much it is within the limit or beyond it."""

    limit: Figure
    expected: Figure
    held: Figure
    """What the limit is held to: the end of the interval that is worse."""


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """One run, held to its limits."""

    side: Side
    """Its plan, or why there is none."""

    limits: tuple[LimitCheck, ...]

    base: Side | None = None
    """The same file as it was before; None where it is not compared, or was not there."""

    compared: bool = False
    """Whether a version from before was looked for."""

    @property
    def name(self) -> str:
        """`configs/sft.yaml on RTX4090`."""
        if isinstance(self.side, Planned) and self.side.plan.gpu is not None:
            return f"{self.side.name} on {card_name(self.side.plan.gpu)}"
        return self.side.name

    @property
    def refused(self) -> bool:
        """Whether the run cannot be read or planned for what is wrong in it."""
        return isinstance(self.side, Unplanned) and self.side.refused

    @property
    def ok(self) -> bool:
        """Whether it is within every limit. What cannot be answered is not."""
        return not self.refused and all(check.ok for check in self.limits)


def check_run(side: Side, limits: Limits) -> tuple[LimitCheck, ...]:
    """Each limit that is set, in order; where there is no plan each is broken, for the reason that there is none.

    Raises `InputError` for a limit that needs a card or a job where none is given.
    """
    if isinstance(side, Unplanned):
        return tuple(_not_answered(name, limit, side.reason) for name, limit in limits.stated.items())
    checks = (hold(side, limits) for hold in (_verdict, _memory, _headroom, _budget, _deadline))
    return tuple(check for check in checks if check is not None)


def broken(runs: Iterable[CheckedRun]) -> int:
    """How many runs are not within their limits."""
    return sum(not run.ok for run in runs)


def _verdict(side: Planned, limits: Limits) -> LimitCheck | None:
    if limits.verdict is None:
        return None
    gpu, found = _card(side, "verdict"), side.plan.verdict or ""
    over = side.plan.memory.interval_bytes.high - gpu.usable_bytes
    text = (
        f"{verdict_on_card(side.plan)}, at the high end {gib(abs(over))} {_way(over)} the "
        f"{gib(gpu.usable_bytes)} usable"
    )
    ok = _ORDER.index(found) >= _ORDER.index(limits.verdict)
    return LimitCheck("verdict", ok, text, limits.verdict, found, found)


def _memory(side: Planned, limits: Limits) -> LimitCheck | None:
    most = limits.memory_gib
    if most is None:
        return None
    expected, high = side.plan.memory.peak_bytes.reserved, side.plan.memory.interval_bytes.high
    over = high - most * GIB
    text = (
        f"{gib_number(high)} GiB at the high end, {gib_number(expected)} expected: "
        f"{gib_number(round(abs(over)))} {_way(over)} {most:g} GiB"
    )
    return LimitCheck("memory_gib", over <= 0, text, most, expected / GIB, high / GIB)


def _headroom(side: Planned, limits: Limits) -> LimitCheck | None:
    least = limits.headroom
    if least is None:
        return None
    usable = _card(side, "headroom").usable_bytes
    expected = 1 - side.plan.memory.peak_bytes.reserved / usable
    low = 1 - side.plan.memory.interval_bytes.high / usable
    text = (
        f"{_left(low)} of {gib(usable)} usable left at the high end, {_left(expected)} expected: "
        f"{100 * abs(low - least):.1f} points {_way(low - least)} {100 * least:g}%"
    )
    return LimitCheck("headroom", low >= least, text, least, expected, low)


def _budget(side: Planned, limits: Limits) -> LimitCheck | None:
    most = limits.budget_usd
    if most is None:
        return None
    gpu = _card(side, "budget_usd")
    if _job(side, "budget_usd") is None:
        return _not_answered("budget_usd", str(most), _why_no_time(side.plan))
    if side.quotes is None or not side.quotes.of_card:
        return _not_answered("budget_usd", str(most), f"no offer of {card_name(gpu)} is known")
    quoted = min(side.quotes.of_card, key=lambda quoted: quoted.high_usd)
    over = quoted.high_usd - most
    old = ", by an old price" if quoted.stale else ""
    text = (
        f"{dollars(quoted.high_usd)} at the high end, {dollars(quoted.usd)} expected, with {quoted.offer.provider} "
        f"{quoted.offer.market}{old}: {dollars(abs(over))} {_way(over)} {dollars(most)}"
    )
    return LimitCheck("budget_usd", over <= 0, text, str(most), str(quoted.usd), str(quoted.high_usd))


def _deadline(side: Planned, limits: Limits) -> LimitCheck | None:
    most = limits.deadline_hours
    if most is None:
        return None
    _card(side, "deadline")
    job = _job(side, "deadline")
    if job is None:
        return _not_answered("deadline", most, _why_no_time(side.plan))
    high = job.hours_interval[1]
    over = high - most
    text = (
        f"{duration(3600 * high)} at the slow end, {duration(job.seconds)} expected: "
        f"{duration(3600 * abs(over))} {_way(over)} {duration(3600 * most)}"
    )
    return LimitCheck("deadline", over <= 0, text, most, job.hours, high)


def _left(share: float) -> str:
    return f"{share:.1%}" if share > 0 else "none"


def _not_answered(name: str, limit: Figure, why: str) -> LimitCheck:
    return LimitCheck(name, False, f"not answered: {why}", limit, None, None)


def _way(over: float | Decimal) -> str:
    """Of what is so much over a limit: on which side of it."""
    return "above" if over > 0 else "below"


def _card(side: Planned, limit: str) -> PlannedGpu:
    if side.plan.gpu is None:
        raise InputError(f"{limit} cannot be checked without a card; name it with gpu", field="gpu")
    return side.plan.gpu


def _job(side: Planned, limit: str) -> JobTime | None:
    """The job's time; None where the time of a step is not known."""
    if side.plan.time is not None and side.plan.job is None:
        raise InputError(
            f"{limit} cannot be checked without a job; give examples, tokens or a dataset under job", field="job"
        )
    return side.plan.job


def _why_no_time(plan: Plan) -> str:
    return next((note for note in plan.notes if "How long a step takes" in note), "how long it takes is not known")
