"""`gather`: everything that a report says of one run, worked out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention, InputError
from planner.plan import plan
from planner.plan_types import Plan, Suggestion
from planner.run import TrainingRun
from planner.suggestions import suggestions
from pricing.plan_quotes import PlanQuotes, plan_quotes
from profiler.records.of_plan import measured_plan
from reports.cost_report.content import CostReport

if TYPE_CHECKING:
    from planner.job import Job
    from planner.trainer_configs import Reading
    from pricing.offer import Offer
    from profiler.records.record import Record
    from profiler.simulate.types import Simulation

QUOTES = 10
"""Offers of the card that are listed, and cards on which the run costs less."""

Simulator = Callable[[TrainingRun, "Gpu | None", bool], "Simulation"]
"""Simulates a run on a card, live tensors alone where the last argument is true."""


class _Planned(NamedTuple):
    """A run as the planner has it."""

    estimate: Plan
    plan: Plan
    suggestions: tuple[Suggestion, ...]
    record: Record | None


def gather(
    run: TrainingRun,
    card: Gpu | str | None,
    job: Job | None = None,
    *,
    reading: Reading | None = None,
    record: Record | None = None,
    simulator: Simulator | None = None,
    offers: Sequence[Offer] | str,
    command: str,
    today: date,
    version: str,
) -> CostReport:
    """The report on a run, without other ways to do its job (`other_ways`).

    record: the one that the report is on, whose run this is; None: the user's newest of the run on the card, where
    there is any. simulator: simulates the run; None: it is not simulated. offers: those that are known, or a sentence
    on why they cannot be read. command: what makes the report again. Raises `InputError` for a card or a model that is
    not known, and `Abstention` where the planner abstains and nothing was simulated or measured.
    """
    gpu = find_gpu(card).gpu if isinstance(card, str) else card
    refusal: Abstention | InputError | None = None
    try:
        planned = _planned(run, card, gpu, job, record)
    except (Abstention, InputError) as error:
        # of a record there is something to say, even where its model is not on this machine
        if record is None and (simulator is None or isinstance(error, InputError)):
            raise
        refusal, planned = error, None
    record = record or (planned.record if planned is not None else None)
    simulation, unsimulated = _simulated(run, gpu, record, simulator)
    if planned is None and record is None and simulation is None and refusal is not None:
        raise refusal
    unplanned = refusal.reason if isinstance(refusal, Abstention) else str(refusal) if refusal is not None else None
    estimate = planned.estimate if planned is not None else None
    priced, quotes = _quoted(planned.plan, offers, today) if planned is not None else (None, None)
    verification = None
    if record is not None:
        from profiler.verification import verified

        verification = verified(record.measurement, estimate, unplanned, simulation, unsimulated)
    return CostReport(
        run=run,
        plan=priced,
        estimate=estimate,
        unplanned=unplanned,
        suggestions=planned.suggestions if planned is not None else (),
        quotes=quotes,
        lengths=job.lengths if job is not None else None,
        reading=reading,
        simulation=simulation,
        unsimulated=unsimulated,
        record=record,
        verification=verification,
        command=command,
        day=today,
        version=version,
    )


def _planned(
    run: TrainingRun, card: Gpu | str | None, gpu: Gpu | None, job: Job | None, record: Record | None
) -> _Planned:
    estimate = plan(run, card, job)
    advice = suggestions(estimate, gpu)
    if record is None:
        measured, record = measured_plan(estimate)
        return _Planned(estimate, measured, advice, record)
    from profiler.records.calibrate import calibrated
    from profiler.records.here import look

    here = look({name for name, _ in record.measurement.versions})
    return _Planned(estimate, calibrated(estimate, [record], here), advice, record)


def _simulated(
    run: TrainingRun, gpu: Gpu | None, record: Record | None, simulator: Simulator | None
) -> tuple[Simulation | None, str | None]:
    """The simulation, or why it abstains; neither where none was asked for."""
    if simulator is None:
        return None, None
    live = record is not None and record.measurement.device.kind == "cpu"
    try:
        return simulator(run, gpu, live), None
    except Abstention as error:
        return None, error.reason


def _quoted(planned: Plan, offers: Sequence[Offer] | str, today: date) -> tuple[Plan, PlanQuotes | None]:
    """The plan with what it costs; where prices cannot be read, with a note instead."""
    if planned.time is None:
        return planned, None
    if isinstance(offers, str):
        return replace(planned, notes=(*planned.notes, offers)), None
    return planned, plan_quotes(planned, offers, today, QUOTES)
