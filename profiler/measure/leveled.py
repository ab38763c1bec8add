"""What a device's allocator and driver say at each instant of a step, with nothing else watching."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from profiler.measure.build import Built
from profiler.measure.device.base import Device
from profiler.measure.device.sampler import Reading
from profiler.measure.types import MeasuredLevels
from profiler.simulate.ledger import ORDER, LayerRange, Place, instant_of, place_of
from profiler.simulate.trace.hooks import Marks
from profiler.simulate.trace.step import collector_off
from profiler.simulate.trace.trace import EMBED, LOAD, LOSS_BACKWARD, TEMPORARY, Allocation, Window


class Leveled:
    """A `Watcher` of steps that reads levels as each window ends; `Marks` tells it of the layers.

    The highest of loading and of the steps from the second on is kept for each place, as in ledgers.
    """

    module = ""

    def __init__(self, device: Device, read: Callable[[], Reading]) -> None:
        self.window = Window(LOAD)
        self.step = 0
        self._device = device
        self._read = read
        self._layers = LayerRange(0, 0)
        self._marks: Marks | None = None
        self.places: dict[Place, MeasuredLevels] = {}
        """The highest of each place; the levels are named by the place's instant."""
        device.reset_peaks()

    @contextmanager
    def steps(self, built: Built) -> Generator[None]:
        """Read levels in the steps in here."""
        self._layers = LayerRange(0, len(built.layers) - 1)
        self._marks = Marks(self, built.layers, {})
        with collector_off(), self._marks.on(built.model):
            yield
        self._close()

    @property
    def instant(self) -> str:
        """The instant that the open window belongs to, or the one that it tidies up after."""
        return instant_of(self.window, self._layers) or ("load" if self.window.phase == LOAD else "optimizer_step")

    def begin(self, step: int) -> None:
        """The next window begins a step, numbered from 1."""
        self._close()
        self.step = step

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        """A window ends, and another one begins."""
        self._close()
        if self._marks is not None and window.phase == EMBED:
            self._marks.part = window.part
            self._marks.forward()
        if self._marks is not None and window.phase == LOSS_BACKWARD:
            self._marks.backward()
        self.window = window

    def settle(self, part: int) -> None:
        """Of no account here."""

    def recompute(self, begins: bool) -> None:
        """Of no account here."""

    def allocation_of(self, tensor: Any) -> Allocation | None:
        """Tensors are not followed."""
        return None

    def gradient(self, name: str, allocation: Allocation) -> None:
        """Tensors are not followed."""

    def _close(self) -> None:
        name = instant_of(self.window, self._layers)
        held = self._device.allocator()
        if name is not None and self.step != 1:
            reading = self._read()
            now = MeasuredLevels(
                name,
                0 if held is None else held.peak_allocated,
                None if held is None else held.peak_reserved,
                reading.process_bytes,
                reading.device_bytes,
                reading.host_bytes,
            )
            place = place_of(self.window, self._layers)
            before = self.places.get(place)
            self.places[place] = now if before is None else higher(before, now)
        self._device.reset_peaks()


def highest_of_instants(places: Mapping[Place, MeasuredLevels]) -> tuple[MeasuredLevels, ...]:
    """Level by level the highest of all places of an instant, in the order of a step."""
    found: dict[str, MeasuredLevels] = {}
    for levels in places.values():
        known = found.get(levels.name)
        found[levels.name] = levels if known is None else higher(known, levels)
    return tuple(found[name] for name in ORDER if name in found)


def higher(one: MeasuredLevels, other: MeasuredLevels) -> MeasuredLevels:
    """Level by level, the higher of the two that are known."""

    def most(first: int | None, second: int | None) -> int | None:
        return max((size for size in (first, second) if size is not None), default=None)

    return MeasuredLevels(
        one.name,
        max(one.allocated, other.allocated),
        most(one.reserved, other.reserved),
        most(one.process, other.process),
        most(one.device, other.device),
        most(one.host, other.host),
    )
