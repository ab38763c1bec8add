"""bitsandbytes' CUDA operators as far as buffers go, after `backends/{cuda,default}/ops.py` (0.50).

The CPU backend works differently (its int8 training dequantizes, its operators hide what they allocate).
Here the same tensors as on CUDA are made in the same order and freed at the same lines; their values are
not those of the kernels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from bitsandbytes.autograd._functions import MatMul8bitLt


def matmul(
    A: torch.Tensor, B: Any, out: Any = None, state: Any = None, threshold: float = 0.0, bias: Any = None
) -> torch.Tensor:
    """`bitsandbytes.matmul`, which takes another autograd function on the CPU."""
    state.threshold = max(threshold, state.threshold)
    return MatMul8bitLt.apply(A, B, out, bias, state)


def int8_vectorwise_quant(A: torch.Tensor, threshold: float = 0.0) -> Any:
    row_stats = torch.empty(A.shape[0], dtype=torch.float32)
    out_row = torch.zeros(A.shape, dtype=torch.int8)
    outliers = A.abs() >= threshold
    outlier_cols = torch.empty(0, dtype=torch.int64)
    del outliers
    return out_row, row_stats, outlier_cols


def int8_mixed_scaled_mm(
    A: torch.Tensor, CA: Any, CB: torch.Tensor, SCA: Any, SCB: Any, outlier_cols: Any = None, bias: Any = None
) -> Any:
    out_i32 = torch.zeros((A.shape[0], CB.shape[0]), dtype=torch.int32)
    out = torch.zeros_like(out_i32, dtype=torch.float16)
    return out.to(A.dtype), torch.empty(0, dtype=A.dtype)


def gemm_4bit(
    A: torch.Tensor,
    B: Any,
    shapeB: Any,
    absmax: torch.Tensor,
    blocksize: int,
    quant_type: str,
    bias: Any = None,
    absmax_8bit: Any = None,
    absmax_code: Any = None,
    absmax_offset: Any = None,
) -> torch.Tensor:
    """`_dequant_linear_fallback`, the way for more than 1536 tokens."""
    if absmax_8bit is not None:
        absmax_dq = torch.empty_like(absmax_8bit, dtype=torch.float32).fill_(1.0)
        absmax = absmax_dq + absmax_offset  # noqa: F841 (alive beside the weight, as there)
    B_dq = torch.zeros(shapeB, dtype=A.dtype)
    return torch.nn.functional.linear(A, B_dq, bias)


@contextlib.contextmanager
def patched() -> Iterator[None]:
    """The operators in place of bitsandbytes' own."""
    names = torch.ops.bitsandbytes
    with (
        mock.patch.object(names.int8_vectorwise_quant, "default", int8_vectorwise_quant),
        mock.patch.object(names, "int8_mixed_scaled_mm", int8_mixed_scaled_mm),
        mock.patch.object(names.gemm_4bit, "default", gemm_4bit),
    ):
        yield
