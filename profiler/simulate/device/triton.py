"""Stands for triton where liger-kernel is simulated: its kernels fill what torch allocated, and none runs here.

So liger-kernel can be imported where there is no triton (it has no wheels for macOS, and is 1 GB on disk). What
liger's own Python code computes with, it gets from here; anything else is a name inside kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__version__ = "3.9.0"


class Unused:
    """A type, constant or function of the language that kernels are written in."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unused()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return Unused()

    def __getitem__(self, _: Any) -> Any:
        return Unused()


class Kernel:
    """A kernel, which is launched as `kernel[grid](...)` and does nothing."""

    def __init__(self, function: Any) -> None:
        self.fn = function

    def __getitem__(self, _grid: Any) -> Callable[..., None]:
        return _launched


def jit(function: Any = None, **_: Any) -> Any:
    """`@triton.jit`, with or without arguments."""
    return Kernel if function is None else Kernel(function)


def autotune(*_: Any, **__: Any) -> Callable[[Any], Any]:
    """`@triton.autotune(...)`: nothing is tried out."""
    return _itself


heuristics = autotune


def cdiv(x: int, y: int) -> int:
    """x / y, rounded up."""
    return -(-x // y)


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is not less than n."""
    return 1 << (n - 1).bit_length()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return Unused()


def _launched(*_: Any, **__: Any) -> None: ...


def _itself(kernel: Any) -> Any:
    return kernel
