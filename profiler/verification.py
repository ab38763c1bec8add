"""`verified`: a measurement held to what was said before it, with a verdict and the likely causes of what is off."""

from __future__ import annotations

from dataclasses import dataclass

from planner.catalogue import find_gpu
from planner.errors import InputError
from planner.memory.ledger import Ledgers
from planner.plan_types import Plan, PlannedGpu
from planner.time.step_time import StepTime
from profiler.causes import Cause, Evidence, likely_causes
from profiler.judgement import CACHING, judged, judged_level, with_time
from profiler.measure.types import MeasuredDevice, Measurement
from profiler.phases import Phase, phases
from profiler.reconcile import Reconciliation, reconcile, without_runtime
from profiler.simulate.types import Simulation

TOLERANCE = 0.05
"""Share of the measured peak."""


@dataclass(frozen=True, slots=True)
class Verification:
    """A measurement beside the estimate and the simulation of the same run."""

    measurement: Measurement
    plan: Plan | None
    why_no_plan: str | None
    simulation: Simulation | None
    why_no_simulation: str | None
    tolerance: float
    """Share of the measured peak at `level`."""
    level: str
    """The level that is judged: reserved, or allocated on a CPU and of slices."""
    check_time: bool
    """Whether the verdict is on the time of a step too."""
    verdict: str
    """within; outside; unknown: there is nothing to hold the measurement to, or nothing that it says of the plan."""
    because: str
    """The figures that the verdict rests on, in one sentence."""
    reconciliation: Reconciliation | None
    """Estimate, simulation and measurement, those that there are; None where no whole step was measured."""
    without_runtime: bool
    """Whether the columns leave out the workspaces of libraries: another card's, or a device that has none."""
    another_card: str | None
    """The card of the plan, where steps were measured on another one: memory carries over, time does not."""
    phases: tuple[Phase, ...]
    """Seconds by phase, the whole step last; empty where no step was timed."""
    estimated_time: StepTime | None
    """The plan's, where it can be held to the measured one."""
    why_no_estimated_time: str | None
    time_within: bool | None
    """Whether the measured step lies in the interval of the estimate; None where that cannot be said."""
    causes: tuple[Cause, ...]


def verified(
    measurement: Measurement,
    plan: Plan | None,
    why_no_plan: str | None,
    simulation: Simulation | None,
    why_no_simulation: str | None,
    tolerance: float = TOLERANCE,
    *,
    check_time: bool = False,
) -> Verification:
    """The verdict on what was said of a run, by what was measured of it.

    plan, simulation: of the same run, or None with the reason. tolerance: how far each of them may be off the measured
    peak, as a share of it: the reserved one, but of a CPU and of slices the allocated one (`judged_level`).
    check_time: whether a step outside the interval of the plan is `outside` too.
    """
    card = next((said.gpu for said in (plan, simulation) if said is not None and said.gpu is not None), None)
    same_card = _is_card(measurement.device, card)
    leaves_out = not same_card or measurement.device.kind != "cuda"
    reconciliation = _reconciliation(measurement, plan, simulation, leaves_out=leaves_out)
    estimated, why_not = _estimated_time(measurement, plan, why_no_plan, same_card=same_card)
    time = measurement.time
    time_within = estimated.low_s <= time.step_s <= estimated.high_s if estimated and time else None
    evidence = Evidence(measurement, plan, simulation, reconciliation, estimated, same_card)
    judgement = judged(evidence, tolerance, why_no_plan, why_no_simulation)
    if check_time:
        judgement = with_time(judgement, evidence, why_not)
    return Verification(
        measurement=measurement,
        plan=plan,
        why_no_plan=why_no_plan,
        simulation=simulation,
        why_no_simulation=why_no_simulation,
        tolerance=tolerance,
        level=judged_level(measurement),
        check_time=check_time,
        verdict=judgement.verdict,
        because=judgement.because,
        reconciliation=reconciliation,
        without_runtime=leaves_out,
        another_card=card.name if card is not None and not same_card else None,
        phases=phases(estimated, time) if time is not None else (),
        estimated_time=estimated,
        why_no_estimated_time=why_not,
        time_within=time_within,
        causes=likely_causes(evidence),
    )


def _is_card(device: MeasuredDevice, card: PlannedGpu | None) -> bool:
    """Whether a plan's card is the device that was measured; a plan without a card is of any."""
    if card is None or device.kind not in CACHING:
        return card is None
    if device.gpu is None:
        # not in the catalogue: the plan was made of a card that was described by its memory
        return abs(device.memory_bytes - card.memory_bytes) <= 0.05 * card.memory_bytes
    return card.name in (device.gpu, device.name, _catalogued(device.gpu))


def _catalogued(name: str) -> str:
    try:
        return find_gpu(name).gpu.name
    except InputError:
        return name


def _reconciliation(
    measurement: Measurement, plan: Plan | None, simulation: Simulation | None, *, leaves_out: bool
) -> Reconciliation | None:
    if measurement.memory is None:
        return None
    columns: list[Ledgers] = [said.memory for said in (plan, simulation) if said is not None]
    columns.append(measurement.memory)
    return reconcile([without_runtime(column) for column in columns] if leaves_out else columns)


def _estimated_time(
    measurement: Measurement, plan: Plan | None, why_no_plan: str | None, *, same_card: bool
) -> tuple[StepTime | None, str | None]:
    """The plan's time, where it is of what was measured, or why it cannot be held to that."""
    if plan is None:
        return None, why_no_plan
    if plan.gpu is None:
        return None, "the plan names no card"
    if not same_card:
        return None, f"the plan is for {plan.gpu.name}, these steps ran on {measurement.device.name}"
    if plan.time is None:
        return None, "the plan has no time of a step on this card"
    if plan.gpu.count > 1:
        return None, f"the plan is of {plan.gpu.count} cards together, these steps ran on one"
    if measurement.time is not None and measurement.time.tokens != plan.time.tokens:
        return None, f"a planned step has {plan.time.tokens:,} tokens, a measured one {measurement.time.tokens:,}"
    return plan.time, None
