"""The CPU: no allocator of its own, the host's memory and clock."""

from __future__ import annotations

import platform
import time
from typing import cast

import torch

from profiler.measure.device import host
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.types import MeasuredDevice


class Cpu:
    """Steps run as they are called, so that there is nothing to wait for."""

    def __init__(self) -> None:
        self.kind = "cpu"
        self.torch_device = torch.device("cpu")

    def described(self) -> MeasuredDevice:
        """Total and available memory of the host, or of the container that this runs in; 0 where it is not known."""
        total = host.total_bytes() or 0
        available = host.available_bytes()
        return MeasuredDevice(
            kind=self.kind,
            name=host.processor() or platform.processor() or platform.machine(),
            gpu=None,
            memory_bytes=total,
            free_bytes=total if available is None else available,
            usable_bytes=None,
            driver=None,
            runtime=None,
            compute_capability=None,
        )

    def card(self) -> None:
        """A CPU is no card."""

    def synchronize(self) -> None:
        """Nothing is under way once a call has returned."""

    def allocator(self) -> AllocatorLevels | None:
        """None: torch allocates with malloc here, and counts nothing."""
        return None

    def reset_peaks(self) -> None:
        """Nothing is counted."""

    def empty_cache(self) -> None:
        """Nothing is kept."""

    def mark(self) -> object:
        """Nanoseconds of the host's clock."""
        return time.perf_counter_ns()

    def seconds(self, begin: object, end: object) -> float:
        """Between two marks."""
        return (cast("int", end) - cast("int", begin)) / 1e9

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Python's own error, and torch's: `DefaultCPUAllocator: can't allocate memory` (alloc_cpu.cpp)."""
        return isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
        )
