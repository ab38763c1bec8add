"""What a simulation says."""

from __future__ import annotations

from dataclasses import dataclass

from planner.memory.ledger import Ledgers
from planner.plan_types import Parameters, PlannedGpu
from planner.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bytes over one training step, the last one simulated, from its first allocation to its last free."""

    allocated: tuple[int, ...]
    """Live bytes, a few hundred points; each is the largest of its stretch, so that peaks are kept."""
    reserved: tuple[int, ...]
    """What the allocator holds at the same points."""
    instants: tuple[tuple[int, str], ...]
    """Where each instant begins: position in the points, and its name."""


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The allocation that failed, after the allocator gave back what it had cached and tried again."""

    requested_bytes: int
    allocated_bytes: int
    """Live tensors at that moment."""
    reserved_bytes: int
    capacity_bytes: int
    instant: str
    module: str
    """`model.layers.31.mlp.up_proj`; in a backward pass the layer only; empty outside of both."""
    operator: str
    """`aten.mm.default`; empty for what is loaded."""
    step: int
    """The training step it happens in, from 1; 0 while loading."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """One run, run on fake tensors: the ledgers that its real training stack draws up."""

    run: TrainingRun
    peft_type: str | None
    """The type of the PEFT config that stood for the run's method, where one did."""
    gpu: PlannedGpu | None
    verdict: str | None
    """fits; tight: only after the allocator has given back what it cached; does_not_fit; None without a card."""
    memory: Ledgers
    parameters: Parameters
    timeline: Timeline
    retries: int
    """How often the allocator gave back its cache because a new segment did not fit."""
    out_of_memory: OutOfMemory | None
    """With it the ledgers are those of a card that is large enough."""
    layers: int
    """Decoder layers of the model."""
    traced_layers: int
    """How many of them were run; the others are played from these."""
    steps: int
    """Training steps that were replayed through the allocator."""
    versions: tuple[tuple[str, str], ...]
    """Library -> its version, of those that ran."""
    approximations: tuple[str, ...]
    """What this simulation takes in place of what a GPU would do, a sentence each."""
    notes: tuple[str, ...]
