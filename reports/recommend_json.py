"""A recommendation as JSON."""

from __future__ import annotations

from dataclasses import asdict

from pricing.recommendation import LimitMiss, MemoryMiss, Recommendation, Way
from reports.json import quote_json
from reports.recommend import command


def recommendation_json(found: Recommendation) -> dict[str, object]:
    """Everything that was found; sizes in bytes, US dollars as text."""
    job = found.job
    return {
        "model": found.model,
        "job": {
            "examples": job.all_examples,
            "tokens": job.all_tokens,
            "epochs": job.epochs,
            "max_steps": job.max_steps,
            "sequence_length": found.sequence_length,
            "assumed": found.assumed_job,
        },
        "considered": found.considered,
        "plans": found.plans,
        "fitting": found.fitting,
        "offers": found.offers,
        "emptied_by": found.emptied_by,
        "cheapest": _way(found.cheapest),
        "fastest": _way(found.fastest),
        "frontier": [_way(way) for way in found.frontier],
        "by_method": [_way(way) for way in found.by_method],
        "near_misses": [
            *(_memory_miss(miss) for miss in found.memory_misses),
            *(_limit_miss(miss) for miss in found.limit_misses),
        ],
        "left_out": [asdict(left) for left in found.left_out],
        "gpus_without_offers": list(found.without_offers),
        "notes": list(found.notes),
    }


def _way(way: Way | None) -> dict[str, object] | None:
    if way is None:
        return None
    low, high = way.quote.low_hours, way.quote.high_hours
    return {
        "method": way.method,
        "gpu": {"name": way.gpu, "count": way.run.num_gpus, "usable_bytes": way.usable_bytes},
        "reserved_bytes": way.reserved_bytes,
        "tokens_per_s": way.job.tokens_per_s,
        "step_s": way.step.step_s,
        "hours": way.hours,
        "hours_interval": {"low": low, "high": high},
        "usd": str(way.usd),
        "quote": quote_json(way.quote),
        "job": asdict(way.job) | {"hours": way.job.hours},
        "run": way.run.to_dict(),
        "command": command(way.run, way.gpu),
        "notes": list(way.notes),
    }


def _memory_miss(miss: MemoryMiss) -> dict[str, object]:
    return {
        "reason": "memory",
        "method": miss.method,
        "gpu": {"name": miss.gpu, "count": miss.run.num_gpus, "usable_bytes": miss.usable_bytes},
        "needed_bytes": miss.needed_bytes,
        "high_bytes": miss.high_bytes,
        "usd_per_hour": str(miss.usd_per_hour),
        "run": miss.run.to_dict(),
    }


def _limit_miss(miss: LimitMiss) -> dict[str, object]:
    return {
        "reason": miss.limit,
        "method": miss.method,
        "over_usd": None if miss.over_usd is None else str(miss.over_usd),
        "over_hours": miss.over_hours,
        "way": _way(miss.way),
    }
