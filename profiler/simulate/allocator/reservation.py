"""What the process has reserved: counted against the limits, and recorded."""

from __future__ import annotations

from planner.errors import InputError
from profiler.simulate.allocator.addresses import Addresses
from profiler.simulate.allocator.segments import SegmentAction, SegmentEvent
from profiler.simulate.allocator.settings import UNLIMITED, AllocatorSettings

ADDRESS_SPACE = 1 << 42
"""Bytes of an expandable segment where the card's memory is not known: more than any card has."""


class Reservation:
    """Bytes taken from the CUDA driver, their peak, and every segment event."""

    def __init__(
        self,
        settings: AllocatorSettings,
        capacity: int | None,
        total_memory: int | None,
        addresses: Addresses,
    ) -> None:
        self.capacity = UNLIMITED if capacity is None else capacity
        self.allowed: int | None = None
        """What `per_process_memory_fraction` allows; None where it is 1."""
        if settings.per_process_memory_fraction < 1:
            if total_memory is None:
                raise InputError("per_process_memory_fraction is a part of the card's memory; give total_memory")
            self.allowed = int(settings.per_process_memory_fraction * total_memory)
        self.address_space = ADDRESS_SPACE if total_memory is None else total_memory + total_memory // 8
        self.addresses = addresses
        self.bytes = 0
        self.peak = 0
        self.event = 0
        """Index of the event that is being replayed."""
        self.log: list[SegmentEvent] = []

    def is_allowed(self, size: int) -> bool:
        return self.allowed is None or self.bytes + size <= self.allowed

    def fits(self, size: int) -> bool:
        return self.bytes + size <= self.capacity

    def add(self, action: SegmentAction, address: int, size: int, stream: int) -> None:
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        self.log.append(SegmentEvent(self.event, action, address, size, stream))

    def subtract(self, action: SegmentAction, address: int, size: int, stream: int) -> None:
        self.bytes -= size
        self.log.append(SegmentEvent(self.event, action, address, size, stream))
