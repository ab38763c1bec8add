"""Measurements made by hand for the views: nothing was run for them."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from planner.memory.ledger import Instant, Ledgers, Levels
from planner.plan_types import Plan
from planner.time.step_time import StepTime, Term
from planner.units import GIB, MIB
from profiler.measure.types import (
    DONE,
    OUT_OF_MEMORY,
    MeasuredDevice,
    MeasuredLevels,
    MeasuredOutOfMemory,
    MeasuredTime,
    Measurement,
    Sampled,
    Slices,
    StepSample,
)
from profiler.reconcile import without_runtime
from profiler.verification import Verification, verified
from tests.reports.samples import full_that_does_not_fit, lora_without_a_card
from tests.reports.simulations import VERSIONS, ledgers_apart, simulation_of, that_fits

A100 = MeasuredDevice(
    kind="cuda",
    name="NVIDIA A100-SXM4-80GB",
    gpu="a100-80",
    memory_bytes=80 * GIB,
    free_bytes=int(78.6 * GIB),
    usable_bytes=int(78.6 * GIB),
    driver="580.95.05",
    runtime="CUDA 13.0",
    compute_capability="8.0",
)
T4 = replace(
    A100,
    name="Tesla T4",
    gpu="T4",
    memory_bytes=15 * GIB,
    free_bytes=int(14.3 * GIB),
    usable_bytes=int(14.3 * GIB),
    compute_capability="7.5",
)
CPU = MeasuredDevice("cpu", "AMD EPYC 7B13", None, 64 * GIB, 60 * GIB, None, None, None, None)

NOTHING_SAMPLED = Sampled(0, None, None, None, None, None, None, None)
ON_A_CARD = Sampled(412, 6 * GIB, int(47.8 * GIB), int(48.4 * GIB), 371.0, 1395.0, 1350, 61)

PLANNED_TIME = StepTime(
    step_s=5.6,
    low_s=5.2,
    high_s=6.5,
    coverage=0.9,
    tokens=2048,
    terms=(
        Term("matrix products", 2.4, ""),
        Term("recomputation", 1.8, ""),
        Term("other kernels", 1.2, ""),
        Term("launches", 0.1, ""),
        Term("optimizer", 0.08, ""),
        Term("between steps", 0.02, ""),
    ),
    mfu=0.33,
    hfu=0.5,
    basis="by hand",
)


def time_of(*step_s: float, tokens: int = 2048, mfu: float | None = 0.34, hfu: float | None = 0.51) -> MeasuredTime:
    """Steps that are 30 % forward, 65 % backward and 4 % the optimizer's."""
    samples = tuple(StepSample(step, 0.3 * step, 0.65 * step, 0.04 * step) for step in step_s)
    mean = fmean(step_s)
    return MeasuredTime(samples, tokens, mean, 0.99 * mean, 1.01 * mean, 0.95, mfu, hfu)


def measured(ledgers: Ledgers, reserved: int | None = None) -> Ledgers:
    """The same ledgers as if they had been measured."""
    levels = ledgers.peak_bytes if reserved is None else replace(ledgers.peak_bytes, reserved=reserved)
    return replace(ledgers, basis="measurement", peak_bytes=levels)


def measurement_of(plan: Plan, memory: Ledgers | None, device: MeasuredDevice = A100, **others: object) -> Measurement:
    """Steps of a plan's run that took so much."""
    measurement = Measurement(
        run=plan.run,
        device=device,
        outcome=DONE,
        memory=memory,
        levels=(),
        time=None,
        sampled=NOTHING_SAMPLED,
        out_of_memory=None,
        slices=None,
        parameters=plan.parameters,
        layers=80,
        retries=0,
        loss=2.3125,
        weights="random",
        versions=(("python", "3.11.9"), *VERSIONS),
        notes=(),
    )
    return replace(measurement, **others)


def levels_of(ledgers: Ledgers) -> tuple[MeasuredLevels, ...]:
    """By instant, 1.3 GiB cached at each and 0.5 GiB of context."""
    return tuple(
        MeasuredLevels(
            at.name,
            at.allocated_bytes,
            at.allocated_bytes + int(1.3 * GIB),
            at.allocated_bytes + int(1.8 * GIB),
            at.allocated_bytes + int(2.4 * GIB),
            6 * GIB if at.name != "load" else None,
        )
        for at in ledgers.instants
    )


