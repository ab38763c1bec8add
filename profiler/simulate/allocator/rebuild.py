"""The state before a trace, from the state after it: segments and blocks, worked backwards."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from planner.errors import InputError
from profiler.simulate.allocator.rounding import SMALL_SEGMENT, SMALL_SIZE, round_size
from profiler.simulate.allocator.segments import Segment, SegmentBlock
from profiler.simulate.allocator.settings import AllocatorSettings


class Row(NamedTuple):
    """One entry of a trace, named as PyTorch names it."""

    action: str
    """alloc, free_completed, segment_alloc, segment_free, segment_map, segment_unmap, oom; others do not count."""
    address: int
    size: int
    stream: int


class Region(NamedTuple):
    """A segment without its blocks."""

    address: int
    size: int
    stream: int
    small: bool
    expandable: bool

    @property
    def end(self) -> int:
        return self.address + self.size


class LiveBlock(NamedTuple):
    """An allocation at a known address."""

    block: int
    address: int
    requested: int
    size: int | None = None
    """Rounded, with what could not be split off; None where it is not known."""


def regions_before(rows: Sequence[Row], final: Iterable[Region], settings: AllocatorSettings) -> list[Region]:
    """The segments at the start of a trace whose end leaves `final`, by address."""
    final = tuple(final)
    segments = {region.address: region for region in final if not region.expandable}
    mapped = [region for region in final if region.expandable]
    known = tuple(mapped)
    for row in reversed(rows):
        if row.action == "segment_free":
            segments[row.address] = Region(
                row.address, row.size, row.stream, small=row.size == SMALL_SEGMENT, expandable=False
            )
        elif row.action == "segment_alloc":
            if segments.pop(row.address, None) is None:
                raise InputError(
                    f"the segment allocated at {row.address:#x} is neither freed nor among the final segments"
                )
        elif row.action == "segment_unmap":
            mapped = _with_range(mapped, row, _is_small(row, known, settings))
        elif row.action == "segment_map":
            mapped = _without_range(mapped, row)
    return sorted((*segments.values(), *mapped))


def _is_small(row: Row, known: Sequence[Region], settings: AllocatorSettings) -> bool:
    """The pool of an unmapped range: that of the nearest mapped one, as pools lie far apart."""
    same_stream = [region for region in known if region.stream == row.stream]
    if not same_stream:
        return row.size % settings.large_segment != 0
    return min(same_stream, key=lambda region: abs(region.address - row.address)).small


def _with_range(mapped: list[Region], row: Row, small: bool) -> list[Region]:
    """The mapped ranges with one more, joined to those that it touches."""
    start, end = row.address, row.address + row.size
    others: list[Region] = []
    for region in mapped:
        if region.stream == row.stream and region.small == small and region.address <= end and region.end >= start:
            start, end = min(start, region.address), max(end, region.end)
        else:
            others.append(region)
    return [*others, Region(start, end - start, row.stream, small, expandable=True)]


def _without_range(mapped: list[Region], row: Row) -> list[Region]:
    """The mapped ranges less one, which cuts the range that holds it."""
    start, end = row.address, row.address + row.size
    for index, region in enumerate(mapped):
        if region.address <= start and end <= region.end:
            left = region._replace(size=start - region.address)
            right = region._replace(address=end, size=region.end - end)
            return [*mapped[:index], *mapped[index + 1 :], *(part for part in (left, right) if part.size)]
    raise InputError(f"the range mapped at {row.address:#x} is neither unmapped nor among the final segments")


def fill_regions(
    regions: Sequence[Region], live: Iterable[LiveBlock], rows: Sequence[Row], settings: AllocatorSettings
) -> tuple[Segment, ...]:
    """Segments that hold the live blocks, with free blocks between them; `rows` tell where these begin."""
    live = _with_sizes_from_use(live, rows, settings)
    starts = [region.address for region in regions]
    inside: list[list[LiveBlock]] = [[] for _ in regions]
    for block in sorted(live, key=lambda block: block.address):
        index = bisect_right(starts, block.address) - 1
        if index < 0 or block.address >= regions[index].end:
            raise InputError(f"the block at {block.address:#x} lies in none of the segments")
        inside[index].append(block)
    return tuple(
        Segment(region.address, region.size, region.stream, region.small, region.expandable, parts)
        for region, blocks in zip(regions, inside, strict=True)
        for parts in (_parts(region, blocks, settings),)
    )


def _parts(region: Region, live: Sequence[LiveBlock], settings: AllocatorSettings) -> tuple[SegmentBlock, ...]:
    parts: list[SegmentBlock] = []
    position = region.address
    for number, block in enumerate(live):
        limit = live[number + 1].address if number + 1 < len(live) else region.end
        if block.address > position:
            parts.append(SegmentBlock(block.address - position))
        size = _block_size(block, limit - block.address, region, settings)
        if block.address < position or block.address + size > limit:
            raise InputError(f"the block at {block.address:#x} overlaps another or its segment's end")
        parts.append(SegmentBlock(size, block.block, block.requested))
        position = block.address + size
    if position < region.end:
        parts.append(SegmentBlock(region.end - position))
    return tuple(parts)


def _block_size(block: LiveBlock, room: int, region: Region, settings: AllocatorSettings) -> int:
    """The block's bytes, where `room` is what there is up to the next live block.

    In a large pool up to 1 MiB stays with the block that it could be split off from, and no free block
    is that small: so much room behind a block belongs to it.
    """
    if block.size is not None and block.size <= room:
        return block.size
    size = round_size(block.requested, settings.divisions)
    if region.small or settings.expandable_segments:
        return size
    if room - size <= SMALL_SIZE or size >= settings.max_split_size:
        return max(room, size)
    return size


def _with_sizes_from_use(
    live: Iterable[LiveBlock], rows: Sequence[Row], settings: AllocatorSettings
) -> tuple[LiveBlock, ...]:
    """The live blocks with the sizes that later allocations show.

    An allocation takes the beginning of a free block. So where one is made behind a block that is still
    live, and up to 1 MiB behind the bytes that it needs, the block reaches up to there. (Where the block
    is freed first the trace does not tell, and until then the free block behind is taken up to 1 MiB too large.)
    """
    live = tuple(live)
    if settings.expandable_segments:
        return live
    needed = {block: round_size(block.requested, settings.divisions) for block in live if block.size is None}
    by_end = sorted((block.address + size, block) for block, size in needed.items() if size > SMALL_SIZE)
    ends = [end for end, _ in by_end]
    open_blocks = {block.address: block for _, block in by_end}
    found: dict[LiveBlock, int] = {}
    for row in rows:
        if row.action == "free_completed":
            open_blocks.pop(row.address, None)
        elif row.action == "alloc":
            index = bisect_right(ends, row.address) - 1
            if index >= 0 and row.address - ends[index] <= SMALL_SIZE:
                block = open_blocks.pop(by_end[index][1].address, None)
                if block is not None:
                    found[block] = row.address - block.address
    return tuple(block._replace(size=found.get(block, block.size)) for block in live)
