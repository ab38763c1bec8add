"""A card that is not there: the CPU's tensors, counted as CUDA's caching allocator counts them."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Generator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from planner.units import GIB, MIB
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.types import MeasuredDevice
from profiler.simulate.allocator.addresses import Addresses
from profiler.simulate.allocator.blocks import Block
from profiler.simulate.allocator.device import DeviceAllocator
from profiler.simulate.allocator.reservation import Reservation
from profiler.simulate.allocator.settings import AllocatorSettings
from profiler.simulate.device import kernels

_IN_PLACE = (torch.ops.aten.add.Tensor, torch.ops.aten.index_put.default)


class Card:
    """A `Device`. Within `on`, what operators give out is allocated on it, and freed as it dies.

    capacity: bytes for all segments. fails_at: the allocation, by its number, for which there is no memory.
    """

    def __init__(self, capacity: int = 40 * GIB, fails_at: int | None = None, free_bytes: int | None = None) -> None:
        self.kind = "cuda"
        self.torch_device = torch.device("cpu")
        self.capacity = capacity
        self.fails_at = fails_at
        self.free_bytes = capacity if free_bytes is None else free_bytes
        self.allocations = 0
        self.requested = 0
        """Bytes asked for, and alive."""
        self.retries = 0
        """Of the process, before and beside those of this allocator."""
        self.clock_s = 0.0
        self.emptied = 0
        self._reservation = Reservation(AllocatorSettings(), capacity, None, Addresses())
        self._allocator = DeviceAllocator(AllocatorSettings(), self._reservation)
        self._blocks: dict[int, Block] = {}
        self._allocated = self._peak_allocated = self._peak_reserved = 0

    @contextlib.contextmanager
    def on(self) -> Generator[None]:
        with _Counting(self), torch.autograd.set_multithreading_enabled(False):
            yield

    def place(self, storage: torch.UntypedStorage) -> None:
        """A storage, of which the first is heard."""
        key, size = storage._cdata, storage.nbytes()
        if key in self._blocks or not size:
            return
        self.allocations += 1
        self.clock_s += 0.001
        self._reservation.event = self.allocations
        block = None if self.allocations == self.fails_at else self._allocator.malloc(size, 0)
        if block is None:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / MIB:.2f} MiB. GPU 0 has a total capacity of "
                f"{self.capacity / GIB:.2f} GiB of which 0 bytes is free."
            )
        self._blocks[key] = block
        self._allocated += block.size
        self.requested += size
        self._peak_allocated = max(self._peak_allocated, self._allocated)
        self._peak_reserved = max(self._peak_reserved, self._reservation.bytes)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        block = self._blocks.pop(key)
        self._allocated -= block.size
        self.requested -= size
        self._allocator.free(block)

    def described(self) -> MeasuredDevice:
        return MeasuredDevice(
            kind="cuda",
            name="NVIDIA A100-SXM4-40GB",
            gpu="a100-40",
            memory_bytes=self.capacity,
            free_bytes=self.free_bytes,
            usable_bytes=self.capacity,
            driver="580.95.05",
            runtime="CUDA 13.0",
            compute_capability="8.0",
        )

    def card(self) -> None:
        return None

    def synchronize(self) -> None:
        pass

    def allocator(self) -> AllocatorLevels | None:
        return AllocatorLevels(
            self._allocated,
            self._reservation.bytes,
            self._peak_allocated,
            self._peak_reserved,
            self.retries + self._allocator.retries,
        )

    def reset_peaks(self) -> None:
        self._peak_allocated, self._peak_reserved = self._allocated, self._reservation.bytes

    def empty_cache(self) -> None:
        self.emptied += 1
        self._allocator.release_cached_blocks()

    def mark(self) -> object:
        return self.clock_s

    def seconds(self, begin: Any, end: Any) -> float:
        return end - begin

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, torch.OutOfMemoryError)


class _Counting(TorchDispatchMode):
    def __init__(self, card: Card) -> None:
        super().__init__()
        self._card = card

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # autograd's sums are in place on a card, where no mode watches
        out = kernels.answer(func, args) if func in _IN_PLACE else NotImplemented
        out = func(*args, **(kwargs or {})) if out is NotImplemented else out
        for leaf in (out,) if isinstance(out, torch.Tensor) else tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu":
                self._card.place(leaf.untyped_storage())
        return out
