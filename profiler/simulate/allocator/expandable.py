"""Expandable segments: one range of address space to a pool, mapped as it is needed.

Functions are named as in c10/cuda/CUDACachingAllocator.cpp. Memory is mapped in granules of 2 MiB in
small pools and `large_segment_size_mb` in large ones, and only whole free granules are unmapped.
"""

from __future__ import annotations

from profiler.simulate.allocator.blocks import Block, ExpandableRange, Pool, merge, split
from profiler.simulate.allocator.reservation import Reservation
from profiler.simulate.allocator.rounding import ceil_to


def best_fit(pool: Pool, index: int) -> int:
    """From the smallest free block that is large enough on to one that can grow less.

    A block before unmapped space counts as large as it can become, so that the end of the segment is
    not used up while a hole would do.
    """
    while (
        pool.blocks[index].expandable is not None
        and index + 1 < len(pool.blocks)
        and _expandable_size(pool.blocks[index + 1]) < _expandable_size(pool.blocks[index])
    ):
        index += 1
    return index


def _expandable_size(block: Block) -> int:
    after = block.next
    return block.size + (after.size if after is not None and not after.mapped else 0)


def try_allocate_expandable_block(pool: Pool, size: int, granule: int, reservation: Reservation) -> Block | None:
    """A free block of at least `size` bytes, out of the pool; None where the driver has no memory left."""
    candidate = find_expandable_block(pool, size, granule, reservation)
    if not candidate.mapped and not map_block(candidate, min(candidate.size, size), reservation):
        return None
    while candidate.size < size:
        grown = candidate.next
        assert grown is not None
        if not map_block(grown, min(size - candidate.size, grown.size), reservation):
            return None
        candidate = grown
    pool.remove(candidate)
    return candidate


def find_expandable_block(pool: Pool, size: int, granule: int, reservation: Reservation) -> Block:
    """The lowest place with room for `size` bytes, free or unmapped; a new expandable segment if there is none."""
    for block in pool.unmapped:
        start = block.prev if block.prev is not None and not block.prev.allocated else block
        if _has_room(start, size):
            return start
    room = ceil_to(reservation.address_space, granule)
    address = reservation.addresses.place_range(room, first=ceil_to(size, granule))
    return add_range(pool, address, room, granule)


def add_range(pool: Pool, address: int, room: int, granule: int) -> Block:
    """The unmapped block of a new expandable segment."""
    block = Block(address, room, pool, ExpandableRange(address, room, granule), mapped=False)
    pool.insert_unmapped(block)
    return block


def _has_room(block: Block | None, size: int) -> bool:
    found = 0
    while found < size and block is not None and not block.allocated:
        found += block.size
        block = block.next
    return found >= size


def map_block(block: Block, size: int, reservation: Reservation) -> bool:
    """Puts memory behind the first `size` bytes of an unmapped block, which becomes a free one."""
    assert block.expandable is not None
    mapped = ceil_to(size, block.expandable.granule)
    if not reservation.fits(mapped):
        return False
    reservation.addresses.next_observed(mapped)
    reservation.add("segment_map", block.address, mapped, block.pool.stream)
    make_mapped(block, mapped)
    return True


def make_mapped(block: Block, mapped: int) -> None:
    block.pool.remove_unmapped(block)
    if mapped < block.size:
        block.pool.insert_unmapped(split(block, mapped))
    block.mapped = True
    merge(block, block.prev)
    merge(block, block.next)
    block.pool.insert(block)


def unmap_block(block: Block, reservation: Reservation) -> None:
    """Gives back the granules that lie wholly in a free block; what is left of it stays free."""
    expandable = block.expandable
    assert expandable is not None
    start = expandable.address + ceil_to(block.address - expandable.address, expandable.granule)
    end = block.address + block.size
    end -= (end - expandable.address) % expandable.granule
    if start >= end:
        return
    pool = block.pool
    pool.remove(block)
    if start > block.address:
        before = block
        block = split(before, start - before.address)
        pool.insert(before)
    if end < block.address + block.size:
        pool.insert(split(block, end - start))
    block.mapped = False
    merge(block, block.prev)
    merge(block, block.next)
    pool.insert_unmapped(block)
    reservation.subtract("segment_unmap", start, end - start, pool.stream)
    if not block.is_split:
        pool.remove_unmapped(block)
