"""A trace as it was observed: the events for a replay, and the curve to compare with it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from planner.errors import InputError
from profiler.simulate.allocator.rebuild import LiveBlock, Region, Row, fill_regions, regions_before
from profiler.simulate.allocator.rounding import round_size
from profiler.simulate.allocator.segments import Segment, SegmentEvent
from profiler.simulate.allocator.settings import AllocatorSettings
from profiler.simulate.events import Event

TAKEN = ("segment_alloc", "segment_map")
RELEASED = ("segment_free", "segment_unmap")


class FailedAllocation(NamedTuple):
    """An allocation that ended in an out-of-memory error; it is not among the events."""

    event: int
    """Index of the event that came next."""
    requested: int
    """Bytes, rounded."""
    stream: int
    device_free: int
    """Bytes that the driver had left."""


@dataclass(frozen=True, slots=True)
class DeviceTrace:
    """The trace of one card."""

    device: int
    settings: AllocatorSettings
    events: tuple[Event, ...]
    """Allocations, and frees where they were completed."""
    initial: tuple[Segment, ...]
    """The state before the first event."""
    empty_cache_before: tuple[int, ...]
    """Indices of events before which segments were given back to the driver."""
    segment_events: tuple[SegmentEvent, ...]
    """As observed; `event` is the index of the next event of `events`."""
    allocated: array[int]
    """Observed after each event. A trace has requested sizes: these are rounded, and up to 1 MiB of a
    large block that was too little to split off is not seen."""
    reserved: array[int]
    """Observed after each event."""
    block_addresses: array[int]
    """Observed, of the block that each event allocates or frees."""
    reserved_peak: int
    failed: tuple[FailedAllocation, ...]

    @property
    def addresses(self) -> tuple[tuple[int, int], ...]:
        """Address and size of each new segment or mapped range, in order."""
        return tuple((event.address, event.size) for event in self.segment_events if event.action in TAKEN)


def observe(
    device: int, settings: AllocatorSettings, rows: Sequence[Row], regions: Sequence[Region], final: Sequence[LiveBlock]
) -> DeviceTrace:
    """The trace of a card from its rows, and from the segments and live blocks that they lead to.

    Actions other than those of `Row` are skipped. Raises `InputError` where rows and segments contradict
    each other.
    """
    before = regions_before(rows, regions, settings)
    reserved = reserved_peak = sum(region.size for region in before)
    events: list[Event] = []
    segment_events: list[SegmentEvent] = []
    empty_cache_before: list[int] = []
    failed: list[FailedAllocation] = []
    reserved_after: array[int] = array("q")
    block_addresses: array[int] = array("q")
    names: dict[int, int] = {}
    initial: list[LiveBlock] = []
    count = 0
    for action, address, size, stream in rows:
        if action == "alloc":
            if size <= 0 or address in names:
                raise InputError(f"the allocation at {address:#x} has no size or lies on a live block")
            names[address] = count
            events.append(Event(count, size, stream))
            count += 1
            reserved_after.append(reserved)
            block_addresses.append(address)
        elif action == "free_completed":
            name = names.pop(address, None)
            if name is None:
                name, count = count, count + 1
                initial.append(LiveBlock(name, address, size))
            events.append(Event(name, 0, stream))
            reserved_after.append(reserved)
            block_addresses.append(address)
        elif action in TAKEN or action in RELEASED:
            reserved += size if action in TAKEN else -size
            reserved_peak = max(reserved_peak, reserved)
            segment_events.append(SegmentEvent(len(events), action, address, size, stream))
            if action in RELEASED and empty_cache_before[-1:] != [len(events)]:
                empty_cache_before.append(len(events))
        elif action == "oom":
            failed.append(FailedAllocation(len(events), size, stream, device_free=address))
    for block in final:
        if block.address not in names:
            initial.append(block._replace(block=count))
            count += 1
    return DeviceTrace(
        device=device,
        settings=settings,
        events=tuple(events),
        initial=fill_regions(before, initial, rows, settings),
        empty_cache_before=tuple(empty_cache_before),
        segment_events=tuple(segment_events),
        allocated=_allocated(events, initial, settings),
        reserved=reserved_after,
        block_addresses=block_addresses,
        reserved_peak=reserved_peak,
        failed=tuple(failed),
    )


def _allocated(events: Sequence[Event], initial: Sequence[LiveBlock], settings: AllocatorSettings) -> array[int]:
    sizes = {block.block: block.size or round_size(block.requested, settings.divisions) for block in initial}
    current = sum(sizes.values())
    after: array[int] = array("q")
    for event in events:
        if event.size:
            sizes[event.block] = round_size(event.size, settings.divisions)
            current += sizes[event.block]
        else:
            current -= sizes.pop(event.block)
        after.append(current)
    return after
