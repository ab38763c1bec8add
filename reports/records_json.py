"""Stored measurements as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from profiler.records.key import key_parts
from profiler.records.record import Record


def records_json(records: Sequence[Record], path: Path, unreadable: Sequence[str] = ()) -> dict[str, object]:
    """What the table has of each record: sizes in bytes, null for what is not known."""
    return {
        "file": str(path),
        "count": len(records),
        "records": [_summary(record) for record in records],
        "unreadable": list(unreadable),
    }


def record_json(record: Record) -> dict[str, object]:
    """All of a record as it is stored, and what its key was made of."""
    document = cast("dict[str, object]", json.loads(record.text))
    parts = key_parts(*(cast("dict[str, object]", document[name]) for name in ("measurement", "config", "environment")))
    return {**document, "key_parts": parts}


def export_json(path: Path, records: Sequence[Record], rows: int, unreadable: Sequence[str] = ()) -> dict[str, object]:
    """What was written."""
    return {
        "file": str(path),
        "records": [record.id for record in records],
        "rows": rows,
        "unreadable": list(unreadable),
    }


def import_json(path: Path, records: Sequence[Record], new: int) -> dict[str, object]:
    """What was read, and how many of it were new."""
    return {"file": str(path), "records": [record.id for record in records], "new": new}


def _summary(record: Record) -> dict[str, object]:
    measurement = record.measurement
    memory, time, device = measurement.memory, measurement.time, measurement.device
    return {
        "id": record.id,
        "when": record.when,
        "key": record.key,
        "model": measurement.run.model,
        "method": measurement.run.method,
        "quantization": measurement.run.quantization,
        "device": {"kind": device.kind, "name": device.name, "gpu": device.gpu},
        "outcome": measurement.outcome,
        "slices": list(measurement.slices.depths) if measurement.slices is not None else None,
        "peak_bytes": asdict(memory.peak_bytes) if memory is not None else None,
        "instant": memory.instant if memory is not None else None,
        "tokens_per_s": time.tokens_per_s if time is not None else None,
        "step_s": time.step_s if time is not None else None,
        "versions": dict(measurement.versions),
    }
