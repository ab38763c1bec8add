"""Gradient clipping by norm: `torch.nn.utils.clip_grad_norm_`, foreach, as it runs on CUDA."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from planner.optimizers.tensors import Trained
from planner.units import DTYPE_BYTES

CHUNK = 65_536
"""Elements per partial sum: `kChunkSize` of `aten/src/ATen/native/cuda/MultiTensorApply.cuh`."""


def clip_temporaries(tensors: Iterable[Trained]) -> int:
    """Bytes that clipping the gradients of `tensors` allocates; the gradients are scaled in place.

    `_foreach_norm` takes a float32 for every chunk that the largest tensor has, for every tensor
    (`foreach_tensor_norm_cuda` in `ForeachReduceOp.cu`), and one norm per tensor. It runs once per dtype; the
    norms are kept and stacked.
    """
    counts: dict[str, int] = {}
    chunks: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.count
        chunks[tensor.dtype] = max(chunks.get(tensor.dtype, 0), ceil(tensor.elements / CHUNK))
    norms = sum(count * DTYPE_BYTES[dtype] for dtype, count in counts.items())
    partial_sums = max((4 * counts[dtype] * chunks[dtype] for dtype in counts), default=0)
    return norms + max(partial_sums, norms)


def clip_traffic(tensors: Iterable[Trained]) -> int:
    """Bytes that clipping reads and writes: the gradients once for their norm, once to scale them, and back."""
    return 3 * sum(tensor.count * tensor.elements * DTYPE_BYTES[tensor.dtype] for tensor in tensors)
