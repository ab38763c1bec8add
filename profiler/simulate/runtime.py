"""What libraries take from PyTorch's allocator beside tensors."""

from __future__ import annotations

from planner.catalogue import Gpu
from planner.memory.levels import CUBLAS_HANDLES, cublas_workspaces


def workspaces(gpu: Gpu | None) -> tuple[int, ...]:
    """Bytes of cuBLAS' workspaces: of the thread of the forward pass, and of autograd's."""
    return (cublas_workspaces(gpu) // CUBLAS_HANDLES,) * CUBLAS_HANDLES
