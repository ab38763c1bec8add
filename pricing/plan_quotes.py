"""What a planned run costs: on the cheapest offers of its card, and on other cards that it would fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from planner.catalogue import find_gpu
from planner.errors import Abstention
from planner.plan_types import Plan
from planner.strategies.communicators import usable_bytes
from planner.time.explain import explain_time
from planner.time.step_time import StepTime
from pricing.offer import Offer
from pricing.quote import Hours, Quote, cheapest

MILLION = 1e6
"""Tokens that a plan without a job is priced for."""


@dataclass(frozen=True, slots=True)
class PlanQuotes:
    """Quotes of one plan."""

    of_card: tuple[Quote, ...]
    """On the planned card, the cheapest first."""
    elsewhere: tuple[Quote, ...]
    """On other cards, those that cost less than the first of `of_card`: one for each card, the cheapest first."""
    tokens: float | None
    """What the hours are of, where no job was planned; None: the job."""


def plan_quotes(plan: Plan, offers: Sequence[Offer], today: date, limit: int = 3) -> PlanQuotes | None:
    """Quotes for a plan; None without a card or a time. offers: of all cards.

    The other cards are taken for the same run, where the high end of its reserved memory is within what they can use;
    that a card's cuBLAS workspaces are some MiB larger or smaller is left out of account.
    """
    if plan.gpu is None or plan.time is None:
        return None
    count = plan.gpu.count
    hours = _hours(plan, plan.time)
    own = _quotes(plan, offers, plan.gpu.name, hours, today, limit)
    least = own[0].usd if own else None
    other: list[Quote] = []
    for name in sorted({offer.gpu for offer in offers if offer.gpu and offer.gpu_count >= count}):
        if name == plan.gpu.name:
            continue
        gpu = find_gpu(name).gpu
        if plan.memory.interval_bytes.high > usable_bytes(gpu, plan.run) or (
            plan.run.base_dtype == "bfloat16" and not gpu.native_bf16
        ):
            continue
        try:
            step = explain_time(plan.run, gpu)
        except Abstention:
            continue
        found = _quotes(plan, offers, name, _hours(plan, step), today, 1)
        if found and (least is None or found[0].usd < least):
            other.append(found[0])
    other.sort(key=lambda quoted: quoted.usd)
    return PlanQuotes(own, tuple(other[:limit]), None if plan.job else MILLION)


def _hours(plan: Plan, step: StepTime) -> Hours:
    """Low, expected and high hours of the plan's job (or of a million tokens) where a step takes as long as `step`."""
    if plan.job is None or plan.time is None:
        seconds_per_step = MILLION / step.tokens / 3600
        return step.low_s * seconds_per_step, step.step_s * seconds_per_step, step.high_s * seconds_per_step
    low, high = plan.job.hours_interval
    training = plan.job.part("training")
    slower = step.step_s / plan.time.step_s
    return (
        low + training.low_s / 3600 * (slower * step.low_s / step.step_s * plan.time.step_s / plan.time.low_s - 1),
        plan.job.hours + training.seconds / 3600 * (slower - 1),
        high + training.high_s / 3600 * (slower * step.high_s / step.step_s * plan.time.step_s / plan.time.high_s - 1),
    )


def _quotes(plan: Plan, offers: Sequence[Offer], gpu: str, hours: Hours, today: date, limit: int) -> tuple[Quote, ...]:
    count = plan.run.num_gpus
    if plan.job is None:
        return cheapest(offers, gpu, count, hours, today, limit)
    return cheapest(
        offers,
        gpu,
        count,
        hours,
        today,
        limit,
        disk_bytes=plan.footprint.disk_bytes,
        leaving_bytes=plan.footprint.adapter_file_bytes,
    )
