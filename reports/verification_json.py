"""A verification as JSON-like data, under the names of a plan."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite

from planner.memory.ledger import Ledgers
from profiler.measure.types import MeasuredLevels, MeasuredTime
from profiler.phases import Phase
from profiler.verification import Verification
from reports.json import instants_json, reconciliation_json, time_json


def verification_json(verification: Verification, *, record: str | None = None) -> dict[str, object]:
    """The verification; sizes in bytes, times in seconds. None is what is not known, or was not there.

    `record`: where the measurement was stored.
    """
    measurement, reconciliation = verification.measurement, verification.reconciliation
    loss = measurement.loss
    return {
        "run": measurement.run.to_dict(),
        "defaulted": list(measurement.run.defaulted),
        "device": asdict(measurement.device),
        "outcome": measurement.outcome,
        "verdict": verification.verdict,
        "because": verification.because,
        "tolerance": verification.tolerance,
        "level": verification.level,
        "check_time": verification.check_time,
        "memory": _memory_json(measurement.memory) if measurement.memory else None,
        "levels": [_level_json(level) for level in measurement.levels],
        "out_of_memory": asdict(measurement.out_of_memory) if measurement.out_of_memory else None,
        "retries": measurement.retries,
        "reconciliation": reconciliation_json(reconciliation) if reconciliation else None,
        "without_runtime": verification.without_runtime,
        "another_card": verification.another_card,
        "not_estimated_because": verification.why_no_plan,
        "not_simulated_because": verification.why_no_simulation,
        "causes": [asdict(cause) for cause in verification.causes],
        "time": _time_json(measurement.time, verification) if measurement.time else None,
        "parameters": asdict(measurement.parameters),
        "layers": measurement.layers,
        "slices": asdict(measurement.slices) if measurement.slices else None,
        "sampled": asdict(measurement.sampled),
        # JSON has no nan and no infinity
        "loss": loss if loss is not None and isfinite(loss) else None,
        "loss_is_finite": None if loss is None else isfinite(loss),
        "weights": measurement.weights,
        "versions": dict(measurement.versions),
        "record": record,
        "notes": list(measurement.notes),
    }


def _memory_json(memory: Ledgers) -> dict[str, object]:
    return {
        "peak_bytes": asdict(memory.peak_bytes),
        "instant": memory.instant,
        "basis": memory.basis,
        "instants": instants_json(memory),
    }


def _level_json(levels: MeasuredLevels) -> dict[str, object]:
    return {f"{name}_bytes" if name != "name" else name: value for name, value in asdict(levels).items()}


def _time_json(time: MeasuredTime, verification: Verification) -> dict[str, object]:
    """What was measured, and the estimate under `estimate`."""
    estimate = verification.estimated_time
    fast = time.tokens / time.low_s if time.low_s > 0 else None
    return {
        "step_s": time.step_s,
        "step_s_interval": {"low": time.low_s, "high": time.high_s, "coverage": time.coverage},
        "tokens": time.tokens,
        "tokens_per_s": time.tokens_per_s,
        "tokens_per_s_interval": {"low": time.tokens / time.high_s, "high": fast, "coverage": time.coverage},
        "mfu": time.mfu,
        "hfu": time.hfu,
        "samples": [asdict(sample) for sample in time.samples],
        "phases": [_phase_json(phase) for phase in verification.phases],
        "estimate": time_json(estimate) if estimate else None,
        "not_estimated_because": verification.why_no_estimated_time,
        "within_interval": verification.time_within,
    }


def _phase_json(phase: Phase) -> dict[str, object]:
    return {
        "name": phase.name,
        "terms": list(phase.terms),
        "estimate_s": phase.estimate_s,
        "measured_s": phase.measured_s,
        "relative_difference": phase.relative,
    }
