"""Sides of comparisons to test with: real plans, on offers of a fixed day."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from planner.job import Job
from planner.plan import plan
from planner.run import TrainingRun
from planner.trainer_configs import Reading, Setting
from planner.units import GIB
from pricing.plan_quotes import plan_quotes
from reports.comparison import Planned
from tests.pricing.offers import TODAY, an_offer

JOB = Job(examples=1800, tokens=1_000_000, epochs=3)
OFFERS = (
    an_offer(gpu="RTX4090", gpu_name="RTX 4090", instance_type="1x RTX 4090", usd_per_hour=Decimal("0.60")),
    an_offer(
        gpu="RTX4090", gpu_name="RTX 4090", instance_type="4090 spot", usd_per_hour=Decimal("0.30"), market="spot"
    ),
)


def planned(
    name: str = "a.yaml", *, gpu: str | None = "rtx4090", job: Job | None = JOB, priced: bool = True, **fields: object
) -> Planned:
    """The plan of a run of Llama-3.2-1B, or with `fields`."""
    made = plan(TrainingRun(**({"model": "llama-3.2-1b", "method": "qlora"} | fields)), gpu, job)
    return Planned(name, made, plan_quotes(made, OFFERS if priced else (), TODAY), None)


def with_figures(side: Planned, *, reserved_gib: float, verdict: str, usd: str) -> Planned:
    """The same side with figures made by hand."""
    peaks = replace(side.plan.memory.peak_bytes, reserved=round(reserved_gib * GIB))
    memory = replace(side.plan.memory, peak_bytes=peaks)
    assert side.quotes is not None
    quotes = replace(side.quotes, of_card=(replace(side.quotes.of_card[0], usd=Decimal(usd)),))
    return replace(side, plan=replace(side.plan, memory=memory, verdict=verdict), quotes=quotes)


def with_uncounted(side: Planned, *settings: Setting) -> Planned:
    """The same side, read from a config of which these settings are in no figure."""
    reading = Reading(configs=(), fields={}, job={}, overridden=(), uncounted=settings, notes=())
    return replace(side, reading=reading)
