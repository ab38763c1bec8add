"""A comparison in one sentence, and a plan in one. GiB is 1024**3 bytes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from planner.units import GIB, format_bytes
from reports.comparison.comparison import Comparison, compare_plans
from reports.comparison.sides import Planned, Side, Unplanned
from reports.plan_words import card_name, reserved_figure
from reports.time import duration

if TYPE_CHECKING:
    from planner.plan_types import Plan

SAME = "No change in memory, time or cost"

_STILL = {"fits": "still fits", "tight": "still tight on", "does_not_fit": "still does not fit"}
_NOW = {"fits": "now fits", "tight": "now tight on", "does_not_fit": "no longer fits"}
_IS = {"fits": "fits", "tight": "tight on", "does_not_fit": "does not fit"}


def sentence(base: Side, other: Side) -> str:
    """`+11.2 GiB, no longer fits RTX4090; +0.4 h and +$3.10 a run`."""
    if isinstance(other, Unplanned):
        return f"not planned: {other.reason}"
    if isinstance(base, Unplanned):
        return f"{summary(other)}; there is nothing to compare it with, as {base.name} is not planned"
    return _compared(compare_plans(base, other))


def summary(planned: Planned) -> str:
    """`fits RTX4090: 15.6 GiB (14.6–16.6) reserved; 38.7 min and $0.28 a run`."""
    plan = planned.plan
    known = reserved_figure(plan)
    parts = [f"{verdict_on_card(plan)}: {known}" if plan.verdict is not None else known]
    worth: list[str] = []
    if plan.job is not None:
        worth.append(duration(plan.job.seconds))
    if planned.cheapest is not None:
        worth.append(dollars(planned.cheapest.usd))
    if worth:
        parts.append(f"{' and '.join(worth)} {_of(plan.job is not None)}")
    return "; ".join(parts)


def verdict_on_card(plan: Plan) -> str:
    """`does not fit RTX4090`; empty without a card."""
    return f"{_IS[plan.verdict]} {card_name(plan.gpu)}" if plan.verdict is not None and plan.gpu is not None else ""


def signed_bytes(count: int) -> str:
    """`+11.2 GiB`, `-340.0 MiB`, `0 B`."""
    if abs(count) >= GIB / 20:
        return f"{count / GIB:+,.1f} GiB"
    return f"+{format_bytes(count)}" if count > 0 else format_bytes(count)


def signed_duration(seconds: float) -> str:
    """`+12.4 min`."""
    return f"{'-' if seconds < 0 else '+'}{duration(abs(seconds))}"


def dollars(usd: Decimal) -> str:
    """`$3.10`."""
    return f"${usd:,.2f}"


def signed_dollars(usd: Decimal) -> str:
    """`+$3.10`; `$0.00` for none."""
    sign = "-" if usd < 0 else "+" if usd else ""
    return f"{sign}{dollars(abs(usd))}"


def _compared(comparison: Comparison) -> str:
    if not comparison.changed:
        return SAME
    more = comparison.reserved_bytes.difference
    memory = [signed_bytes(more) if more else "same memory", _fit(comparison)]
    return "; ".join(filter(None, (", ".join(filter(None, memory)), _worth(comparison))))


def _fit(comparison: Comparison) -> str:
    before, after = comparison.base.plan, comparison.other.plan
    if after.verdict is None or after.gpu is None:
        return ""
    if before.verdict is None or before.gpu is None:
        return verdict_on_card(after)
    if card_name(before.gpu) != card_name(after.gpu):
        return f"{verdict_on_card(after)} (before, {verdict_on_card(before)})"
    words = _STILL if before.verdict == after.verdict else _NOW
    return f"{words[after.verdict]} {card_name(after.gpu)}"


def _worth(comparison: Comparison) -> str:
    """What it takes more of time and money; empty where neither is known."""
    if comparison.hours is None:
        return ""
    hours, usd = comparison.hours.difference, comparison.usd
    parts = [signed_duration(3600 * hours)] if comparison.slower else []
    if usd is not None and usd.difference:
        parts.append(signed_dollars(usd.difference))
    if not parts:
        return "same time" if usd is None else "same time and cost"
    return f"{' and '.join(parts)} {_of(comparison.of_job)}"


def _of(job: bool) -> str:
    return "a run" if job else "a million tokens"
