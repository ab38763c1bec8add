"""Streams of events, written in MiB."""

from __future__ import annotations

from planner.units import MIB
from profiler.simulate.allocator import Replay
from profiler.simulate.events import Event


def alloc(block: int, mib: float, stream: int = 0) -> Event:
    return Event(block, int(mib * MIB), stream)


def free(block: int) -> Event:
    return Event(block, 0)


def segments(result: Replay) -> list[tuple[int, str, float]]:
    """Index of the event, action, and MiB of every segment event."""
    return [(event.event, event.action, event.size / MIB) for event in result.segment_events]


def mib(count: int) -> float:
    return count / MIB
