"""Blocks, and the pools that hold the free ones in order of size, then address."""

from __future__ import annotations

from bisect import bisect_left

ADDRESS_BITS = 64


class Block:
    """A part of a segment, linked to its neighbours in it."""

    __slots__ = (
        "address",
        "allocated",
        "block",
        "born",
        "expandable",
        "mapped",
        "next",
        "pool",
        "prev",
        "requested",
        "size",
    )

    def __init__(
        self,
        address: int,
        size: int,
        pool: Pool,
        expandable: ExpandableRange | None = None,
        *,
        prev: Block | None = None,
        next: Block | None = None,
        mapped: bool = True,
    ) -> None:
        self.address = address
        self.size = size
        self.pool = pool
        self.expandable = expandable
        self.prev = prev
        self.next = next
        self.mapped = mapped
        self.allocated = False
        self.born = 0
        """Searches that the large pools had seen when it became free (gc_count_base)."""
        self.block: int | None = None
        self.requested = 0
        if prev is not None:
            prev.next = self
        if next is not None:
            next.prev = self

    @property
    def is_split(self) -> bool:
        return self.prev is not None or self.next is not None


class ExpandableRange:
    """The address space of one expandable segment: `granule` bytes are mapped or unmapped at a time."""

    __slots__ = ("address", "granule", "size")

    def __init__(self, address: int, size: int, granule: int) -> None:
        self.address = address
        self.size = size
        self.granule = granule


class Pool:
    """The free blocks of one stream, for small or for large requests."""

    __slots__ = ("blocks", "keys", "small", "stream", "unmapped")

    def __init__(self, small: bool, stream: int) -> None:
        self.small = small
        self.stream = stream
        self.keys: list[int] = []
        """(size, address) of `blocks`, in one number: the order in which PyTorch searches."""
        self.blocks: list[Block] = []
        self.unmapped: list[Block] = []
        """Address space without memory behind it, by address."""

    def search(self, size: int) -> int:
        """Index of the smallest free block of at least `size` bytes."""
        return bisect_left(self.keys, size << ADDRESS_BITS)

    def insert(self, block: Block) -> None:
        key = block.size << ADDRESS_BITS | block.address
        index = bisect_left(self.keys, key)
        self.keys.insert(index, key)
        self.blocks.insert(index, block)

    def remove(self, block: Block) -> None:
        index = bisect_left(self.keys, block.size << ADDRESS_BITS | block.address)
        del self.keys[index]
        del self.blocks[index]

    def pop(self, index: int) -> Block:
        del self.keys[index]
        return self.blocks.pop(index)

    def insert_unmapped(self, block: Block) -> None:
        index = bisect_left([other.address for other in self.unmapped], block.address)
        self.unmapped.insert(index, block)

    def remove_unmapped(self, block: Block) -> None:
        self.unmapped.remove(block)


def split(block: Block, size: int) -> Block:
    """Shortens the block to `size` and returns the rest, its new neighbour."""
    rest = Block(
        block.address + size,
        block.size - size,
        block.pool,
        block.expandable,
        prev=block,
        next=block.next,
        mapped=block.mapped,
    )
    block.size = size
    return rest


def merge(block: Block, other: Block | None) -> None:
    """Takes a free neighbour, mapped or unmapped like the block, into the block (try_merge_blocks)."""
    if other is None or other.allocated or other.mapped != block.mapped:
        return
    if other.mapped:
        other.pool.remove(other)
    else:
        other.pool.remove_unmapped(other)
    if block.prev is other:
        block.address = other.address
        block.prev = other.prev
        if other.prev is not None:
            other.prev.next = block
    else:
        block.next = other.next
        if other.next is not None:
            other.next.prev = block
    block.size += other.size
