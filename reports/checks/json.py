"""What was checked, as JSON-like data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from reports.checks.checked import CheckedRun, broken
from reports.comparison.comparison import compare_plans
from reports.comparison.sentence import sentence
from reports.comparison.sides import Planned, Unplanned


def check_json(runs: Sequence[CheckedRun]) -> dict[str, object]:
    """Each run with its limits: GiB, shares and hours as numbers, dollars as text."""
    return {"ok": not broken(runs), "runs": [_run_json(run) for run in runs]}


def _run_json(run: CheckedRun) -> dict[str, object]:
    side = run.side
    planned = side.plan if isinstance(side, Planned) else None
    return {
        "file": side.name,
        "gpu": asdict(planned.gpu) if planned is not None and planned.gpu is not None else None,
        "run": planned.run.to_dict() if planned is not None else None,
        "ok": run.ok,
        "not_planned_because": side.reason if isinstance(side, Unplanned) else None,
        "refused": run.refused,
        "limits": [asdict(check) for check in run.limits],
        "uncounted": [setting.key for setting in side.uncounted] if isinstance(side, Planned) else [],
        "comparison": _comparison_json(run) if run.base is not None else None,
    }


def _comparison_json(run: CheckedRun) -> dict[str, object]:
    assert run.base is not None
    told: dict[str, object] = {"base": run.base.name, "sentence": sentence(run.base, run.side)}
    if isinstance(run.base, Unplanned) or isinstance(run.side, Unplanned):
        return told
    comparison = compare_plans(run.base, run.side)
    return told | {
        "reserved_bytes": comparison.reserved_bytes.difference,
        "hours": comparison.hours.difference if comparison.hours else None,
        "usd": str(comparison.usd.difference) if comparison.usd else None,
        "fields": [asdict(field) for field in comparison.fields],
    }
