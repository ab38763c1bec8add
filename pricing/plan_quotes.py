"""What a planned run costs: on the cheapest offers of its card, and on other cards that it would fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from planner.catalogue import find_gpu, list_gpus
from planner.errors import Abstention
from planner.plan import resolved_run
from planner.plan_types import Plan
from planner.run import TrainingRun
from planner.strategies.communicators import usable_bytes
from planner.time.explain import explain_time
from planner.time.step import step_time
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
    _, architecture, _ = resolved_run(plan.run)
    run, here = _at_mean_length(plan, plan.time)
    own = _quotes(plan, offers, plan.gpu.name, _hours(plan, here, here), today, limit)
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
            step = step_time(architecture, run, gpu)
        except Abstention:
            continue
        found = _quotes(plan, offers, name, _hours(plan, step, here), today, 1)
        if found and (least is None or found[0].usd < least):
            other.append(found[0])
    other.sort(key=lambda quoted: quoted.usd)
    return PlanQuotes(own, tuple(other[:limit]), None if plan.job else MILLION)


def _at_mean_length(plan: Plan, step: StepTime) -> tuple[TrainingRun, StepTime]:
    """The run with batches as long as the job's are on average, where cards are compared, and its step on this card.

    step: that of the plan, which stands for it on a card of the user's own.
    """
    if plan.job is None or plan.gpu is None or all(plan.gpu.name != gpu.name for gpu in list_gpus()):
        return plan.run, step
    length = round(plan.job.padded_tokens / (plan.job.examples * plan.job.epochs)) if not plan.run.packing else 0
    if not 0 < length < plan.run.sequence_length:
        return plan.run, step
    run = plan.run.replace(sequence_length=length)
    return run, explain_time(run, find_gpu(plan.gpu.name).gpu)


def _hours(plan: Plan, step: StepTime, here: StepTime) -> Hours:
    """Low, expected and high hours of the plan's job (or of a million tokens) where a step takes as long as `step`.

    here: what it takes on the planned card. All of the job's training is taken to be slower by the ratio of the two.
    """
    if plan.job is None:
        hours_per_second = MILLION / step.tokens / 3600
        return step.low_s * hours_per_second, step.step_s * hours_per_second, step.high_s * hours_per_second
    low, high = plan.job.hours_interval
    training = plan.job.part("training")
    return (
        low + training.low_s / 3600 * (step.low_s / here.low_s - 1),
        plan.job.hours + training.seconds / 3600 * (step.step_s / here.step_s - 1),
        high + training.high_s / 3600 * (step.high_s / here.high_s - 1),
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
