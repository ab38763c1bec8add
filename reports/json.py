"""A plan, a simulation, an explanation, the catalogues and errors as JSON-like data, under the names of the design."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from planner.catalogue import Gpu, Model
from planner.coverage import reason_not_planned
from planner.memory.ledger import Interval, Ledgers
from planner.plan_types import Plan, Suggestion
from planner.time.step_time import StepTime
from reports.dataset import dataset_json

if TYPE_CHECKING:
    from planner.dataset import LengthProfile
    from planner.explain import Explanation
    from planner.job import JobTime
    from pricing.plan_quotes import PlanQuotes
    from pricing.quote import Quote
    from profiler.reconcile import Line, Reconciliation
    from profiler.simulate.types import Simulation


def to_json(
    plan: Plan,
    suggestions: Sequence[Suggestion],
    quotes: PlanQuotes | None = None,
    lengths: LengthProfile | None = None,
) -> dict[str, object]:
    """The plan; sizes in bytes, money as text. What needs a card is None without one."""
    memory = plan.memory
    return {
        "run": plan.run.to_dict(),
        "defaulted": list(plan.run.defaulted),
        "gpu": asdict(plan.gpu) if plan.gpu else None,
        "verdict": plan.verdict,
        "memory": _memory_json(memory, memory.interval_bytes, memory.allocated_interval_bytes),
        "parameters": asdict(plan.parameters),
        "footprint": asdict(plan.footprint),
        "limits": asdict(plan.limits) if plan.limits else None,
        "time": time_json(plan.time, plan.job) if plan.time else None,
        "dataset": dataset_json(lengths, plan.run.sequence_length) if lengths else None,
        "offers": [quote_json(quoted) for quoted in quotes.of_card] if quotes else None,
        "cheaper": [quote_json(quoted) for quoted in quotes.elsewhere] if quotes else None,
        "suggestions": [asdict(suggestion) for suggestion in suggestions],
        "notes": list(plan.notes),
    }


def time_json(step: StepTime, job: JobTime | None = None) -> dict[str, object]:
    """The time of a step, and of a job where one was asked for; seconds, and hours of the job."""
    slow, fast = step.tokens_per_s_interval
    low, high = job.hours_interval if job else (None, None)
    return {
        "step_s": step.step_s,
        "step_s_interval": {"low": step.low_s, "high": step.high_s, "coverage": step.coverage},
        "tokens": step.tokens,
        "tokens_per_s": step.tokens_per_s,
        "tokens_per_s_interval": {"low": slow, "high": fast, "coverage": step.coverage},
        "mfu": step.mfu,
        "hfu": step.hfu,
        "basis": step.basis,
        "terms": [asdict(term) for term in step.terms],
        "hours": job.hours if job else None,
        "hours_interval": {"low": low, "high": high, "coverage": job.coverage} if job else None,
        "job": asdict(job) if job else None,
    }


def quote_json(quoted: Quote) -> dict[str, object]:
    """What a run costs on an offer: US dollars as text, exact to the cent."""
    offer = quoted.offer
    return {
        "provider": offer.provider,
        "instance_type": offer.instance_type,
        "gpu": offer.gpu,
        "gpu_count": offer.gpu_count,
        "market": offer.market,
        "region": offer.region,
        "usd_per_hour": str(offer.usd_per_hour),
        "usd": str(quoted.usd),
        "usd_interval": {"low": str(quoted.low_usd), "high": str(quoted.high_usd)},
        "hours": quoted.hours,
        "as_of": offer.as_of.isoformat() if offer.as_of else None,
        "stale": quoted.stale,
        "source": offer.source,
        "lines": [
            {"name": line.name, "usd": None if line.usd is None else str(line.usd), "text": line.text}
            for line in quoted.lines
        ],
        "notes": list(quoted.notes),
    }


def simulation_json(
    simulation: Simulation, reconciliation: Reconciliation | None, not_estimated_because: str | None = None
) -> dict[str, object]:
    """A simulation under a plan's names; sizes in bytes.

    `reconciliation` is None where none was asked for, or where there is no estimate, for the reason given.
    """
    return {
        "run": simulation.run.to_dict(),
        "defaulted": list(simulation.run.defaulted),
        "peft_type": simulation.peft_type,
        "gpu": asdict(simulation.gpu) if simulation.gpu else None,
        "verdict": simulation.verdict,
        "memory": _memory_json(simulation.memory),
        "parameters": asdict(simulation.parameters),
        "timeline": {
            "allocated_bytes": list(simulation.timeline.allocated),
            "reserved_bytes": list(simulation.timeline.reserved),
            "instants": [{"at": at, "name": name} for at, name in simulation.timeline.instants],
        },
        "retries": simulation.retries,
        "out_of_memory": asdict(simulation.out_of_memory) if simulation.out_of_memory else None,
        "layers": simulation.layers,
        "traced_layers": simulation.traced_layers,
        "steps": simulation.steps,
        "versions": dict(simulation.versions),
        "approximations": list(simulation.approximations),
        "notes": list(simulation.notes),
        "reconciliation": reconciliation_json(reconciliation) if reconciliation else None,
        "not_estimated_because": not_estimated_because,
    }


def reconciliation_json(reconciliation: Reconciliation) -> dict[str, object]:
    """Ledgers side by side, in bytes: each list has one entry a column; null is what a column does not know.

    Differences are each earlier column less the last, so they are one fewer.
    """
    return {
        "columns": list(reconciliation.columns),
        "peaks": list(reconciliation.peaks),
        "levels": [_line_json(line) for line in reconciliation.levels],
        "instants": [
            {
                **_line_json(instant.allocated),
                "components": [_line_json(line) for line in instant.components],
            }
            for instant in reconciliation.instants
        ],
    }


def _line_json(line: Line) -> dict[str, object]:
    return {
        "name": line.name,
        "bytes": list(line.bytes),
        "differences_bytes": list(line.differences),
        "relative_differences": list(line.relative),
    }


def _memory_json(
    memory: Ledgers, reserved: Interval | None = None, allocated: Interval | None = None
) -> dict[str, object]:
    return {
        "peak_bytes": asdict(memory.peak_bytes),
        "interval_bytes": asdict(reserved) if reserved else None,
        "allocated_interval_bytes": asdict(allocated) if allocated else None,
        "instant": memory.instant,
        "basis": memory.basis,
        "instants": instants_json(memory),
    }


def instants_json(memory: Ledgers) -> list[dict[str, object]]:
    """Each instant with what is allocated then, and the components that add up to it, in bytes."""
    return [
        {
            "name": instant.name,
            "allocated_bytes": instant.allocated_bytes,
            "components": dict(instant.components),
        }
        for instant in memory.instants
    ]


def explanation_json(explanation: Explanation) -> dict[str, object]:
    """The lines that add up to one component, in bytes."""
    return {
        "component": explanation.component,
        "title": explanation.title,
        "lines": [asdict(line) for line in explanation.lines],
        "total_bytes": explanation.total_bytes,
        "source": explanation.source,
    }


def models_json(models: Iterable[Model]) -> dict[str, object]:
    """Models of the catalogue, without their configs."""
    return {
        "models": [
            {
                "id": model.id,
                "aliases": list(model.aliases),
                "parameters": model.parameters,
                "parameters_basis": model.parameters_basis,
                "not_planned_because": reason_not_planned(model),
                "dtype": model.dtype,
                "gated": model.gated,
                "license": model.license,
                "source": model.source,
                "confidence": model.confidence,
                "note": model.note,
            }
            for model in models
        ]
    }


def gpus_json(gpus: Iterable[Gpu]) -> dict[str, object]:
    """Cards of the catalogue: sizes in bytes, rates dense."""
    return {"gpus": [asdict(gpu) for gpu in gpus]}


def error_json(message: str, field: str | None, kind: str) -> dict[str, object]:
    """An error: its sentence, the field at fault, and its kind: usage, input, abstained or internal."""
    return {"error": {"message": message, "field": field, "kind": kind}}
