"""What a plan says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.memory.ledger import Memory
from planner.run import TrainingRun
from planner.time.step_time import StepTime

if TYPE_CHECKING:
    from planner.job import JobTime


@dataclass(frozen=True, slots=True)
class PlannedGpu:
    """The card a run is planned for."""

    name: str
    count: int
    memory_bytes: int
    """What the driver reports."""
    usable_bytes: int
    """What PyTorch's allocator can reserve of it."""
    context_bytes: int
    """What the process takes besides: the CUDA context, and NCCL's buffers where there are several cards."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts of parameters, as PEFT's `get_nb_trainable_parameters` has them."""

    total: int
    trainable: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the run needs beside the GPU's memory, in bytes."""

    adapter_file_bytes: int
    """`adapter_model.safetensors`, or the model's own weights after full fine-tuning."""
    checkpoint_bytes: int
    """One Trainer checkpoint: the trained weights and the optimizer's states."""
    host_ram_bytes: int
    """Host memory to load the model and, where the run offloads to it, to train."""
    merge_ram_bytes: int
    """Memory to merge the adapter into a 16-bit base; 0 where there is nothing to merge."""
    disk_bytes: int
    """The download, one checkpoint and the final file."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest run of this kind that still fits, everything else as it is; None where even 1 does not fit."""

    max_micro_batch_size: int | None
    max_seq_len: int | None
    max_position_embeddings: int | None
    """The longest sequence the model itself was made for, whatever fits."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One change to the run or the card, with its number."""

    text: str
    """`use an 8-bit optimizer (--optimizer adamw_bnb_8bit)`"""
    change: dict[str, object]
    """Fields of the run that change, or {"gpu": name}."""
    frees_bytes: int
    """Of the reserved peak; 0 for another card."""
    reserved_bytes: int
    """The reserved peak afterwards."""
    fits: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One run on one card (or on none yet): whether it fits, and where every byte goes."""

    run: TrainingRun
    gpu: PlannedGpu | None
    verdict: str | None
    """fits: the whole interval is within the usable memory; tight: only part of it; does_not_fit: none of
    it; None without a card."""
    memory: Memory
    parameters: Parameters
    footprint: Footprint
    limits: Limits | None
    notes: tuple[str, ...]
    time: StepTime | None = None
    """Of an optimizer step on that card; None without one, or where a note says why it is not known."""
    job: JobTime | None = None
    """Of everything that was asked for; None where no job was."""
