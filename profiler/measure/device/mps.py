"""Apple's GPUs through `torch.mps`, as its documentation has it."""

from __future__ import annotations

from typing import cast

import torch
from torch.mps.event import Event

from profiler.measure.device import host
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.device.nvml import Card
from profiler.measure.types import MeasuredDevice


class Mps:
    """The GPU of an Apple chip, which shares the host's memory."""

    def __init__(self) -> None:
        self.kind = "mps"
        self.torch_device = torch.device("mps")

    def described(self) -> MeasuredDevice:
        """Memory is the working set that Metal recommends at most, less than the host's."""
        total = torch.mps.recommended_max_memory()
        return MeasuredDevice(
            kind=self.kind,
            name=host.processor() or "Apple GPU",
            gpu=None,
            memory_bytes=total,
            free_bytes=max(total - torch.mps.driver_allocated_memory(), 0),
            usable_bytes=total,
            driver=None,
            runtime="Metal",
            compute_capability=None,
        )

    def card(self) -> Card | None:
        """None: NVML knows NVIDIA's cards alone."""
        return None

    def synchronize(self) -> None:
        """Wait for all that was sent to the GPU."""
        torch.mps.synchronize()

    def allocator(self) -> AllocatorLevels | None:
        """None: torch tells what is allocated there, but keeps no peak."""
        return None

    def reset_peaks(self) -> None:
        """None are kept."""

    def empty_cache(self) -> None:
        """Give free buffers back to Metal."""
        torch.mps.empty_cache()

    def mark(self) -> object:
        """An event on the default stream."""
        event = Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, begin: object, end: object) -> float:
        """`elapsed_time` is in milliseconds."""
        return cast("Event", begin).elapsed_time(cast("Event", end)) / 1000

    def is_out_of_memory(self, error: BaseException) -> bool:
        """`MPS backend out of memory (MPS allocated: ...)` (aten/src/ATen/mps/MPSAllocator.mm)"""
        return isinstance(error, RuntimeError) and "MPS backend out of memory" in str(error)
