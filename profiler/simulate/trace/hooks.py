"""Marks on a model: where a layer begins, forward, in recomputation and backward."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.modules import module as module_hooks

from profiler.simulate.trace.trace import (
    BACKWARD,
    FORWARD,
    GRADIENTS,
    HEAD,
    LOSS,
    TEMPORARY,
    Allocation,
    Window,
)

_CHECKPOINT = "_gradient_checkpointing_func"


class Marked(Protocol):
    """What is told of the windows: a `Tracker`, or whatever else wants to know where a step is."""

    module: str
    """The module whose forward pass runs."""

    @property
    def window(self) -> Window:
        """The window that is open."""
        ...

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        """Begin a window."""
        ...

    def recompute(self, begins: bool) -> None:
        """A checkpointed layer begins to run again, or has ended."""
        ...

    def allocation_of(self, tensor: torch.Tensor) -> Allocation | None:
        """The allocation that holds a tensor, where it is known."""
        ...

    def gradient(self, name: str, allocation: Allocation) -> None:
        """The gradient of the parameter `name` is there."""
        ...


class Marks:
    """Opens the windows of one step as its layers run.

    part: the micro-batch that is traced, set before each.
    """

    def __init__(self, tracker: Marked, layers: list[nn.Module], names: Mapping[int, str]) -> None:
        self.part = 0
        self._tracker = tracker
        self._layers = {id(layer): position for position, layer in enumerate(layers)}
        self._last = len(layers) - 1
        self._names = names
        self._in_backward = False
        self._stack: list[str] = []

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Generator[None]:
        """The marks in place."""
        handles = [
            module_hooks.register_module_forward_pre_hook(self._begins),
            module_hooks.register_module_forward_hook(self._ends, always_call=True),
        ]
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                handles.append(parameter.register_post_accumulate_grad_hook(self._gradient_of(name)))
        checkpointed: list[tuple[dict[str, Any], Any]] = []
        for layer in model.modules():
            checkpoint = getattr(layer, _CHECKPOINT, None)
            if checkpoint is not None:
                checkpointed.append((vars(layer), checkpoint))
                vars(layer)[_CHECKPOINT] = self._checkpoint(checkpoint)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for attributes, checkpoint in checkpointed:
                attributes[_CHECKPOINT] = checkpoint

    def backward(self) -> None:
        """The backward pass begins."""
        self._in_backward = True

    def forward(self) -> None:
        """A forward pass begins."""
        self._in_backward = False

    def _begins(self, module: nn.Module, _args: Any) -> None:
        self._stack.append(self._tracker.module)
        self._tracker.module = self._names.get(id(module), "")
        layer = self._layers.get(id(module))
        if layer is not None and not self._in_backward:
            self._tracker.enter(Window(FORWARD, layer, self.part))

    def _ends(self, module: nn.Module, _args: Any, output: Any) -> None:
        self._tracker.module = self._stack.pop()
        layer = self._layers.get(id(module))
        if layer is None or self._in_backward:
            return
        tensor = output if isinstance(output, torch.Tensor) else output[0] if isinstance(output, tuple) else None
        if tensor is None:
            return  # the layer ended in an exception
        if tensor.grad_fn is not None:
            tensor.grad_fn.register_prehook(self._backward_of(Window(BACKWARD, layer, self.part)))
        if layer == self._last:
            allocation = self._tracker.allocation_of(tensor)
            if allocation is not None:
                allocation.component = LOSS
            self._tracker.enter(Window(HEAD, None, self.part), LOSS)

    def _backward_of(self, window: Window) -> Callable[[Any], None]:
        def begins(_gradients: Any) -> None:
            if self._tracker.window != window:
                self._tracker.enter(window)

        return begins

    def _checkpoint(self, checkpoint: Callable[..., Any]) -> Callable[..., Any]:
        def checkpointed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return checkpoint(self._twice(function), *args, **kwargs)

        return checkpointed

    def _twice(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose calls after the first are a recomputation."""
        calls = 0

        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                return function(*args, **kwargs)
            self._tracker.recompute(True)
            try:
                return function(*args, **kwargs)
            finally:
                self._tracker.recompute(False)

        return run

    def _gradient_of(self, name: str) -> Callable[[torch.Tensor], None]:
        def accumulated(parameter: torch.Tensor) -> None:
            if parameter.grad is None:
                return
            allocation = self._tracker.allocation_of(parameter.grad)
            if allocation is not None:
                allocation.component = GRADIENTS
                self._tracker.gradient(name, allocation)

        return accumulated
