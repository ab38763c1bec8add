"""Operators that CUDA runs otherwise than fake tensors show, beside attention and autocast's casts.

Two kinds. Kernels: some fuse a cast (`softmax` of float16) or allocate scratch (the gradient of an embedding).
And writes in place that PyTorch leaves out where a dispatch mode watches (`isTensorSubclassLike`), as one does in
a simulation: `answer` does them nevertheless.

Approximated: what cub takes for sorting is not shown.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch._prims_common import is_non_overlapping_and_dense_or_false

from profiler.simulate.device import masks

_aten = torch.ops.aten

_libraries: list[torch.library.Library] = []

_HELD = 4
"""C++ references to a gradient that only autograd's buffer holds, seen from a dispatch mode."""
_STORAGE_HELD = 2
"""References to its storage: its own and the one of Python's `UntypedStorage`."""

_PYTHON_BACKWARD = torch.autograd.function.BackwardCFunction.apply.__code__

_ROWS_PER_THREAD = 10
_SORTED_FROM = 3072


@contextmanager
def as_on_cuda() -> Generator[None]:
    """Softmax and embedding gradients as CUDA's kernels have them; new tensors may be made of Python numbers.

    Has to be entered before the `FakeTensorMode`.
    """
    _register()
    # with a private device at hand the mode has `torch.tensor(1.0, device="sim")` make a real tensor there
    with mock.patch("torch._subclasses.fake_tensor._is_privateuse1_backend_available", _no):
        yield


def answer(func: Any, args: tuple[Any, ...]) -> Any:
    """What operator `func` does in a real run where it is not what it does here, else `NotImplemented`.

    Writes in place, as no dispatch mode watches a real run, and `masks.answer`.
    """
    if func is _aten.add.Tensor:
        return _add_gradients(*args) if len(args) == 2 and _by_autograd() else NotImplemented
    if func is _aten.index_put.default:
        # `index_backward`
        in_place = len(args) > 3 and args[3] and _by_autograd()
        return _aten.index_put_.default(*args) if in_place else NotImplemented
    if func is _aten._grouped_mm.default and args[0].dtype != torch.bfloat16:
        return _grouped_mm(*args)
    return masks.answer(func, args)


def _no() -> bool:
    return False


def _by_autograd() -> bool:
    """Whether autograd itself runs the operator: no recomputation, and no backward written in Python."""
    if torch._C._current_graph_task_id() == -1 or torch.is_grad_enabled():
        return False
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "_engine_run_backward":
        if frame.f_code is _PYTHON_BACKWARD:
            return False
        frame = frame.f_back
    return True


def _add_gradients(before: torch.Tensor, gradient: Any) -> Any:
    """`InputBuffer::accumulate`: a sum of gradients goes into the first where nothing else holds it."""
    if (
        isinstance(gradient, torch.Tensor)
        and before.shape == gradient.shape
        and before.dtype == gradient.dtype
        and before._use_count() <= _HELD  # pyright: ignore[reportAttributeAccessIssue]
        and torch._C._storage_Use_Count(before.untyped_storage()._cdata) <= _STORAGE_HELD
        and is_non_overlapping_and_dense_or_false(before)
    ):
        return _aten.add_.Tensor(before, gradient)
    return NotImplemented


def _grouped_mm(a: torch.Tensor, b: torch.Tensor, offsets: torch.Tensor | None = None, *_: Any) -> torch.Tensor:
    """The product of other dtypes, which CUDA's kernel takes group by group, and its fake does not take at all.

    Source: `_grouped_mm_cuda` and `_grouped_mm_fallback` (`aten/src/ATen/native/cuda/GroupedBlas.cpp`, 2.13): into
    one result, of the layout that bfloat16 gives.
    """
    shapes = [None if x is None else x.to("meta") for x in (a, b, offsets)]
    left, right = (x.to(torch.bfloat16) for x in shapes[:2] if x is not None)
    result = _aten._grouped_mm.default(left, right, shapes[2])
    return torch.empty_strided(result.shape, result.stride(), dtype=a.dtype, device=a.device)


def _register() -> None:
    if _libraries:
        return
    library = torch.library.Library("aten", "IMPL")
    library.impl("softmax.int", _fused_cast(_aten._softmax), "AutogradPrivateUse1")
    library.impl("log_softmax.int", _fused_cast(_aten._log_softmax), "AutogradPrivateUse1")
    library.impl("embedding_dense_backward", _embedding_dense_backward, "AutogradPrivateUse1")
    _libraries.append(library)


def _fused_cast(kernel: Any) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        # `softmax` of `SoftMax.cpp`: only from float16 does the kernel itself write float32
        if x.dtype == torch.float16 and dtype == torch.float32:
            return kernel(x, dim, True)
        return kernel(x if dtype is None else x.to(dtype), dim, False)

    return run


def _embedding_dense_backward(
    grad_output: torch.Tensor, indices: torch.Tensor, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> torch.Tensor:
    """`embedding_dense_backward_cuda`: more than 3072 tokens are sorted, and summed in float32 piece by piece."""
    tokens, width = indices.numel(), grad_output.size(-1)
    held: list[torch.Tensor] = []
    if tokens > _SORTED_FROM or scale_grad_by_freq:
        held += [indices.new_empty(tokens) for _ in ("sorted", "original")]
    with torch._C._AutoDispatchBelowAutograd():
        gradient = _aten.embedding_dense_backward(grad_output, indices, num_weights, padding_idx, scale_grad_by_freq)
    if held:
        segments = min(tokens, num_weights)
        pieces = tokens // _ROWS_PER_THREAD + segments
        held += [indices.new_empty(size) for size in (tokens, segments, segments, pieces)]
        held.append(grad_output.new_empty(pieces, width, dtype=torch.float32))
    return gradient
