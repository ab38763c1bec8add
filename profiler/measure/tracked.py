"""Follows every tensor of real steps: the simulator's tracker on a device that computes."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from profiler.measure.build import ADAPTERS as WRAPPED
from profiler.measure.build import LOADED, Built
from profiler.measure.build import UPCAST as CAST
from profiler.simulate.device import kernels
from profiler.simulate.events import Event
from profiler.simulate.ledger import LayerRange
from profiler.simulate.stream import Stream, Stretch
from profiler.simulate.trace.hooks import Marks
from profiler.simulate.trace.step import collector_off, settle
from profiler.simulate.trace.trace import (
    ADAPTERS,
    ADDED,
    BASE,
    BASE_WEIGHTS,
    EMBED,
    FORWARD,
    LOAD,
    LOSS_BACKWARD,
    OPTIMIZER,
    OPTIMIZER_STATES,
    TEMPORARY,
    UPCAST,
    ZERO_GRAD,
    Window,
)
from profiler.simulate.trace.tracker import Tracker

_IN_PLACE = (torch.ops.aten.add.Tensor, torch.ops.aten.index_put.default)
"""What autograd does in place unless a dispatch mode watches: `kernels.answer` does it nevertheless."""


class Tracked:
    """A `Watcher` of steps that knows every tensor, from loading on."""

    def __init__(self, device_type: str) -> None:
        self._tracker = Tracker(_answer, device_type)
        self._begins: list[tuple[int, int]] = [(0, 0)]
        self._marks: Marks | None = None
        self._tracker.enter(Window(LOAD, None, BASE))

    @contextmanager
    def loading(self) -> Generator[None]:
        """Follow what is made in here."""
        with self._tracker:
            yield

    def loaded(self, stage: str) -> None:
        """A stage of `build` is done: what is left of it stays."""
        component = ADAPTERS if stage == WRAPPED else BASE_WEIGHTS
        for allocation in self._tracker.live():
            if allocation.component == TEMPORARY:
                allocation.component = component
        if stage != WRAPPED:
            self._tracker.enter(Window(LOAD, None, {LOADED: UPCAST, CAST: ADDED}[stage]))

    def adopt_model(self, built: Built) -> None:
        """Follow the model's tensors that other threads have loaded, where no mode of this one watches."""
        for parameter in built.model.parameters():
            component = ADAPTERS if parameter.requires_grad and built.adapted else BASE_WEIGHTS
            for tensor in (parameter, *_beside(parameter)):
                self._tracker.adopt(tensor, component)
        for buffer in built.model.buffers():
            self._tracker.adopt(buffer, BASE_WEIGHTS)

    def adopt_states(self, optimizer: Any) -> None:
        """Follow the optimizer's states, which were made while nobody watched."""
        self._tracker.enter(Window(ZERO_GRAD))
        for state in optimizer.state.values():
            for value in state.values():
                if isinstance(value, torch.Tensor):
                    self._tracker.adopt(value, OPTIMIZER_STATES)

    @contextmanager
    def steps(self, built: Built) -> Generator[None]:
        """Follow the steps in here."""
        names = {id(module): name for name, module in built.model.named_modules()}
        self._marks = Marks(self._tracker, built.layers, names)
        # in this thread: what the modes of a thread say does not reach autograd's own
        with (
            collector_off(),
            self._marks.on(built.model),
            self._tracker,
            torch.autograd.set_multithreading_enabled(False),
        ):
            yield

    def begin(self, step: int) -> None:
        """The next window begins a step, numbered from 1."""
        self._begins.append((len(self._tracker.trace.windows), step))

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        """A window begins."""
        marks = self._marks
        if marks is not None and window.phase == EMBED:
            marks.part = window.part
            marks.forward()
        self._tracker.enter(window, component)
        if marks is not None and window.phase == LOSS_BACKWARD:
            marks.backward()
        if window.phase == ZERO_GRAD:
            self._name_states()

    def settle(self, part: int) -> None:
        """What a forward pass has kept is named."""
        settle(self._tracker, part)

    def stream(self) -> Stream:
        """Everything that was allocated and freed so far, in order."""
        stream = Stream()
        blocks: dict[tuple[int, int], int] = {}
        for position, (traced, step) in enumerate(self._windows()):
            stream.stretches.append(Stretch(len(stream.events), step, traced.window))
            for entry in traced.steps:
                if isinstance(entry, tuple):
                    stream.events.append(Event(blocks[entry], 0))
                    continue
                blocks[position, entry.number] = len(stream.made)
                stream.events.append(Event(len(stream.made), entry.size))
                stream.made.append(entry)
        return stream

    def layers(self) -> LayerRange:
        """Those that ran."""
        windows = [traced.window for traced in self._tracker.trace.windows]
        ran = [window.layer for window in windows if window.phase == FORWARD and window.layer is not None]
        return LayerRange(min(ran), max(ran))

    def _windows(self) -> Iterator[tuple[Any, int]]:
        ends = [begin for begin, _ in self._begins[1:]] + [len(self._tracker.trace.windows)]
        for (begin, step), end in zip(self._begins, ends, strict=True):
            for traced in self._tracker.trace.windows[begin:end]:
                yield traced, step

    def _name_states(self) -> None:
        for allocation in self._tracker.live():
            made = self._tracker.trace.windows[allocation.window].window
            if allocation.component == TEMPORARY and made.phase == OPTIMIZER:
                allocation.component = OPTIMIZER_STATES


def _answer(func: Any, args: tuple[Any, ...]) -> Any:
    return kernels.answer(func, args) if func in _IN_PLACE else NotImplemented


def _beside(parameter: Any) -> Iterator[torch.Tensor]:
    """What bitsandbytes keeps on the device beside a quantized weight."""
    state = getattr(parameter, "quant_state", None)
    nested = getattr(state, "state2", None)
    found = [getattr(state, name, None) for name in ("absmax", "code", "offset")]
    found += [getattr(nested, name, None) for name in ("absmax", "code")]
    found += [getattr(parameter, name, None) for name in ("CB", "SCB")]
    yield from (tensor for tensor in found if isinstance(tensor, torch.Tensor))
