"""Ledgers of one plan, in bytes: components at instants, and the levels a peak is counted at."""

from __future__ import annotations

from dataclasses import dataclass

COMPONENTS: tuple[str, ...] = (
    "base_weights",
    "adapters",
    "optimizer_states",
    "gradients",
    "saved_activations",
    "logits_and_loss",
    "temporaries",
    "runtime",
)
"""What bytes are for, in the order they are shown.

runtime is what libraries keep inside PyTorch's allocator (cuBLAS workspaces); the CUDA context is
outside it and part of the process level only.
"""


MEASUREMENT = "measurement"
"""The basis of what was measured, also where that stands in for an estimate."""


@dataclass(frozen=True, slots=True)
class Instant:
    """The ledger at one named moment of a step: component -> bytes. Its sum is what is allocated then."""

    name: str
    """load, end_of_forward, loss, first_backward_block, middle_backward_block, last_backward_block,
    optimizer_step or evaluation."""
    components: dict[str, int]

    @property
    def allocated_bytes(self) -> int:
        """Live tensors at this instant."""
        return sum(self.components.values())


@dataclass(frozen=True, slots=True)
class Levels:
    """One peak, counted in three ways that are never compared with each other. In bytes."""

    allocated: int
    """Live tensors (`torch.cuda.max_memory_allocated`)."""
    reserved: int
    """What the caching allocator holds (`torch.cuda.max_memory_reserved`): this decides an out-of-memory."""
    process: int | None
    """What nvidia-smi shows: reserved and the CUDA context; None without a card, whose context it is."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The range a level is expected in, with the share of measured runs that it is meant to hold."""

    level: str
    low: int
    high: int
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """The ledgers of a step on one GPU: what an estimate, a simulation and a measurement all have."""

    peak_bytes: Levels
    instant: str
    """The instant of the peak."""
    basis: str
    """How the figures are known: `formula`, `simulation` or `measurement`."""
    instants: tuple[Instant, ...]

    @property
    def peak(self) -> Instant:
        """The ledger at the peak."""
        return next(instant for instant in self.instants if instant.name == self.instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Ledgers):
    """The memory of a step as the planner estimates it: its ledgers, and how far off they may be."""

    interval_bytes: Interval
    """Of the reserved peak, which decides an out-of-memory."""
    allocated_interval_bytes: Interval
    """Of the allocated peak."""
