"""Intel's GPUs through `torch.xpu`, as its documentation has it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import cast

import torch

from profiler.measure.device.base import AllocatorLevels
from profiler.measure.device.catalogued import catalogued
from profiler.measure.device.cuda import levels
from profiler.measure.device.nvml import Card
from profiler.measure.types import MeasuredDevice


class Xpu:
    """The current GPU, of those that ONEAPI_DEVICE_SELECTOR leaves; its allocator counts as CUDA's does."""

    def __init__(self) -> None:
        self.kind = "xpu"
        self.torch_device = torch.device("xpu", torch.xpu.current_device())

    def described(self) -> MeasuredDevice:
        """As it is now."""
        properties = torch.xpu.get_device_properties(self.torch_device)
        total = int(properties.total_memory)
        return MeasuredDevice(
            kind=self.kind,
            name=properties.name,
            gpu=catalogued(properties.name, total),
            memory_bytes=total,
            free_bytes=self._free(total),
            usable_bytes=None,
            driver=properties.driver_version,
            runtime=f"XPU {torch.version.xpu}" if torch.version.xpu else "XPU",
            compute_capability=None,
        )

    def card(self) -> Card | None:
        """None: NVML knows NVIDIA's cards alone."""
        return None

    def synchronize(self) -> None:
        """Wait for all streams."""
        torch.xpu.synchronize(self.torch_device)

    def allocator(self) -> AllocatorLevels | None:
        """The allocator's counters."""
        statistics = torch.xpu.memory_stats_as_nested_dict(self.torch_device)
        return levels({"num_alloc_retries": 0, **statistics} if statistics else {})

    def reset_peaks(self) -> None:
        """Of allocated and reserved bytes."""
        torch.xpu.reset_peak_memory_stats(self.torch_device)

    def empty_cache(self) -> None:
        """Give free segments back to the driver."""
        torch.xpu.empty_cache()

    def mark(self) -> object:
        """An event on the current stream."""
        event = torch.xpu.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, begin: object, end: object) -> float:
        """`elapsed_time` is in milliseconds."""
        first, last = cast("torch.xpu.Event", begin), cast("torch.xpu.Event", end)
        return first.elapsed_time(last) / 1000

    def is_out_of_memory(self, error: BaseException) -> bool:
        """torch's own error, and those of libraries that ask the driver past torch's allocator."""
        return isinstance(error, torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and "OUT_OF_DEVICE_MEMORY" in str(error)
        )

    def _free(self, total: int) -> int:
        try:
            return torch.xpu.mem_get_info(self.torch_device)[0]
        except RuntimeError:  # some integrated GPUs do not tell
            return total
