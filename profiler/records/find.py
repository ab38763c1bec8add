"""Finding records among those that are stored: by words, or by the beginning of an id."""

from __future__ import annotations

from collections.abc import Sequence

from planner.catalogue.spelling import shown_path, squash
from planner.errors import InputError
from planner.run.wording import shown
from profiler.measure.types import OUT_OF_MEMORY
from profiler.records.record import Record

SHORTEST = 4
"""Characters of an id that are enough to name a record."""


def holding(words: Sequence[str], records: Sequence[Record]) -> list[Record]:
    """The records whose model, method, card, outcome or date hold all words, or whose id begins with one.

    Raises `InputError` where there is none.
    """
    keys = [(squash(word), word.casefold()) for word in words]
    found = [
        record
        for record in records
        if all(record.id.startswith(word) or any(key in part for part in _described(record)) for key, word in keys)
    ]
    if words and not found:
        raise InputError(
            f"none of the {len(records):,} records holds {shown(' '.join(words))}; give words of a model, a method, a "
            "card or a date, or the beginning of an id",
            field="query",
        )
    return found


def named(identity: str, records: Sequence[Record], path: object) -> Record:
    """The record whose id begins with `identity`. Raises `InputError` where there is none, or several."""
    beginning = identity.strip().casefold()
    if len(beginning) < SHORTEST:
        raise InputError(
            f"{shown(identity)} is too short for a record's id; give at least {SHORTEST} characters of one that "
            "`lora-plan records` lists",
            field="id",
        )
    found = [record for record in records if record.id.startswith(beginning)]
    if not found:
        raise InputError(
            f"no record in {shown_path(path)} has an id that begins with {shown(identity)}; `lora-plan records` lists "
            "them",
            field="id",
        )
    if len(found) > 1:
        longer = ", ".join(record.id[: len(beginning) + 8] for record in found[:3])
        raise InputError(
            f"{len(found):,} records have an id that begins with {shown(identity)}; give more of one, such as {longer}",
            field="id",
        )
    return found[0]


def _described(record: Record) -> list[str]:
    measurement = record.measurement
    run, device = measurement.run, measurement.device
    outcome = "out of memory oom" if measurement.outcome == OUT_OF_MEMORY else measurement.outcome
    slices = "slices" if measurement.slices is not None else "whole"
    names = (run.model, run.method, run.quantization, device.kind, device.name, device.gpu or "", record.when[:10])
    return [squash(name) for name in (*names, outcome, slices)]
