"""The small interface behind which devices are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from profiler.measure.device.nvml import Card
from profiler.measure.types import MeasuredDevice


@dataclass(frozen=True, slots=True)
class AllocatorLevels:
    """PyTorch's caching allocator, in bytes; peaks are since the last `reset_peaks`."""

    allocated: int
    reserved: int
    peak_allocated: int
    peak_reserved: int
    retries: int
    """Since the process began."""


class Device(Protocol):
    """A device that training steps run on."""

    kind: str
    """cuda, xpu, mps or cpu."""
    torch_device: Any
    """`torch.device`"""

    def described(self) -> MeasuredDevice:
        """The device as it is now."""
        ...

    def card(self) -> Card | None:
        """The same card as NVML has it; None where that does not know it."""
        ...

    def synchronize(self) -> None:
        """Wait until all that was started has run."""
        ...

    def allocator(self) -> AllocatorLevels | None:
        """What the allocator holds; None where torch keeps no statistics of one."""
        ...

    def reset_peaks(self) -> None:
        """Let peaks begin anew from what is held now."""
        ...

    def empty_cache(self) -> None:
        """Give back what the allocator holds and nothing uses."""
        ...

    def mark(self) -> object:
        """A point of time on the device, after everything that was started before."""
        ...

    def seconds(self, begin: object, end: object) -> float:
        """Between two marks, once `synchronize` has returned after the second."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that this device's memory ran out."""
        ...
