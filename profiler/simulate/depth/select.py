"""Which layers of a model to trace: few, but every kind in every neighbourhood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

RADIUS = 2
"""How many neighbours on each side count: a layer's windows free tensors of the layer before, whose own windows
may depend on what is before that."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Layers to trace, and which of them stands for each layer of the model."""

    kept: tuple[int, ...]
    """Positions in the whole model, ascending."""
    stands_for: tuple[int, ...]
    """For each layer of the model, a position in `kept`."""


def select(kinds: Sequence[Hashable], radius: int = RADIUS) -> Selection:
    """The layers to keep so that each has a representative with the same kinds `radius` layers up and down.

    Where two layers have the same neighbourhood, everything from the first up to the second can go, as long as
    what goes is seen elsewhere: neighbourhoods across the cut stay as they were.
    """
    around = _neighbourhoods(kinds, radius)
    kept = list(range(len(kinds)))
    seen = Counter(around)
    begin = 0
    while begin < len(kept):
        for end in range(len(kept) - 1, begin, -1):
            if around[kept[end]] != around[kept[begin]]:
                continue
            going = Counter(around[layer] for layer in kept[begin:end])
            if all(seen[which] > count for which, count in going.items()):
                seen -= going
                del kept[begin:end]
                break
        begin += 1
    # a layer that is kept stands for itself, even where another one has its neighbourhood
    at = {layer: position for position, layer in enumerate(kept)}
    first = {around[layer]: at[layer] for layer in reversed(kept)}
    return Selection(tuple(kept), tuple(at.get(layer, first[which]) for layer, which in enumerate(around)))


def _neighbourhoods(kinds: Sequence[Hashable], radius: int) -> list[Hashable]:
    ends: list[Hashable] = [None] * radius
    padded = [*ends, *kinds, *ends]
    return [tuple(padded[at : at + 2 * radius + 1]) for at in range(len(kinds))]
