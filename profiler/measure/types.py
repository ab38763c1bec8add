"""What a measurement says."""

from __future__ import annotations

from dataclasses import dataclass

from planner.memory.ledger import Ledgers
from planner.plan_types import Parameters
from planner.run import TrainingRun

DONE, OUT_OF_MEMORY = "done", "out_of_memory"


@dataclass(frozen=True, slots=True)
class MeasuredDevice:
    """The device that steps were run on, as its driver and torch describe it."""

    kind: str
    """cuda, xpu, mps or cpu."""
    name: str
    """As torch says it: `NVIDIA A100-SXM4-80GB`; of a CPU, its model."""
    gpu: str | None
    """The catalogue's name of the card, where it knows one: `a100-80`."""
    memory_bytes: int
    """Of the card, or of the host for a CPU."""
    free_bytes: int
    """Before anything was loaded."""
    usable_bytes: int | None
    """What PyTorch's allocator can reserve of an empty card; None where there is no such allocator."""
    driver: str | None
    """Version of the driver: `580.95.05`."""
    runtime: str | None
    """What torch was built for: `CUDA 13.0`, `ROCm 6.4`."""
    compute_capability: str | None
    """`8.0`"""


@dataclass(frozen=True, slots=True)
class MeasuredLevels:
    """What was in use at the highest point of one instant, in bytes, level by level. None: not known there."""

    name: str
    """The instant, as in `planner.memory.ledger.Instant`."""
    allocated: int
    reserved: int | None
    process: int | None
    """What the driver counts for this process (NVML)."""
    device: int | None
    """What is in use on the whole card, other processes too (NVML)."""
    host: int | None
    """Resident host memory of the process."""


@dataclass(frozen=True, slots=True)
class StepSample:
    """Seconds of one timed optimizer step."""

    step_s: float
    forward_s: float
    """All micro-batches together, the loss too."""
    backward_s: float
    optimizer_s: float
    """Clipping, the update and `zero_grad`."""


@dataclass(frozen=True, slots=True)
class MeasuredTime:
    """Timed steps, after the warm-up."""

    samples: tuple[StepSample, ...]
    tokens: int
    """Positions of one step, padding included."""
    step_s: float
    """Mean of the samples; extrapolated where the model was measured in slices."""
    low_s: float
    high_s: float
    """The interval of the mean, by Student's t; with one sample both are `step_s`."""
    coverage: float
    mfu: float | None
    """Model FLOPs utilization, recomputation not counted; None where the card's dense rate is not known."""
    hfu: float | None
    """Hardware FLOPs utilization: recomputed FLOPs too."""

    @property
    def tokens_per_s(self) -> float:
        """Of the whole device."""
        return self.tokens / self.step_s


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a thread saw between the instants, every few milliseconds. None: not known there."""

    samples: int
    host_peak_bytes: int | None
    """Most resident host memory of the process."""
    process_peak_bytes: int | None
    device_peak_bytes: int | None
    power_w: float | None
    """Mean over the timed steps."""
    sm_clock_mhz: float | None
    """Mean over the timed steps."""
    lowest_sm_clock_mhz: int | None
    temperature_c: int | None
    """Highest."""


@dataclass(frozen=True, slots=True)
class MeasuredOutOfMemory:
    """The allocation that failed."""

    requested_bytes: int | None
    allocated_bytes: int | None
    reserved_bytes: int | None
    capacity_bytes: int | None
    instant: str
    """As in `planner.memory.ledger.Instant`."""
    step: int
    """From 1; 0 while loading."""
    message: str
    """torch's own first sentence."""


@dataclass(frozen=True, slots=True)
class Slices:
    """What a measurement was extrapolated from."""

    depths: tuple[int, ...]
    """Layers of each model that was run."""
    layers: int
    """Of the model that it stands for."""
    extrapolated: tuple[str, ...]
    """What was extrapolated and how, a sentence each."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Real steps of one run on one device."""

    run: TrainingRun
    device: MeasuredDevice
    outcome: str
    """`done` or `out_of_memory`."""
    memory: Ledgers | None
    """Basis `measurement`. None where memory ran out before there was a whole step."""
    levels: tuple[MeasuredLevels, ...]
    """By instant, in the order of a step; empty for slices, of which only the ledgers stand for the whole model."""
    time: MeasuredTime | None
    """None where no step was timed."""
    sampled: Sampled
    out_of_memory: MeasuredOutOfMemory | None
    slices: Slices | None
    """None where the whole model was run."""
    parameters: Parameters
    layers: int
    """Decoder layers of the model that the figures stand for."""
    retries: int
    """How often the allocator gave back its cache because a new segment did not fit."""
    loss: float | None
    """Of the last step; may be nan or infinite."""
    weights: str
    """`random`, or where they were loaded from."""
    versions: tuple[tuple[str, str], ...]
    """Library -> its version: python, torch, transformers, peft, bitsandbytes and what else ran."""
    notes: tuple[str, ...]
