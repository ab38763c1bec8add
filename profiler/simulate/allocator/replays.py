"""The allocator as a function: a stream of events and settings in, reserved memory out."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from planner.errors import InputError
from profiler.simulate.allocator.addresses import Addresses
from profiler.simulate.allocator.blocks import Block
from profiler.simulate.allocator.device import DeviceAllocator
from profiler.simulate.allocator.reservation import Reservation
from profiler.simulate.allocator.rounding import round_size, segment_size
from profiler.simulate.allocator.segments import Segment, SegmentEvent
from profiler.simulate.allocator.settings import AllocatorSettings
from profiler.simulate.allocator.state import load_segments, segments_of
from profiler.simulate.events import Event


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """An allocation that did not fit, and what torch.OutOfMemoryError says of it; bytes."""

    event: int
    """Index of the allocation in the stream."""
    block: int
    requested: int
    segment: int
    """What the driver was asked for ("Tried to allocate")."""
    allocated: int
    reserved: int

    @property
    def cached(self) -> int:
        """What torch calls "reserved by PyTorch but unallocated": free parts of segments in use."""
        return self.reserved - self.allocated


@dataclass(frozen=True, slots=True)
class Replay:
    """What the allocator did; bytes throughout."""

    allocated: array[int]
    """After each event: live blocks, each rounded as `memory_allocated()` counts it."""
    reserved: array[int]
    """After each event: segments, as `memory_reserved()` counts them."""
    addresses: array[int]
    """Of the block that each event allocates or frees."""
    allocated_peak: int
    """As `max_memory_allocated()`, the initial state included."""
    reserved_peak: int
    """As `max_memory_reserved()`, the initial state included."""
    segment_events: tuple[SegmentEvent, ...]
    segments: tuple[Segment, ...]
    """The final state, by address."""
    retries: int
    """Times that all cached segments were released to try once more (`num_alloc_retries`)."""
    out_of_memory: OutOfMemory | None
    """Where the replay ended early; the arrays then end before that event."""


def replay(
    events: Iterable[Event],
    settings: AllocatorSettings | None = None,
    *,
    capacity: int | None = None,
    total_memory: int | None = None,
    initial: Sequence[Segment] = (),
    empty_cache_before: Collection[int] = (),
    addresses: Iterable[tuple[int, int]] = (),
) -> Replay:
    """Runs the events through PyTorch's caching allocator.

    `capacity`: bytes that the CUDA driver can hand to this process, None for no limit. `total_memory`:
    the card's bytes, needed only where `per_process_memory_fraction` is below 1. `initial`: what the
    allocator holds before the first event. `empty_cache_before`: indices of events before which
    torch.cuda.empty_cache() is called. `addresses`: (address, size) of segments in the order in which
    they were observed, used for segments of the same sizes; see `Addresses` for the others.

    Raises `InputError` for a stream that frees what is not live, or allocates what is.
    """
    settings = settings or AllocatorSettings()
    reservation = Reservation(settings, capacity, total_memory, Addresses(addresses))
    allocator = DeviceAllocator(settings, reservation)
    live = load_segments(allocator, initial)
    allocated = allocated_peak = sum(block.size for block in live.values())
    allocated_after, reserved_after, block_addresses = array("q"), array("q"), array("q")
    to_empty = sorted(empty_cache_before, reverse=True)
    next_empty = to_empty.pop() if to_empty else -1
    failure: OutOfMemory | None = None
    for index, (name, size, stream) in enumerate(events):
        if index == next_empty:
            reservation.event = index
            allocator.release_cached_blocks()
            next_empty = to_empty.pop() if to_empty else -1
        if size:
            if name in live:
                raise InputError(f"event {index} allocates block {name}, which is live already")
            reservation.event = index
            block = allocator.malloc(size, stream)
            if block is None:
                failure = _out_of_memory(index, name, size, settings, allocated, reservation)
                break
            block.block = name
            live[name] = block
            allocated += block.size
            allocated_peak = max(allocated_peak, allocated)
            block_addresses.append(block.address)
        else:
            block = _pop(live, name, index)
            allocated -= block.size
            block_addresses.append(block.address)
            allocator.free(block)
        allocated_after.append(allocated)
        reserved_after.append(reservation.bytes)
    if failure is None and next_empty >= len(allocated_after):
        reservation.event = len(allocated_after)
        allocator.release_cached_blocks()
    return Replay(
        allocated=allocated_after,
        reserved=reserved_after,
        addresses=block_addresses,
        allocated_peak=allocated_peak,
        reserved_peak=reservation.peak,
        segment_events=tuple(reservation.log),
        segments=segments_of(allocator, live.values()),
        retries=allocator.retries,
        out_of_memory=failure,
    )


def _pop(live: dict[int, Block], name: int, index: int) -> Block:
    block = live.pop(name, None)
    if block is None:
        raise InputError(f"event {index} frees block {name}, which is not live")
    return block


def _out_of_memory(
    index: int, name: int, size: int, settings: AllocatorSettings, allocated: int, reservation: Reservation
) -> OutOfMemory:
    return OutOfMemory(
        event=index,
        block=name,
        requested=size,
        segment=segment_size(round_size(size, settings.divisions), settings.large_segment),
        allocated=allocated,
        reserved=reservation.bytes,
    )
