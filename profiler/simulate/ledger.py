"""From a stream and the allocator's answer to ledgers: components at each instant of a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from planner.memory.estimate import EVALUATION as EVALUATION_INSTANT
from planner.memory.estimate import LOAD as LOAD_INSTANT
from planner.memory.estimate import OPTIMIZER_STEP, without_lesser_middle
from planner.memory.ledger import COMPONENTS, Instant
from planner.memory.step import END_OF_FORWARD, FIRST_BACKWARD, LAST_BACKWARD, LOSS_INSTANT, MIDDLE_BACKWARD
from profiler.simulate.stream import Stream
from profiler.simulate.trace.trace import (
    BACKWARD,
    CLIP,
    EMBED,
    EVALUATION,
    FORWARD,
    HEAD,
    LOAD,
    LOSS,
    LOSS_BACKWARD,
    OPTIMIZER,
    TEMPORARY,
    Window,
)

ORDER = (
    LOAD_INSTANT,
    END_OF_FORWARD,
    LOSS_INSTANT,
    FIRST_BACKWARD,
    MIDDLE_BACKWARD,
    LAST_BACKWARD,
    OPTIMIZER_STEP,
    EVALUATION_INSTANT,
)

_INSTANTS = {
    LOAD: LOAD_INSTANT,
    EMBED: END_OF_FORWARD,
    FORWARD: END_OF_FORWARD,
    HEAD: LOSS_INSTANT,
    LOSS_BACKWARD: LOSS_INSTANT,
    CLIP: OPTIMIZER_STEP,
    OPTIMIZER: OPTIMIZER_STEP,
}


@dataclass(frozen=True, slots=True)
class LayerRange:
    """The layers that run: a model can hold some that no batch of text reaches."""

    first: int
    last: int


def instant_of(window: Window, layers: LayerRange) -> str | None:
    """The instant that a window belongs to; None for the tidying up between them."""
    if window.part == EVALUATION:
        return EVALUATION_INSTANT
    if window.phase == BACKWARD:
        if window.layer == layers.first:
            return LAST_BACKWARD
        return FIRST_BACKWARD if window.layer == layers.last else MIDDLE_BACKWARD
    return _INSTANTS.get(window.phase)


class Place(NamedTuple):
    """Where in a step a window is, whatever the number of layers."""

    phase: str
    layer: str
    """first, middle or last; empty outside of layers."""
    evaluation: bool


def place_of(window: Window, layers: LayerRange) -> Place:
    """The place of a window."""
    layer = ""
    if window.layer is not None:
        ends = {layers.last: "last", layers.first: "first"}
        layer = ends.get(window.layer, "middle")
    return Place(window.phase, layer, window.part == EVALUATION)


def requested_sizes(stream: Stream) -> list[int]:
    """By how much each event changes the bytes asked for."""
    sizes = [allocation.size for allocation in stream.made]
    return [event.size or -sizes[event.block] for event in stream.events]


def changes_of(allocated: Iterable[int]) -> list[int]:
    """By how much each event changes what is allocated after it."""
    before = 0
    changes: list[int] = []
    for now in allocated:
        changes.append(now - before)
        before = now
    return changes


def ledgers(stream: Stream, changes: Sequence[int], layers: LayerRange) -> tuple[Instant, ...]:
    """The largest ledger of each instant, of loading and of the steps from the second on.

    changes: bytes by which each event changes what is alive, as asked for (`requested_sizes`) or as the
    allocator rounds it.
    """
    return largest_of_instants(ledgers_of_places(stream, changes, layers))


def ledgers_of_places(stream: Stream, changes: Sequence[int], layers: LayerRange) -> dict[Place, Instant]:
    """The same of each place of a step that belongs to an instant: one instant can have its peak in several."""
    number = {name: position for position, name in enumerate(COMPONENTS)}
    component = [number[allocation.component] for allocation in stream.made]
    now = [0] * len(COMPONENTS)
    alive = 0
    largest: dict[Place, tuple[int, list[int], str]] = {}
    ends = [stretch.begins for stretch in stream.stretches[1:]] + [len(stream.events)]
    for stretch, end in zip(stream.stretches, ends, strict=True):
        instant, place = instant_of(stretch.window, layers), place_of(stretch.window, layers)
        counts = instant is not None and (stretch.step > 1 or stretch.step == 0 or stretch.window.part == EVALUATION)
        most, at_most, _ = largest.get(place, (-1, now, "")) if counts else (0, now, "")
        if counts and alive > most:
            most, at_most = alive, now.copy()
        for position in range(stretch.begins, end):
            change = changes[position]
            alive += change
            now[component[stream.events[position].block]] += change
            if counts and alive > most:
                most, at_most = alive, now.copy()
        if counts:
            largest[place] = (most, at_most, instant or "")
    return {place: Instant(name, _components(name, sizes)) for place, (_, sizes, name) in largest.items()}


def largest_of_instants(places: Mapping[Place, Instant]) -> tuple[Instant, ...]:
    """Of the ledgers of all places of an instant the largest, in the order of a step."""
    found: dict[str, Instant] = {}
    for ledger in places.values():
        known = found.get(ledger.name)
        if known is None or ledger.allocated_bytes > known.allocated_bytes:
            found[ledger.name] = ledger
    return tuple(without_lesser_middle([found[name] for name in ORDER if name in found]))


def _components(instant: str, sizes: Sequence[int]) -> dict[str, int]:
    components = dict(zip(COMPONENTS, sizes, strict=True))
    if instant not in (LOSS_INSTANT, EVALUATION_INSTANT):
        # what the head leaves behind is a gradient on its way
        components[TEMPORARY] += components[LOSS]
        components[LOSS] = 0
    return components
