"""Live and reserved bytes over one step, thinned out to what a picture can show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from profiler.simulate.ledger import LayerRange, instant_of
from profiler.simulate.stream import Stream
from profiler.simulate.types import Timeline

POINTS = 600


def timeline(
    stream: Stream, allocated: Sequence[int], reserved: Sequence[int], layers: LayerRange, points: int = POINTS
) -> Timeline:
    """The last step of a stream. Each point is the largest of the events that it stands for."""
    last = stream.stretches[-1].step
    stretches = [stretch for stretch in stream.stretches if stretch.step == last]
    begin, end = stretches[0].begins, len(stream.events)
    edges = [begin + (end - begin) * point // points for point in range(points + 1)]
    spans = [(low, max(high, low + 1)) for low, high in pairwise(edges) if low < end]
    instants: list[tuple[int, str]] = []
    for stretch in stretches:
        name = instant_of(stretch.window, layers)
        if name is not None and (not instants or instants[-1][1] != name):
            instants.append(((stretch.begins - begin) * len(spans) // max(end - begin, 1), name))
    return Timeline(
        tuple(max(allocated[low:high]) for low, high in spans),
        tuple(max(reserved[low:high]) for low, high in spans),
        tuple(instants),
    )
