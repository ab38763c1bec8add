"""A plan, an explanation, the catalogues and errors as JSON-like data, under the names of the design."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from planner.catalogue import Gpu, Model
from planner.coverage import reason_not_planned
from planner.plan_types import Plan, Suggestion

if TYPE_CHECKING:
    from planner.explain import Explanation


def to_json(plan: Plan, suggestions: Sequence[Suggestion]) -> dict[str, object]:
    """The plan; sizes in bytes. `gpu`, `verdict` and `limits` are None without a card."""
    memory = plan.memory
    return {
        "run": plan.run.to_dict(),
        "defaulted": list(plan.run.defaulted),
        "gpu": asdict(plan.gpu) if plan.gpu else None,
        "verdict": plan.verdict,
        "memory": {
            "peak_bytes": asdict(memory.peak_bytes),
            "interval_bytes": asdict(memory.interval_bytes),
            "instant": memory.instant,
            "basis": memory.basis,
            "instants": [
                {
                    "name": instant.name,
                    "allocated_bytes": instant.allocated_bytes,
                    "components": dict(instant.components),
                }
                for instant in memory.instants
            ],
        },
        "parameters": asdict(plan.parameters),
        "footprint": asdict(plan.footprint),
        "limits": asdict(plan.limits) if plan.limits else None,
        "suggestions": [asdict(suggestion) for suggestion in suggestions],
        "notes": list(plan.notes),
    }


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
