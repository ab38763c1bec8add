"""A card that is not there: `torch.cuda` as its documentation has it, for a machine without a GPU."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from profiler.measure.device import cuda as cuda_module

UUID = "aaaaaaaa-0000-0000-0000-000000000001"


class Card:
    """What the calls of `torch.cuda` answer, and the allocator's counters that they change."""

    def __init__(self) -> None:
        self.name = "NVIDIA A100-SXM4-40GB"
        self.index = 0
        self.total = 42_298_834_944  # deviceQuery of one, planner/catalogue/data/memory.csv
        self.context = 500 * 2**20
        self.others = 0
        self.initialized = False
        self.error: str | None = None
        """What `torch.cuda.init` raises."""
        self.kernel_error: str | None = None
        """What the first computation raises."""
        self.fraction = 1.0
        self.allocated = self.reserved = self.peak_allocated = self.peak_reserved = self.retries = 0
        self.clock_ms = 0.0
        self.synchronized_ms = -1.0

    def allocate(self, count: int) -> None:
        """As a tensor that fills its segment."""
        self.initialized = True
        if self.reserved + count > self.fraction * self.total:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        self.allocated += count
        self.reserved += max(self.allocated - self.reserved, 0)
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def free(self, count: int) -> None:
        """The segment stays in the cache."""
        self.allocated -= count

    def statistics(self, _: object = None) -> dict[str, Any]:
        """`torch.cuda.memory_stats_as_nested_dict`: empty before there is a context."""
        if not self.initialized:
            return {}
        return {
            "allocated_bytes": {"all": {"current": self.allocated, "peak": self.peak_allocated, "allocated": 0}},
            "reserved_bytes": {"all": {"current": self.reserved, "peak": self.peak_reserved, "allocated": 0}},
            "num_alloc_retries": self.retries,
            "num_ooms": 0,
        }

    def mem_get_info(self, _: object = None) -> tuple[int, int]:
        self.initialized = True
        return self.total - self.context - self.reserved - self.others, self.total

    def init(self) -> None:
        if self.error is not None:
            raise RuntimeError(self.error)
        self.initialized = True

    def ones(self, *size: int, **options: Any) -> Any:
        if self.kernel_error is not None:
            raise RuntimeError(self.kernel_error)
        self.allocate(2**21)
        self.free(2**21)
        return torch.tensor(1.0).expand(*size).clone()

    def reset_peaks(self, _: object = None) -> None:
        self.peak_allocated, self.peak_reserved = self.allocated, self.reserved

    def empty_cache(self) -> None:
        self.reserved = self.allocated

    def synchronize(self, _: object = None) -> None:
        self.synchronized_ms = self.clock_ms

    def set_fraction(self, fraction: float, _: object = None) -> None:
        if not isinstance(fraction, float):
            raise TypeError("Invalid type for fraction argument, must be `float`")
        if not 0 <= fraction <= 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        self.fraction = fraction

    def properties(self, _: object = None) -> Any:
        return SimpleNamespace(name=self.name, total_memory=self.total, major=8, minor=0, uuid=UUID, gcnArchName="")


class Event:
    """`torch.cuda.Event`: milliseconds, once the card has come past both."""

    card: Card

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing, "torch: Both events must be created with argument 'enable_timing=True'."
        self.at_ms: float | None = None

    def record(self) -> None:
        self.at_ms = self.card.clock_ms

    def elapsed_time(self, end: Event) -> float:
        if self.at_ms is None or end.at_ms is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if max(self.at_ms, end.at_ms) > self.card.synchronized_ms:
            raise RuntimeError("CUDA error: device not ready")
        return end.at_ms - self.at_ms


def stand_in(monkeypatch: pytest.MonkeyPatch, *, cuda: str | None = "12.8", hip: str | None = None) -> Card:
    """Puts a card in the place of this machine's, under a torch that was built for it."""
    card = Card()
    event = type("CardEvent", (Event,), {"card": card})
    replaced: dict[str, Any] = {
        "init": card.init,
        "is_initialized": lambda: card.initialized,
        "current_device": lambda: card.index,
        "mem_get_info": card.mem_get_info,
        "get_device_properties": card.properties,
        "memory_stats_as_nested_dict": card.statistics,
        "reset_peak_memory_stats": card.reset_peaks,
        "empty_cache": card.empty_cache,
        "synchronize": card.synchronize,
        "set_per_process_memory_fraction": card.set_fraction,
        "get_arch_list": lambda: ["sm_75", "sm_80"],
        "Event": event,
    }
    for name, value in replaced.items():
        assert hasattr(torch.cuda, name)
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "ones", card.ones)
    # a process asks once, and each card here is a process of its own
    monkeypatch.setattr(cuda_module, "initialization_error", cache(cuda_module.initialization_error.__wrapped__))
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    return card
