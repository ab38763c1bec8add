"""One card's allocator: which block serves a request, and what happens when none does.

`DeviceCachingAllocator` of c10/cuda/CUDACachingAllocator.cpp (torch 2.13), without CUDA graphs, memory
pools of the user's own, and blocks used on more than one stream.
"""

from __future__ import annotations

from profiler.simulate.allocator.blocks import Block, Pool, merge, split
from profiler.simulate.allocator.expandable import best_fit, try_allocate_expandable_block, unmap_block
from profiler.simulate.allocator.reservation import Reservation
from profiler.simulate.allocator.rounding import MIN_BLOCK, SMALL_SEGMENT, SMALL_SIZE, round_size, segment_size
from profiler.simulate.allocator.settings import UNLIMITED, AllocatorSettings


class DeviceAllocator:
    """Pools, and the allocations that live in their segments."""

    def __init__(self, settings: AllocatorSettings, reservation: Reservation) -> None:
        self.reservation = reservation
        self.expandable_segments = settings.expandable_segments
        self.max_split_size = settings.max_split_size
        self.max_non_split_rounding = settings.max_non_split_rounding
        self.large_segment = settings.large_segment
        self.divisions = settings.divisions
        self.collects_garbage = reservation.allowed is not None and settings.garbage_collection_threshold > 0
        self.garbage_threshold = int(settings.garbage_collection_threshold * (reservation.allowed or 0))
        self.large_searches = 0
        """Searches in large pools: the clock by which garbage collection tells old blocks."""
        self.pools: dict[tuple[bool, int], Pool] = {}
        self.rounded: dict[int, int] = {}
        self.retries = 0

    def pool(self, small: bool, stream: int) -> Pool:
        pool = self.pools.get((small, stream))
        if pool is None:
            pool = self.pools[small, stream] = Pool(small, stream)
        return pool

    def malloc(self, requested: int, stream: int) -> Block | None:
        """The block for a request; None when it does not fit, even after cached segments were released."""
        size = self.rounded.get(requested)
        if size is None:
            size = self.rounded[requested] = round_size(requested, self.divisions)
        pool = self.pool(size <= SMALL_SIZE, stream)
        block = self._get_free_block(pool, size) or self._new_block(pool, size)
        if block is None:
            return None
        left = block.size - size
        if left and (
            left >= MIN_BLOCK
            if pool.small or self.expandable_segments
            else left > SMALL_SIZE and size < self.max_split_size
        ):
            rest = split(block, size)
            rest.born = self.large_searches
            pool.insert(rest)
        block.allocated = True
        block.requested = requested
        return block

    def free(self, block: Block) -> None:
        block.allocated = False
        block.block = None
        block.requested = 0
        if block.prev is not None:
            merge(block, block.prev)
        if block.next is not None:
            merge(block, block.next)
        block.born = self.large_searches
        block.pool.insert(block)

    def _get_free_block(self, pool: Pool, size: int) -> Block | None:
        """The smallest free block that is large enough, unless it is too large to go unsplit."""
        if self.collects_garbage and not pool.small:
            self.large_searches += 1
        index = pool.search(size)
        if index == len(pool.keys):
            return None
        block = pool.blocks[index]
        if block.expandable is not None:
            if self.expandable_segments:
                index = best_fit(pool, index)
            else:
                index = next((i for i in range(index, len(pool.blocks)) if pool.blocks[i].expandable is None), -1)
                if index < 0:
                    return None
            block = pool.blocks[index]
        if self.max_split_size != UNLIMITED:
            if size < self.max_split_size <= block.size:
                return None
            if size >= self.max_split_size and block.size >= size + self.max_non_split_rounding:
                return None
        return pool.pop(index)

    def _new_block(self, pool: Pool, size: int) -> Block | None:
        if self.collects_garbage:
            self._collect_garbage()
        block = self._alloc_block(pool, size)
        if block is None and self._release_available_cached_blocks(pool, size):
            block = self._alloc_block(pool, size)
        if block is None:
            self.release_cached_blocks()
            self.retries += 1
            block = self._alloc_block(pool, size)
        return block

    def _alloc_block(self, pool: Pool, size: int) -> Block | None:
        reservation = self.reservation
        wanted = segment_size(size, self.large_segment)
        if not reservation.is_allowed(wanted):
            return None
        if self.expandable_segments:
            granule = SMALL_SEGMENT if pool.small else self.large_segment
            return try_allocate_expandable_block(pool, size, granule, reservation)
        if not reservation.fits(wanted):
            return None
        address = reservation.addresses.place(wanted)
        reservation.add("segment_alloc", address, wanted, pool.stream)
        return Block(address, wanted, pool)

    def _release_available_cached_blocks(self, pool: Pool, size: int) -> bool:
        """Frees blocks above max_split_size: one that is large enough, or the largest until they are together."""
        if self.max_split_size == UNLIMITED:
            return False
        wanted = max(size, self.max_split_size)
        index = pool.search(wanted)
        if index < len(pool.blocks) and pool.blocks[index].expandable is None:
            self._release_block(pool.blocks[index])
            return True
        released = 0
        for block in reversed(pool.blocks[:index]):
            if released >= wanted or block.size < self.max_split_size:
                break
            if block.expandable is None:
                released += block.size
                self._release_block(block)
        return released >= wanted

    def release_cached_blocks(self) -> None:
        """Gives every segment without a live block back to the driver; torch.cuda.empty_cache() does no more."""
        for small in (False, True):
            pools = sorted((pool for pool in self.pools.values() if pool.small == small), key=_stream)
            to_unmap: list[Block] = []
            for pool in pools:
                for block in tuple(pool.blocks):
                    if block.expandable is not None:
                        to_unmap.append(block)
                    elif not block.is_split:
                        self._release_block(block)
            for block in to_unmap:
                unmap_block(block, self.reservation)

    def _release_block(self, block: Block) -> None:
        block.pool.remove(block)
        self.reservation.addresses.release(block.address)
        self.reservation.subtract("segment_free", block.address, block.size, block.pool.stream)

    def _collect_garbage(self) -> None:
        """Frees unsplit large segments of more than average age, until reserved is below the threshold."""
        excess = self.reservation.bytes - self.garbage_threshold
        if excess <= 0:
            return
        large = sorted((pool for pool in self.pools.values() if not pool.small), key=_stream)
        unsplit = [block for pool in large for block in pool.blocks if not block.is_split]
        age = sum(self.large_searches - block.born for block in unsplit)
        count = len(unsplit)
        candidates = [block for block in unsplit if block.expandable is None]
        reclaimed = 0
        while reclaimed < excess and count > 0:
            threshold = age / count
            old = [block for block in candidates if self.large_searches - block.born >= threshold]
            if not old:
                return
            for block in old:
                reclaimed += block.size
                age -= self.large_searches - block.born
                count -= 1
                candidates.remove(block)
                self._release_block(block)


def _stream(pool: Pool) -> int:
    return pool.stream
