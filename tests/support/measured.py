"""Measurements that say what a plan says: nothing was run for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planner.memory.ledger import Instant, Ledgers, Levels
from planner.plan import plan
from planner.run import TrainingRun
from profiler.measure.types import MeasuredDevice, Measurement
from profiler.reconcile import without_runtime
from tests.reports.verifications import CPU, measured, measurement_of


def as_planned(run: TrainingRun, device: MeasuredDevice = CPU, factor: float = 1.0, **others: Any) -> Measurement:
    """What the plan says, times a factor, as if it had been measured; without cuBLAS, as on a CPU."""
    planned = plan(run, None)
    memory = without_runtime(planned.memory)
    peak = memory.peak_bytes
    scaled = Ledgers(
        peak_bytes=Levels(round(factor * peak.allocated), round(factor * peak.reserved), None),
        instant=memory.instant,
        basis=memory.basis,
        instants=tuple(
            Instant(at.name, {name: round(factor * size) for name, size in at.components.items()})
            for at in memory.instants
        ),
    )
    return replace(measurement_of(planned, measured(scaled), device), **others)
