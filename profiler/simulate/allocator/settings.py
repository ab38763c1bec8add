"""The settings of the allocator that change what it reserves."""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import InputError
from planner.units import MIB
from profiler.simulate.allocator.rounding import MIN_LARGE_SEGMENT, POWER2_INTERVALS

UNLIMITED = 1 << 62
"""In place of "no max_split_size": larger than any block."""


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """What `PYTORCH_ALLOC_CONF` says, under its own names; the defaults are PyTorch's.

    Raises `InputError` for values that PyTorch refuses.
    """

    expandable_segments: bool = False
    max_split_size_mb: int | None = None
    """MiB from which a block is never split; None: all are."""
    max_non_split_rounding_mb: int | None = None
    """MiB that such a block may be larger than its request; None: `large_segment_size_mb`."""
    garbage_collection_threshold: float = 0.0
    """Part of the allowed memory from which old cached segments are freed. PyTorch reads it only
    where `per_process_memory_fraction` is below 1."""
    roundup_power2_divisions: int | tuple[int, ...] = 0
    """Steps between two powers of two that a request is rounded up to: one number, or 16, for the
    sizes [1, 2) MiB (and below), [2, 4) MiB, … [32, 64) GiB (and above). 0: multiples of 512 bytes."""
    large_segment_size_mb: int = 20
    """MiB of the segment for requests between 1 and 10 MiB, and of a large expandable granule."""
    per_process_memory_fraction: float = 1.0
    """Part of the card's memory that the process may reserve; below 1, PyTorch enforces it."""

    def __post_init__(self) -> None:
        if self.large_segment <= MIN_LARGE_SEGMENT:
            raise InputError(
                f"large_segment_size_mb is {self.large_segment_size_mb} in the allocator settings; give more than 10"
            )
        for name in ("max_split_size_mb", "max_non_split_rounding_mb"):
            value: int | None = getattr(self, name)
            if value is not None and value < self.large_segment_size_mb:
                raise InputError(
                    f"{name} is {value} in the allocator settings; give at least {self.large_segment_size_mb} MiB"
                )
        if not 0 <= self.garbage_collection_threshold < 1:
            raise InputError(
                f"garbage_collection_threshold is {self.garbage_collection_threshold:g} in the allocator settings; "
                "give a number between 0 and 1"
            )
        if not 0 < self.per_process_memory_fraction <= 1:
            raise InputError(
                f"per_process_memory_fraction is {self.per_process_memory_fraction:g} in the allocator settings; "
                "give a number above 0 and at most 1"
            )
        if len(self.divisions) != POWER2_INTERVALS or not all(map(_is_power_of_2_or_0, self.divisions)):
            raise InputError(
                f"roundup_power2_divisions is {self.roundup_power2_divisions} in the allocator settings; "
                "give 0 or a power of 2, or one for each of 16 sizes"
            )

    @property
    def divisions(self) -> tuple[int, ...]:
        """`roundup_power2_divisions`, one for each of the 16 sizes."""
        if isinstance(self.roundup_power2_divisions, int):
            return (self.roundup_power2_divisions,) * POWER2_INTERVALS
        return self.roundup_power2_divisions

    @property
    def large_segment(self) -> int:
        """Bytes."""
        return self.large_segment_size_mb * MIB

    @property
    def max_split_size(self) -> int:
        """Bytes; `UNLIMITED` where every block may be split."""
        return UNLIMITED if self.max_split_size_mb is None else self.max_split_size_mb * MIB

    @property
    def max_non_split_rounding(self) -> int:
        """Bytes."""
        if self.max_non_split_rounding_mb is None:
            return self.large_segment
        return self.max_non_split_rounding_mb * MIB


def _is_power_of_2_or_0(value: int) -> bool:
    return value >= 0 and value & (value - 1) == 0
