"""Follows the storages of the simulated device: a dispatch mode sees each made, a weak reference sees it die."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateUsage=false

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from profiler.simulate.device.backend import NAME
from profiler.simulate.trace.trace import SAVED, TEMPORARY, Allocation, Free, Trace, Window, WindowTrace

Answer = Callable[[Any, tuple[Any, ...]], Any]
"""What a data-dependent operator gives, or NotImplemented for any other."""


class Tracker(TorchDispatchMode):
    """Records a `Trace` while it is active.

    answers: asked first about every operator, for those whose result depends on data that fake tensors lack.
    """

    def __init__(self, answers: Answer | None = None, device: str = NAME) -> None:
        super().__init__()
        self.trace = Trace()
        self.component = TEMPORARY
        """The component of allocations made from now on."""
        self.module = ""
        """The module whose forward pass runs."""
        self.failed: tuple[str, str, Window] | None = None
        """The operator that raised last, its module and its window."""
        self._answers = answers
        self._device = device
        self._live: dict[int, Allocation] = {}
        self._references: dict[int, weakref.ref[Any]] = {}
        self._recomputing = False
        self._recomputed = False
        self._closed = False
        self._window: WindowTrace
        self._position = -1

    def close(self) -> None:
        """End the trace: what is freed from now on is the tracer's own tidying up."""
        self._closed = True

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        """Begin a window, whose allocations are of `component` unless something says otherwise later."""
        self.component = component
        self._window = WindowTrace(window)
        self.trace.windows.append(self._window)
        self._position += 1

    def recompute(self, begins: bool) -> None:
        """A checkpointed layer begins to run again, or has ended."""
        self._recomputing = begins
        self._recomputed = not begins

    def gradient(self, name: str, allocation: Allocation) -> None:
        """The gradient of the parameter `name` is there, in `allocation`."""
        self.trace.gradients[name] = Free(allocation.window, allocation.number)

    def adopt(self, tensor: torch.Tensor, component: str) -> None:
        """Follow a tensor that was made while nobody watched, from the open window on."""
        self._see(tensor, "")
        allocation = self.allocation_of(tensor)
        if allocation is not None:
            allocation.component = component

    @property
    def window(self) -> Window:
        """The window that is open."""
        return self._window.window

    def live(self) -> Iterator[Allocation]:
        """What is alive now."""
        return iter(self._live.values())

    def allocation_of(self, tensor: torch.Tensor) -> Allocation | None:
        """The allocation that holds a tensor; None if it was made before the trace."""
        return self._live.get(tensor.untyped_storage()._cdata)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            out = self._answers(func, args) if self._answers is not None else NotImplemented
            if out is NotImplemented:
                out = func(*args, **(kwargs or {}))
        except Exception:
            self.failed = (str(func), self.module, self.window)
            raise
        if isinstance(out, torch.Tensor):
            self._see(out, func)
        elif isinstance(out, tuple | list):
            for item in out:
                if isinstance(item, torch.Tensor):
                    self._see(item, func)
                elif isinstance(item, tuple | list):
                    for inner in item:
                        if isinstance(inner, torch.Tensor):
                            self._see(inner, func)
        return out

    def _see(self, tensor: torch.Tensor, func: Any) -> None:
        if tensor.device.type != self._device or tensor.layout != torch.strided:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._references or self._closed:
            return
        size = storage.nbytes()
        if size == 0:
            return
        self._references[key] = weakref.ref(storage, lambda _, key=key: self._forget(key))
        if self._recomputed:
            # now, and not as the layer ended: an exception ends it, which holds the variables of its frames
            self._recomputed = False
            for allocation in self._live.values():
                if allocation.recomputed:
                    allocation.component = SAVED
        window = self._window
        allocation = Allocation(
            size,
            self._position,
            len(window.allocations),
            str(func),
            self.module,
            self.component,
            self._recomputing,
        )
        window.allocations.append(allocation)
        window.steps.append(allocation)
        self._live[key] = allocation

    def _forget(self, key: int) -> None:
        del self._references[key]
        allocation = self._live.pop(key, None)
        if allocation is not None and not self._closed:
            self._window.steps.append(Free(allocation.window, allocation.number))
