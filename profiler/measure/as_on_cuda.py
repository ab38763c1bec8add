"""Steps on a CPU that keep the tensors that steps on CUDA keep.

A CPU is measured to hold the estimate of a GPU to real tensors, and a few operators and libraries go another way
there: dropout keeps a mask in the input's dtype, attention lays its result out otherwise, autocast leaves norms in 16
bits, PEFT asks whether autocast is on for CUDA, and bitsandbytes multiplies int8 weights without quantizing the input.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any
from unittest import mock

import torch

from planner.run import TrainingRun
from profiler.simulate.device import autocast


@contextlib.contextmanager
def as_on_cuda(run: TrainingRun) -> Generator[None]:
    """The CPU takes CUDA's ways within; results stay what they are, up to the mask that chance draws."""
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        enter(mock.patch("torch.nn.functional.dropout", _dropout))
        enter(mock.patch("torch.nn.functional.scaled_dot_product_attention", _attention))
        if run.mixed_precision != "no":
            enter(autocast.on_cpu())
        enter(mock.patch("torch.is_autocast_enabled", _of_cpu(torch.is_autocast_enabled)))
        enter(mock.patch("torch.get_autocast_dtype", _of_cpu(torch.get_autocast_dtype)))
        enter(mock.patch("torch.get_autocast_gpu_dtype", _autocast_dtype))
        if run.quantization == "int8":
            import bitsandbytes

            enter(mock.patch.object(bitsandbytes, "matmul", _matmul_int8))
        elif run.quantization in ("nf4", "fp4"):
            # where it can, bitsandbytes packs the weights of layers anew that evaluate on a CPU, and none train after
            enter(mock.patch("bitsandbytes.nn.modules.has_avx512bf16", _no, create=True))
        yield


def _dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """`native_dropout`, which CUDA's autograd takes (`dropout` in `Dropout.cpp`): a boolean mask."""
    return torch.native_dropout(input, p, True)[0] if training and p > 0 else input


_sdpa = torch.nn.functional.scaled_dot_product_attention


def _attention(query: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
    """CUDA's fused kernels lay their result out token by token, the CPU's as its query is: then it needs a copy."""
    if query.stride(1) > query.stride(2):  # head by head
        query = query.transpose(1, 2).contiguous().transpose(1, 2)
    return _sdpa(query, *rest, **named)


def _of_cpu(asked: Callable[[str], Any]) -> Callable[..., Any]:
    def ask(device_type: str = "cpu") -> Any:
        return asked("cpu" if device_type == "cuda" else device_type)

    return ask


def _no() -> bool:
    return False


def _autocast_dtype() -> torch.dtype:
    return torch.get_autocast_dtype("cpu")


def _matmul_int8(
    A: torch.Tensor, B: Any, out: Any = None, state: Any = None, threshold: float = 0.0, bias: Any = None
) -> torch.Tensor:
    """`bitsandbytes.matmul` as on CUDA: on a CPU that trains it takes `MatMul8bitFp`."""
    from bitsandbytes.autograd._functions import MatMul8bitLt

    state.threshold = max(threshold, state.threshold)
    result: Any = MatMul8bitLt.apply(A, B, out, bias, state)
    return result
