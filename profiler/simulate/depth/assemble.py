"""The stream of the whole model, made of the windows of the layers that were traced.

Each layer of the model plays the windows of the layer that stands for it. Where a window ends an allocation
of another one, it does so relative to its own layer: what layer 3 frees of layer 4, layer 70 frees of layer 71.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from profiler.simulate.depth.select import RADIUS, Selection
from profiler.simulate.trace.trace import Allocation, Free, Step, Trace, Window, WindowTrace


class DoesNotFold(Exception):
    """The traced windows cannot be played at another depth: the model has to be traced whole."""


@dataclass(frozen=True, slots=True)
class Play:
    """One window of the whole model: what is traced, and for which layer it is played."""

    traced: int
    """Position in `Trace.windows`."""
    window: Window
    """Its name, with the layer of the whole model."""


Ended = tuple[Window, int]
"""The window of the whole model that an allocation was made in, and its number there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the assembled stream."""

    made: Allocation | None
    """What is allocated; None for a free."""
    block: Ended
    """Names the allocation."""


class Assembly:
    """The windows of the whole model in order, and what happens in each."""

    def __init__(self, trace: Trace, selection: Selection) -> None:
        self._trace = trace
        self._kept = selection.kept
        self._stands_for = selection.stands_for
        self._played: dict[int, list[int]] = {}
        for layer, position in enumerate(selection.stands_for):
            self._played.setdefault(position, []).append(layer)
        self._traced_layers = {traced.window.layer for traced in trace.windows if traced.window.layer is not None}
        self._freed = {
            (step.window, step.number) for traced in trace.windows for step in traced.steps if isinstance(step, Free)
        }
        self.plays = list(self._order())
        self._last_play = {play.traced: order for order, play in enumerate(self.plays)}

    def _order(self) -> Iterator[Play]:
        windows = list(enumerate(self._trace.windows))
        for (layered, _, _), group in groupby(windows, key=lambda entry: _run_of(entry[1].window)):
            run = list(group)
            if not layered:
                yield from (Play(at, traced.window) for at, traced in run)
                continue
            descends = len(run) > 1 and _layer(run[0][1]) > _layer(run[-1][1])
            by_layer = {_layer(traced): at for at, traced in run}
            layers = range(len(self._stands_for))
            for layer in reversed(layers) if descends else layers:
                at = by_layer.get(self._stands_for[layer])
                if at is not None:
                    yield Play(at, self._trace.windows[at].window._replace(layer=layer))

    def entries(self, order: int) -> Iterator[Entry]:
        """What happens in the window at `order` in `plays`."""
        play = self.plays[order]
        traced = self._trace.windows[play.traced]
        if traced.window.layer is None:
            yield from self._whole(traced)
            return
        last = self._last_play[play.traced] == order
        for layered, group in groupby(traced.steps, key=self._frees_layer):
            steps = list(group)
            if layered and last and self._reach_everywhere(steps):
                yield from self._of_all_layers([step for step in steps if isinstance(step, Free)])
                continue
            for step in steps:
                if isinstance(step, Allocation):
                    yield Entry(step, (play.window, step.number))
                    continue
                ended = self._ended(step, play.window, traced.window)
                if ended[0].layer is None and not last:
                    continue  # what all layers share ends with the last of them
                yield Entry(None, ended)

    def _reach_everywhere(self, frees: Sequence[Step]) -> bool:
        """Whether every traced layer loses something: then it is not of neighbours."""
        layers = {self._trace.windows[free.window].window.layer for free in frees}
        return len(layers) > 2 and layers == self._traced_layers

    def lost(self, allocation: Allocation) -> bool:
        """Whether an allocation ends within the trace."""
        return (allocation.window, allocation.number) in self._freed

    def _ended(self, free: Free, playing: Window, traced: Window) -> Ended:
        source = self._trace.windows[free.window].window
        if source.layer is None or playing.layer is None or traced.layer is None:
            return source, free.number
        if abs(source.layer - traced.layer) > RADIUS and source.layer in (0, len(self._kept) - 1):
            # handed on from one end of the model to the other, as a gradient into which others are added
            return source._replace(layer=0 if source.layer == 0 else len(self._stands_for) - 1), free.number
        layer = playing.layer + source.layer - traced.layer
        return source._replace(layer=layer), free.number

    def _whole(self, traced: WindowTrace) -> Iterator[Entry]:
        """A window that belongs to no layer; what it frees of layers it frees of all of them."""
        for layered, group in groupby(traced.steps, key=self._frees_layer):
            steps = list(group)
            if layered:
                yield from self._of_all_layers([step for step in steps if isinstance(step, Free)])
                continue
            for step in steps:
                if isinstance(step, Allocation):
                    yield Entry(step, (traced.window, step.number))
                else:
                    yield Entry(None, (self._trace.windows[step.window].window, step.number))

    def _frees_layer(self, step: Step) -> bool:
        return isinstance(step, Free) and self._trace.windows[step.window].window.layer is not None

    def _of_all_layers(self, frees: Sequence[Free]) -> Iterator[Entry]:
        sources = [self._trace.windows[free.window].window for free in frees]
        by_layer: dict[int, list[tuple[Window, int]]] = {}
        for free, source in zip(frees, sources, strict=True):
            by_layer.setdefault(source.layer or 0, []).append((source, free.number))
        traced = list(by_layer)
        layers = [layer for layer, position in enumerate(self._stands_for) if position in by_layer]
        if len(traced) > 1 and traced[0] > traced[-1]:
            layers.reverse()
        for layer in layers:
            for source, index in by_layer[self._stands_for[layer]]:
                yield Entry(None, (source._replace(layer=layer), index))


def _layer(traced: WindowTrace) -> int:
    return traced.window.layer or 0


def _run_of(window: Window) -> tuple[bool, str, int]:
    """Consecutive windows with the same value are one pass through the layers."""
    return window.layer is not None, window.phase, window.part
