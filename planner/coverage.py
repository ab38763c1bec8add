"""Which catalogue models can be planned, and why the others cannot."""

from __future__ import annotations

from planner.catalogue import Model
from planner.plan import resolve


def reason_not_planned(model: Model) -> str:
    """Why the activations of a catalogue model are in no table; empty where they are."""
    _, architecture = resolve(model.id)
    return architecture.no_program_reason if architecture.program is None else ""
