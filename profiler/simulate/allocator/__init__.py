"""PyTorch's CUDA caching allocator as a pure function of a stream of events and its settings."""

from __future__ import annotations

from profiler.simulate.allocator.conf import parse_allocator_conf
from profiler.simulate.allocator.observed import DeviceTrace, FailedAllocation
from profiler.simulate.allocator.replays import OutOfMemory, Replay, replay
from profiler.simulate.allocator.segments import Segment, SegmentBlock, SegmentEvent
from profiler.simulate.allocator.settings import AllocatorSettings

__all__ = [
    "AllocatorSettings",
    "DeviceTrace",
    "FailedAllocation",
    "OutOfMemory",
    "Replay",
    "Segment",
    "SegmentBlock",
    "SegmentEvent",
    "parse_allocator_conf",
    "replay",
]
