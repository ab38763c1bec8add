"""CUDA, and ROCm, which torch calls by the same names: every call that only a GPU can answer is made here."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Any, cast

import torch

from planner.catalogue.gpus import context_of
from profiler.measure.device import nvml
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.device.catalogued import catalogued
from profiler.measure.types import MeasuredDevice

_OUT_OF_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "cudaErrorMemoryAllocation", "hipErrorOutOfMemory")
"""How memory that ran out beside torch's allocator is told: by cuBLAS, by kernels of other libraries."""


class Cuda:
    """The current card: the first that CUDA_VISIBLE_DEVICES leaves, or the one that a trainer's rank has chosen."""

    def __init__(self) -> None:
        self.kind = "cuda"
        self.torch_device = torch.device("cuda", torch.cuda.current_device())

    def described(self) -> MeasuredDevice:
        """As it is now. The first call makes the CUDA context, which then is not free any more."""
        free, total = torch.cuda.mem_get_info(self.torch_device)
        properties = torch.cuda.get_device_properties(self.torch_device)
        return MeasuredDevice(
            kind=self.kind,
            name=properties.name,
            gpu=catalogued(properties.name, total),
            memory_bytes=total,
            free_bytes=free,
            usable_bytes=total - self.context_bytes(),
            driver=None if torch.version.hip else nvml.driver_version(),
            runtime=built_for(),
            compute_capability=_capability(properties),
        )

    def card(self) -> nvml.Card | None:
        """The same card as NVML has it, whose order CUDA_VISIBLE_DEVICES does not change; None under ROCm."""
        properties = torch.cuda.get_device_properties(self.torch_device)
        return None if torch.version.hip else nvml.open_card(str(properties.uuid))

    def context_bytes(self) -> int:
        """What this process holds of the card beside torch's allocator.

        As NVML counts it; where it does not, what the catalogue knows of the card's compute capability.
        """
        card = self.card()
        process = card.process_bytes(os.getpid()) if card else None
        if process and process > self.allocator().reserved:
            return process - self.allocator().reserved
        return context_of(_capability(torch.cuda.get_device_properties(self.torch_device)))[0]

    def limit(self, count: int) -> None:
        """Let torch's allocator reserve at most so many bytes, as if the card were smaller."""
        _, total = torch.cuda.mem_get_info(self.torch_device)
        torch.cuda.set_per_process_memory_fraction(min(count / total, 1.0), self.torch_device)

    def synchronize(self) -> None:
        """Wait for all streams of the card."""
        torch.cuda.synchronize(self.torch_device)

    def allocator(self) -> AllocatorLevels:
        """The allocator's counters as they are: `torch.cuda.memory_stats` would make a sorted list of names of them."""
        return levels(torch.cuda.memory_stats_as_nested_dict(self.torch_device))

    def reset_peaks(self) -> None:
        """Of allocated and reserved bytes."""
        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def empty_cache(self) -> None:
        """Give free segments back to the driver."""
        torch.cuda.empty_cache()

    def mark(self) -> object:
        """An event on the current stream."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, begin: object, end: object) -> float:
        """`elapsed_time` is in milliseconds, to about half a microsecond."""
        first, last = cast("torch.cuda.Event", begin), cast("torch.cuda.Event", end)
        return first.elapsed_time(last) / 1000

    def is_out_of_memory(self, error: BaseException) -> bool:
        """torch's own error, and those of libraries that ask the driver past torch's allocator."""
        return isinstance(error, torch.cuda.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
        )


def levels(statistics: dict[str, Any]) -> AllocatorLevels:
    """Of torch's nested counters; zeros for none, as before the first allocation."""
    if not statistics:
        return AllocatorLevels(0, 0, 0, 0, 0)
    allocated, reserved = statistics["allocated_bytes"]["all"], statistics["reserved_bytes"]["all"]
    return AllocatorLevels(
        allocated["current"], reserved["current"], allocated["peak"], reserved["peak"], statistics["num_alloc_retries"]
    )


def built_for() -> str | None:
    """`CUDA 13.0`, `ROCm 6.4`; None for a build of torch that knows neither."""
    if torch.version.hip:
        return f"ROCm {'.'.join(torch.version.hip.split('.')[:2])}"
    return f"CUDA {torch.version.cuda}" if torch.version.cuda else None


def is_initialized() -> bool:
    """Whether this process may hold a CUDA context."""
    return torch.cuda.is_initialized()


@cache
def initialization_error() -> str | None:
    """What torch says when it is asked to compute on the current card; None where it does, or has before.

    Asked once: what fails in a process goes on failing there.
    """
    if torch.cuda.is_initialized():
        return None
    with warnings.catch_warnings():
        # those of cards that are not asked for, and those that the error repeats
        warnings.simplefilter("ignore")
        try:
            torch.cuda.init()
            torch.ones(1, device="cuda").add_(1).item()
            torch.cuda.empty_cache()  # of the segment that this took
        except (RuntimeError, AssertionError) as error:
            return str(error)
    return None


def compiled_for() -> tuple[str, ...]:
    """What this build of torch has kernels for: `sm_80`, `compute_90`, `gfx942`."""
    return tuple(torch.cuda.get_arch_list())


def _capability(properties: Any) -> str:
    """`8.0`; of AMD's, the instruction set without its features: `gfx942:sramecc+:xnack-` is `gfx942`."""
    if torch.version.hip:
        return properties.gcnArchName.split(":")[0]
    return f"{properties.major}.{properties.minor}"
