"""The state of the allocator, as it is given to a replay and as a replay leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

SegmentAction = Literal["segment_alloc", "segment_free", "segment_map", "segment_unmap"]


class SegmentBlock(NamedTuple):
    """A part of a segment; the parts follow one another without gaps."""

    size: int
    """Bytes, rounded."""
    block: int | None = None
    """The allocation that lives in it (`Event.block`); None where it is free."""
    requested: int = 0
    """Bytes asked for; 0 where it is free."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Memory that the allocator holds: from one cudaMalloc, or one mapped range of an expandable segment."""

    address: int
    size: int
    stream: int
    small: bool
    """Of the pool for requests up to 1 MiB."""
    expandable: bool
    blocks: tuple[SegmentBlock, ...]
    """Their sizes add up to `size`."""


class SegmentEvent(NamedTuple):
    """Memory taken from, or given back to, the CUDA driver; actions are named as in PyTorch's traces."""

    event: int
    """Index of the allocation that caused it, or before which the cache was emptied."""
    action: SegmentAction
    address: int
    size: int
    stream: int