FAILED = MeasuredOutOfMemory(
    requested_bytes=112 * MIB,
    allocated_bytes=int(14.05 * GIB),
    reserved_bytes=int(14.22 * GIB),
    capacity_bytes=int(14.3 * GIB),
    instant="optimizer_step",
    step=1,
    message="CUDA out of memory.",
)


def within() -> Verification:
    """Llama-3.1-70B by QLoRA on an A100: the simulation is as measured, the estimate lacks logits."""
    simulation, plan = that_fits()
    plan = replace(plan, time=PLANNED_TIME)
    memory = measured(ledgers_apart(plan, {"logits_and_loss": 1.3, "saved_activations": 1.01}, cache=1.3))
    measurement = measurement_of(
        plan,
        memory,
        levels=levels_of(memory),
        time=time_of(5.81, 5.79, 5.84, 5.8),
        sampled=ON_A_CARD,
        notes=("4 steps were timed where 8 were asked for: --max-seconds was reached",),
    )
    return verified(measurement, plan, None, simulation, None)


def outside() -> Verification:
    """The same where the allocator holds 5 GiB of holes and the card is throttled."""
    simulation, plan = that_fits()
    plan = replace(plan, time=PLANNED_TIME)
    memory = measured(ledgers_apart(plan, {"saved_activations": 1.01}, cache=6.2))
    slow = replace(ON_A_CARD, lowest_sm_clock_mhz=705, temperature_c=88)
    measurement = measurement_of(
        plan, memory, time=time_of(9.2, 7.1, 7.0, 7.2), sampled=slow, retries=3, loss=float("nan")
    )
    return verified(measurement, plan, None, simulation, None)


def out_of_memory() -> Verification:
    """Full fine-tuning of Mistral-7B on a T4, as was said."""
    plan, _ = full_that_does_not_fit()
    measurement = measurement_of(plan, None, T4, outcome=OUT_OF_MEMORY, out_of_memory=FAILED, layers=32, loss=None)
    return verified(measurement, plan, None, None, "the training stack is not installed")


def small(ledgers: Ledgers) -> Ledgers:
    """The same ledgers in MiB where they were in GiB."""
    peak = ledgers.peak_bytes
    process = peak.process and peak.process // 1024
    instants = tuple(
        Instant(at.name, {name: size // 1024 for name, size in at.components.items()}) for at in ledgers.instants
    )
    largest = max(at.allocated_bytes for at in instants)
    return replace(ledgers, instants=instants, peak_bytes=Levels(largest, peak.reserved // 1024, process))


def on_a_cpu() -> Verification:
    """A thousandth of TinyLlama by LoRA on a CPU."""
    whole = lora_without_a_card()
    simulated = small(ledgers_apart(whole, {"saved_activations": 1.02}, cache=0.1))
    plan = replace(whole, memory=small(whole.memory))
    simulation = simulation_of(plan, simulated, None, layers=22)
    memory = measured(without_runtime(simulation.memory))
    measurement = measurement_of(
        plan,
        memory,
        CPU,
        layers=22,
        levels=tuple(MeasuredLevels(at.name, at.allocated_bytes, None, None, None, GIB // 2) for at in memory.instants),
        time=time_of(0.21, 0.2, mfu=None, hfu=None),
        sampled=replace(NOTHING_SAMPLED, host_peak_bytes=GIB // 2),
    )
    return verified(measurement, plan, None, simulation, None)


def slices() -> Verification:
    """Llama-3.1-70B for an A100, measured in slices on a T4."""
    simulation, plan = that_fits()
    memory = measured(without_runtime(simulation.memory))
    measurement = measurement_of(
        plan,
        memory,
        T4,
        slices=Slices((2, 3), 80, ("each instant is a line through 2 and 3 layers", "so is each phase of a step")),
        time=replace(time_of(1.1, 1.12), step_s=41.0, low_s=40.0, high_s=42.0, mfu=None, hfu=None),
    )
    return verified(measurement, replace(plan, time=PLANNED_TIME), None, simulation, None)


def nothing_said() -> Verification:
    """A run that neither formulas nor simulator know."""
    _, plan = that_fits()
    measurement = measurement_of(plan, measured(ledgers_apart(plan, {})))
    return verified(measurement, None, "there are no activation formulas for NemotronH", None, "it has no layers")


VERIFICATIONS = {
    "within": within,
    "outside": outside,
    "out_of_memory": out_of_memory,
    "cpu": on_a_cpu,
    "slices": slices,
    "nothing_said": nothing_said,
}
