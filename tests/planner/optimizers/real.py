"""Real optimizers on real tensors, built by transformers' own `Trainer`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers import Trainer, TrainingArguments

from tests.support.live_bytes import LiveBytes

SHAPES = ((4096, 64), (64, 64), (7,), (1001, 7), (3, 500, 70))
"""Above and below bitsandbytes' 4096 elements and its 100,000, even and odd, one to three dimensions."""


def real_optimizer(name: str, parameters: list[torch.nn.Parameter], folder: Path) -> torch.optim.Optimizer:
    """The optimizer of `TrainingArguments(optim=name)`, as `Trainer` builds it."""
    arguments = TrainingArguments(output_dir=str(folder), optim=name, report_to="none", use_cpu=True)
    made, keywords = Trainer.get_optimizer_cls_and_kwargs(arguments)
    return made(parameters, **keywords)


def parameters_of(shapes: tuple[tuple[int, ...], ...], dtype: str) -> list[torch.nn.Parameter]:
    """Parameters with gradients."""
    torch.manual_seed(0)
    made = [torch.nn.Parameter(torch.randn(shape, dtype=getattr(torch, dtype))) for shape in shapes]
    for parameter in made:
        parameter.grad = torch.randn_like(parameter)
    return made


def step(optimizer: torch.optim.Optimizer) -> None:
    """One step. The CPU has no managed memory: paged buffers of the same size are plain ones here."""
    with (
        warnings.catch_warnings(),
        mock.patch("bitsandbytes.functional.get_paged", _plain_buffer),
        mock.patch("bitsandbytes.functional.fill"),
    ):
        warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")
        optimizer.step()


def _plain_buffer(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device=device)


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of all tensors in the states, a shared one once."""
    storages = [tensor.untyped_storage() for tensor in _tensors(optimizer)]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def _tensors(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                yield value


def second_step_peak(optimizer: torch.optim.Optimizer) -> int:
    """Most bytes alive in the second step beside parameters, gradients and states."""
    step(optimizer)
    owned: list[Any] = [*_tensors(optimizer)]
    for group in optimizer.param_groups:
        owned += [*group["params"], *(parameter.grad for parameter in group["params"])]
    live = LiveBytes(owned)
    with live:
        step(optimizer)
    return live.peak
