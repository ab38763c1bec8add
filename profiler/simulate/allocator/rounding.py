"""How many bytes a request becomes: its block, and the segment made for it.

Constants of c10/core/AllocatorConfig.h (torch 2.13); rules of `round_size`, `get_allocation_size` and
`roundup_power2_next_division` in c10/cuda/CUDACachingAllocator.cpp.
"""

from __future__ import annotations

from planner.units import MIB

MIN_BLOCK = 512
"""kMinBlockSize: blocks are multiples of it."""
SMALL_SIZE = 1 * MIB
"""kSmallSize: the largest request of the small pool."""
SMALL_SEGMENT = 2 * MIB
"""kSmallBuffer: segments of the small pool."""
MIN_LARGE_SEGMENT = 10 * MIB
"""kMinLargeAlloc: from here on a request gets a segment of its own size."""
ROUND_LARGE = 2 * MIB
"""kRoundLarge: of which such a segment is a multiple."""
POWER2_INTERVALS = 16
"""Sizes from 1 MiB to 64 GiB, an interval to each power of two."""


def round_size(requested: int, divisions: tuple[int, ...]) -> int:
    """Bytes of the block for a request: a multiple of 512, or of a fraction of a power of two.

    `divisions` has one entry for each of the 16 intervals [1, 2) MiB, [2, 4) MiB, …; smaller requests
    take the first and larger ones the last. 0 and 1 mean "multiples of 512".
    """
    if requested < MIN_BLOCK:
        return MIN_BLOCK
    interval = min(max(requested.bit_length() - MIB.bit_length(), 0), POWER2_INTERVALS - 1)
    parts = divisions[interval]
    if parts > 1 and requested > MIN_BLOCK * parts:
        return next_division(requested, parts)
    return ceil_to(requested, MIN_BLOCK)


def next_division(size: int, parts: int) -> int:
    """The size rounded up to the next of `parts` equal steps between its two powers of two.

    1200 with 4 parts lies between 1024 and 2048, whose steps are 1024, 1280, 1536, 1792: 1280.
    """
    return ceil_to(size, (1 << (size.bit_length() - 1)) // parts)


def segment_size(block: int, large_segment: int) -> int:
    """Bytes asked of cudaMalloc for a block that no cached one can serve."""
    if block <= SMALL_SIZE:
        return SMALL_SEGMENT
    if block < MIN_LARGE_SEGMENT:
        return large_segment
    return ceil_to(block, ROUND_LARGE)


def ceil_to(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
