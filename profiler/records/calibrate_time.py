"""The time of a plan, from what its steps took when they were measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.memory.ledger import MEASUREMENT
from planner.plan_types import Plan
from planner.time.step_time import StepTime, Term
from profiler.measure.types import MeasuredTime, Measurement

if TYPE_CHECKING:
    from planner.job import JobTime

SCALED = ("training", "evaluation")
"""Parts of a job that are made of steps."""


def with_time(plan: Plan, measurement: Measurement) -> Plan:
    """The plan with the measured time of a step; as it is where none was timed, or steps of other lengths were."""
    measured, estimate = measurement.time, plan.time
    if measured is None or estimate is None or measured.tokens != estimate.tokens:
        return plan
    scale = measured.step_s / estimate.step_s
    step = StepTime(
        step_s=measured.step_s,
        # as wide as the estimate's: samples of one run do not tell how another one varies
        low_s=estimate.low_s * scale,
        high_s=estimate.high_s * scale,
        coverage=estimate.coverage,
        tokens=measured.tokens,
        terms=_terms(measured, whole=measurement.slices is None),
        mfu=measured.mfu,
        hfu=measured.hfu,
        basis=MEASUREMENT,
    )
    job = None if plan.job is None else _job(plan.job, scale)
    return replace(plan, time=step, job=job)


def _terms(measured: MeasuredTime, *, whole: bool) -> tuple[Term, ...]:
    """What was timed of a step; all of it in one where the samples are of models of fewer layers."""
    samples = measured.samples
    if not samples or not whole:
        return (Term("a whole step", measured.step_s, "measured"),)
    sums = {
        "forward pass and loss": sum(sample.forward_s for sample in samples),
        "backward pass": sum(sample.backward_s for sample in samples),
        "optimizer": sum(sample.optimizer_s for sample in samples),
    }
    steps = max(sum(sample.step_s for sample in samples), sum(sums.values()))
    text = f"measured: the mean of {len(samples)} steps"
    if not steps:
        return (Term("a whole step", measured.step_s, text),)
    terms = [Term(name, measured.step_s * seconds / steps, text) for name, seconds in sums.items()]
    rest = measured.step_s - sum(term.seconds for term in terms)
    return (*terms, Term("between them", max(0.0, rest), "what is left of a step"))


def _job(job: JobTime, scale: float) -> JobTime:
    """The job with each part that is made of steps taking `scale` times as long."""
    return replace(
        job,
        parts=tuple(
            replace(
                part,
                seconds=part.seconds * scale,
                low_s=part.low_s * scale,
                high_s=part.high_s * scale,
                text=f"{part.text}; {scale:.3g} times that, as steps were measured",
            )
            if part.name in SCALED
            else part
            for part in job.parts
        ),
    )
