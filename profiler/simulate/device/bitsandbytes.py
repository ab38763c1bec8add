"""bitsandbytes as its CUDA backend allocates: on fake tensors its operators show their results only.

Source: `bitsandbytes/backends/cuda/ops.py` and `backends/default/ops.py` (0.50). What is left out: outlier columns
of LLM.int8(), which depend on data (none is taken to be one), and the fused 4-bit kernel that some cards prefer for
few tokens (at most 1536, for most weights 512), which does without the expanded weight in a forward pass.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false, reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Generator, Sequence
from typing import Any
from unittest import mock

import torch

from planner.errors import InputError
from profiler.simulate.stack import silenced, uncompiled

INT8_INNER = 4
"""cuBLASLt multiplies int8 matrices whose inner dimension this divides; others are multiplied in float32."""


@contextlib.contextmanager
def as_on_cuda() -> Generator[None, None, None]:
    """Run bitsandbytes on fake tensors of device `sim` as it runs on CUDA.

    Load, train and step inside it. What is put back at its end are bitsandbytes' operators, its process-wide
    code books and its log level. Where it is not installed, runs that do without it still go.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        with _made_on_the_host():
            yield
        return
    load()
    from bitsandbytes import functional

    operators = torch.ops.bitsandbytes
    with (
        silenced("bitsandbytes"),
        _made_on_the_host(),
        mock.patch.object(operators.gemm_4bit, "default", _gemm_4bit),
        mock.patch.object(operators.int8_vectorwise_quant, "default", _int8_vectorwise_quant),
        mock.patch.object(operators.int8_vectorwise_dequant, "default", _int8_vectorwise_dequant),
        mock.patch.object(operators.int8_scaled_mm, "default", _int8_scaled_mm),
        mock.patch.object(operators, "int8_mixed_scaled_mm", _int8_mixed_scaled_mm),
        mock.patch.object(operators, "optimizer_update_32bit", _in_place),
        mock.patch.object(operators, "optimizer_update_8bit_blockwise", _in_place),
        mock.patch.object(functional, "create_dynamic_map", _code_book),
        mock.patch.object(functional, "get_paged", _paged),
        mock.patch.object(functional, "fill", _in_place),
        mock.patch.object(functional, "prefetch_tensor", _in_place),
        # filled with fake tensors, which must not outlive the simulation
        mock.patch.dict(functional.name2qmap, clear=True),
    ):
        yield


def load() -> None:
    """Import bitsandbytes, in less time and without its word on CPU kernels.

    Decorating its CPU fallbacks with `torch.compile` takes a second, and nothing is compiled in a simulation.
    Raises `InputError` where it is not installed.
    """
    if "bitsandbytes" in sys.modules:
        return
    try:
        with silenced("bitsandbytes"), uncompiled():
            importlib.import_module("bitsandbytes")
    except ImportError:
        raise InputError(
            "bitsandbytes is not installed, which this quantization or optimizer needs; pip install 'lora-plan[verify]'"
        ) from None


@contextlib.contextmanager
def _made_on_the_host() -> Generator[None, None, None]:
    """`torch.tensor(values, device="sim")`: made on the host and copied, instead of filled by a kernel there is not."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def _gemm_4bit(
    A: torch.Tensor,
    B: torch.Tensor,
    shapeB: Sequence[int],
    absmax: torch.Tensor,
    blocksize: int,
    quant_type: str,
    bias: torch.Tensor | None = None,
    absmax_8bit: torch.Tensor | None = None,
    absmax_code: torch.Tensor | None = None,
    absmax_offset: torch.Tensor | None = None,
) -> torch.Tensor:
    """`_dequant_linear_fallback`, its way for more than 1536 tokens; its variables live until it returns."""
    if absmax_8bit is not None and absmax_offset is not None:
        absmax_dq = torch.empty_like(absmax_8bit, dtype=torch.float32)
        absmax = absmax_dq + absmax_offset
    B_dq = torch.empty(tuple(shapeB), dtype=A.dtype, device=A.device)
    out = torch.nn.functional.linear(A, B_dq, bias)
    del absmax
    return out


def _int8_vectorwise_quant(
    A: torch.Tensor, threshold: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """One int8 value an element and a float32 absmax a row; with a threshold, the search for outlier columns."""
    row_stats = torch.empty(A.numel() // A.shape[-1], device=A.device, dtype=torch.float32)
    out_row = torch.empty(A.shape, device=A.device, dtype=torch.int8)
    outlier_cols = None
    if threshold > 0.0:
        outliers = A.abs() >= threshold
        outliers.any()
        outlier_cols = torch.empty(0, device=A.device, dtype=torch.int64)
    return out_row, row_stats, outlier_cols


def _int8_vectorwise_dequant(A: torch.Tensor, stats: torch.Tensor) -> torch.Tensor:
    return A * stats.view(-1, 1) * 7.874015718698502e-3


def _int8_scaled_mm(
    A: torch.Tensor,
    B: torch.Tensor,
    row_stats: torch.Tensor,
    col_stats: torch.Tensor,
    bias: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """`int8_linear_matmul` into int32, then `int8_mm_dequant` by way of float16, the one dtype of its kernel."""
    out_i32 = torch.empty((*A.shape[:-1], B.shape[0]), device=A.device, dtype=torch.int32)
    if A.shape[-1] % INT8_INNER != 0:
        out_i32.copy_(torch.matmul(A.float(), B.float().t()).to(torch.int32))
    return _int8_mm_dequant(out_i32, dtype, bias)


def _int8_mm_dequant(A: torch.Tensor, dtype: torch.dtype | None, bias: torch.Tensor | None) -> torch.Tensor:
    out = torch.empty_like(A, dtype=torch.float16)
    if bias is not None and bias.dtype != torch.float16:
        out.add_(bias)
    return out.to(dtype or torch.float16)


def _int8_mixed_scaled_mm(
    A: torch.Tensor,
    CA: torch.Tensor,
    CB: torch.Tensor,
    SCA: torch.Tensor,
    SCB: torch.Tensor,
    outlier_cols: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    subA = torch.empty(0, device=A.device, dtype=A.dtype)
    return _int8_scaled_mm(CA, CB, SCA, SCB, bias=bias, dtype=A.dtype), subA


def _in_place(*_: Any, **__: Any) -> None:
    """CUDA's kernel works in place, without scratch memory."""


def _code_book(*_: Any, **__: Any) -> torch.Tensor:
    return torch.empty(256)


def _paged(*shape: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> torch.Tensor:
    """Managed memory: at home on the host, outside of torch's allocator."""
    buffer: Any = torch.empty(shape, dtype=dtype, device="cpu")
    buffer.is_paged = True
    buffer.page_deviceid = 0
    return buffer
