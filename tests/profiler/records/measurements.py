"""Measurements made by hand: their figures are a plan's, moved a little, and nothing was run for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from functools import cache

from planner.catalogue import find_gpu
from planner.memory.ledger import Instant, Ledgers, Levels
from planner.plan import plan
from planner.plan_types import Plan
from planner.run import TrainingRun
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
from profiler.records.record import Record, record_of

RUN = TrainingRun(model="llama-3.1-8b", method="qlora")
DAY = datetime(2026, 7, 29, 10, 11, 12, tzinfo=timezone.utc)
VERSIONS = (
    ("python", "3.11.9"),
    ("torch", "2.13.0"),
    ("transformers", "5.23.0"),
    ("peft", "0.21.2"),
    ("bitsandbytes", "0.50.2"),
)
SAMPLES = tuple(StepSample(1.5 + 0.01 * number, 0.5, 0.875, 0.125) for number in range(3))
A100 = MeasuredDevice(
    kind="cuda",
    name="NVIDIA A100-SXM4-80GB",
    gpu=find_gpu("a100-80").gpu.name,
    memory_bytes=85_094_825_984,
    free_bytes=84_000_000_000,
    usable_bytes=83_900_000_000,
    driver="580.95.05",
    runtime="CUDA 13.0",
    compute_capability="8.0",
)
CPU = MeasuredDevice(
    kind="cpu",
    name="Some Xeon @ 2.00GHz",
    gpu=None,
    memory_bytes=64 * GIB,
    free_bytes=60 * GIB,
    usable_bytes=None,
    driver=None,
    runtime=None,
    compute_capability=None,
)


@cache
def planned(run: TrainingRun = RUN, gpu: str | None = "a100-80") -> Plan:
    """The plan of a run, worked out once."""
    return plan(run, gpu)


def measured(run: TrainingRun = RUN, device: MeasuredDevice = A100, share: float = 1.05) -> Measurement:
    """The whole model: every component is `share` of what the plan has."""
    estimate = planned(run, None).memory
    instants = tuple(
        Instant(instant.name, {name: round(size * share) for name, size in instant.components.items()})
        for instant in estimate.instants
    )
    peak = max(instants, key=lambda instant: instant.allocated_bytes)
    reserved = peak.allocated_bytes + 256 * MIB
    cuda = device.kind == "cuda"
    return Measurement(
        run=run,
        device=device,
        outcome=DONE,
        memory=Ledgers(
            peak_bytes=Levels(
                peak.allocated_bytes,
                reserved if cuda else peak.allocated_bytes,
                reserved + 500 * MIB if cuda else None,
            ),
            instant=peak.name,
            basis="measurement",
            instants=instants,
        ),
        levels=tuple(
            MeasuredLevels(
                instant.name,
                instant.allocated_bytes,
                reserved if cuda else None,
                reserved + 500 * MIB if cuda else None,
                None,
                3 * GIB,
            )
            for instant in instants
        ),
        time=MeasuredTime(SAMPLES, run.sequence_length, 1.51, 1.48, 1.54, 0.95, 0.4, 0.5),
        sampled=Sampled(1000, 3 * GIB, reserved + 500 * MIB if cuda else None, None, 350.5, 1410.0, 1200, 61),
        out_of_memory=None,
        slices=None,
        parameters=planned(run, None).parameters,
        layers=32,
        retries=0,
        loss=11.7,
        weights="random",
        versions=VERSIONS,
        notes=("The card's clocks were not locked",),
    )


def out_of_memory(run: TrainingRun = RUN, device: MeasuredDevice = A100) -> Measurement:
    """Memory ran out in the first forward pass."""
    failed = MeasuredOutOfMemory(
        2 * GIB, 79 * GIB, 80 * GIB, 81 * GIB, "end_of_forward", 1, "CUDA out of memory. Tried to allocate 2.00 GiB."
    )
    return replace(
        measured(run, device), outcome=OUT_OF_MEMORY, memory=None, levels=(), time=None, out_of_memory=failed, loss=None
    )


def in_slices(run: TrainingRun = RUN) -> Measurement:
    """Extrapolated from two and three layers."""
    extrapolated = ("each instant's components, by a line through both depths", "each time, in the same way")
    return replace(measured(run, share=1.02), levels=(), slices=Slices((2, 3), 32, extrapolated))


def recorded(measurement: Measurement | None = None, when: datetime = DAY, **environment: str) -> Record:
    """The record of a measurement; by default of `measured()`, in a bare environment."""
    return record_of(measurement or measured(), when=when, environment=environment)
