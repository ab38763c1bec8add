"""The allocator's state from segments, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from planner.errors import InputError
from profiler.simulate.allocator.blocks import Block, Pool, split
from profiler.simulate.allocator.device import DeviceAllocator
from profiler.simulate.allocator.expandable import add_range, make_mapped
from profiler.simulate.allocator.rounding import SMALL_SEGMENT, ceil_to
from profiler.simulate.allocator.segments import Segment, SegmentBlock


def load_segments(allocator: DeviceAllocator, segments: Sequence[Segment]) -> dict[int, Block]:
    """Puts the segments into an empty allocator; returns the live blocks by name.

    Mapped ranges of one pool and stream are taken for parts of one expandable segment that begins with
    the lowest: PyTorch makes a second one only when the address space of the first is used up.
    """
    live: dict[int, Block] = {}
    ordered = sorted(segments, key=lambda segment: segment.address)
    for segment in ordered:
        if segment.size != sum(block.size for block in segment.blocks):
            raise InputError(
                f"the blocks of the segment at {segment.address:#x} do not add up to its {segment.size} bytes"
            )
        if not segment.expandable:
            pool = allocator.pool(segment.small, segment.stream)
            allocator.reservation.addresses.take(segment.address, segment.size)
            _fill(Block(segment.address, segment.size, pool), segment, live)
    by_pool = sorted((s for s in ordered if s.expandable), key=_pool_of)
    for (small, stream), ranges in groupby(by_pool, key=_pool_of):
        _load_expandable(allocator, allocator.pool(small, stream), list(ranges), live)
    allocator.reservation.bytes = sum(segment.size for segment in segments)
    allocator.reservation.peak = allocator.reservation.bytes
    return live


def _pool_of(segment: Segment) -> tuple[bool, int]:
    return segment.small, segment.stream


def _load_expandable(allocator: DeviceAllocator, pool: Pool, ranges: list[Segment], live: dict[int, Block]) -> None:
    granule = SMALL_SEGMENT if pool.small else allocator.large_segment
    start = ranges[0].address
    end = ranges[-1].address + ranges[-1].size
    allocator.reservation.addresses.stay_below(start)
    room = ceil_to(max(allocator.reservation.address_space, end - start), granule)
    unmapped = add_range(pool, start, room, granule)
    for segment in ranges:
        if segment.address > unmapped.address:
            ahead = unmapped
            unmapped = split(ahead, segment.address - ahead.address)
            pool.insert_unmapped(unmapped)
        make_mapped(unmapped, segment.size)
        pool.remove(unmapped)
        after = unmapped.next
        _fill(unmapped, segment, live)
        if after is None:
            break
        unmapped = after


def _fill(block: Block, segment: Segment, live: dict[int, Block]) -> None:
    """Cuts a block that spans the segment into the segment's blocks; the free ones go to the pool."""
    current = block
    for number, part in enumerate(segment.blocks, start=1):
        rest = split(current, part.size) if number < len(segment.blocks) else None
        if part.block is None:
            current.pool.insert(current)
        elif part.block in live:
            raise InputError(f"block {part.block} is twice in the initial segments")
        else:
            current.allocated = True
            current.block = part.block
            current.requested = part.requested
            live[part.block] = current
        if rest is not None:
            current = rest


def segments_of(allocator: DeviceAllocator, live: Iterable[Block]) -> tuple[Segment, ...]:
    """The segments of the allocator, by address."""
    free = (block for pool in allocator.pools.values() for block in pool.blocks)
    first = [block for block in (*free, *live) if block.prev is None or not block.prev.mapped]
    return tuple(_segment(block) for block in sorted(first, key=lambda block: block.address))


def _segment(first: Block) -> Segment:
    parts: list[SegmentBlock] = []
    block: Block | None = first
    while block is not None and block.mapped:
        parts.append(SegmentBlock(block.size, block.block, block.requested))
        block = block.next
    return Segment(
        address=first.address,
        size=sum(part.size for part in parts),
        stream=first.pool.stream,
        small=first.pool.small,
        expandable=first.expandable is not None,
        blocks=tuple(parts),
    )
