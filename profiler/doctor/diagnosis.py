"""What `examine` finds of a machine."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.doctor.libraries import BitsAndBytes, Library
from profiler.measure.device.nvml import CardProcess
from profiler.measure.types import MeasuredDevice

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True, slots=True)
class FoundCard:
    """A card of this machine as NVML has it, whether or not torch may use it. None: not known."""

    index: int
    """nvidia-smi's number."""
    name: str | None
    uuid: str | None
    total_bytes: int | None
    free_bytes: int | None
    compute_capability: str | None
    mig: bool | None
    """Whether it is cut into slices."""
    temperature_c: int | None
    slowed_by: tuple[str, ...] | None
    processes: tuple[CardProcess, ...] | None
    """All but this one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, with what to do unless all is well."""

    level: str
    """ok, warning or problem."""
    text: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found. Sizes in bytes; None: not known, or not there."""

    python: str
    system: str
    runtime: str | None
    """What torch is built for: `CUDA 13.0`, `ROCm 6.4`, `CPU`."""
    driver: str | None
    driver_cuda: str | None
    """The newest CUDA version that the driver speaks: `13.0`."""
    cuda_visible_devices: str | None
    cards: tuple[FoundCard, ...]
    libraries: tuple[Library, ...]
    bitsandbytes: BitsAndBytes | None
    host_total_bytes: int | None
    host_available_bytes: int | None
    cache_folder: str | None
    disk_free_bytes: int | None
    """Where the cache folder is, or would be."""
    usable: MeasuredDevice | None
    """The device that verify would take."""
    findings: tuple[Finding, ...]
