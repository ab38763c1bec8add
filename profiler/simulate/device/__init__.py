"""A device of our own, `sim`: fake tensors on it run the operators and the policies that CUDA has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any
from unittest import mock

import torch

from profiler.simulate.device import attention, autocast, backend, bitsandbytes, kernels, masks


@contextlib.contextmanager
def on_sim(*, padded: bool, capability: tuple[int, int] = attention.AMPERE) -> Generator[None]:
    """The simulated device in place, and the libraries taking the ways that they take on CUDA.

    padded: whether a batch has padding, which decides which attention masks there are. capability: of the card,
    which decides what its attention kernels can do.
    """
    backend.register()
    with (
        # libraries ask whether autocast is on for CUDA, by name or by leaving the name out
        mock.patch("torch.is_autocast_enabled", _as_if_cuda(torch.is_autocast_enabled)),
        mock.patch("torch.get_autocast_dtype", _as_if_cuda(torch.get_autocast_dtype)),
        mock.patch("torch.get_autocast_gpu_dtype", _autocast_dtype),
        autocast.as_on_cuda(),
        attention.as_on_cuda(capability),
        masks.as_on_cuda(padded),
        bitsandbytes.as_on_cuda(),
        kernels.as_on_cuda(),
    ):
        yield


def _as_if_cuda(asked: Callable[[str], Any]) -> Callable[..., Any]:
    def ask(device_type: str = "cuda") -> Any:
        return asked(backend.NAME if device_type == "cuda" else device_type)

    return ask


def _autocast_dtype() -> torch.dtype:
    return torch.get_autocast_dtype(backend.NAME)
