"""From live tensors to what the allocator reserves and what nvidia-smi shows.

The caching allocator holds more than is alive: buffers of a step come in sizes that leave holes. How much
more depends on the sequence of sizes; until the allocator itself is replayed, one share of the part of the
peak that comes and goes stands for it.
"""

from __future__ import annotations

from planner.catalogue import Gpu
from planner.units import MIB

FRAGMENTATION = 0.30
"""Reserved beyond allocated, as a share of (allocated at the peak - what is alive all along).

Fitted: the median over the 18 single-GPU runs of fms-acceleration (benchmark CSVs, A100-80GB, stock
kernels, Mistral-7B and Llama-2-70B; full, LoRA, QLoRA) of (nvidia-smi peak - CUDA context - allocated peak)
/ (allocated peak - weights and optimizer states); the runs range from 0.12 to 0.47.
"""

FRAGMENTATION_LOW = 0.10
FRAGMENTATION_HIGH = 0.50
"""The range of that share over the same runs, rounded outwards."""

ALLOCATED_ERROR = 0.03
"""How far the allocated peak itself may be off when library versions are not stated: the stated interval
widens by this on both sides (the loss of other transformers versions copies more; see the scoreboard)."""

COVERAGE = 0.90
"""The coverage the interval is meant to have. It is not yet calibrated on held-out runs."""

CUBLAS_HANDLES = 2
"""One workspace for the thread of the forward pass and one for autograd's."""


def cublas_workspaces(gpu: Gpu | None) -> int:
    """Bytes of cuBLAS workspaces, which PyTorch takes from its own allocator.

    Source: `parseChosenWorkspaceSize` in `aten/src/ATen/cuda/CublasHandlePool.cpp`: 32 MiB on compute
    capability 9.0 and later, else 2 x 4096 KiB + 8 x 16 KiB. That two are alive is seen in the fsdp_qlora
    notebook 00-profile_lora_qlora (9 to 17 MB left beside the model).
    """
    major = gpu.compute_capability.split(".")[0] if gpu is not None else ""
    if major.isdigit() and int(major) >= 9:
        return CUBLAS_HANDLES * 32 * MIB
    return CUBLAS_HANDLES * (2 * 4096 + 8 * 16) * 1024


def reserved(allocated: float, persistent: float, share: float = FRAGMENTATION) -> float:
    """What the allocator holds when `allocated` bytes are alive, `persistent` of them all along."""
    return allocated + share * max(allocated - persistent, 0.0)


def reserved_interval(allocated: float, persistent: float) -> tuple[float, float]:
    """The range the reserved peak is expected in."""
    margin = ALLOCATED_ERROR * (allocated - persistent)
    return (
        reserved(allocated - margin, persistent, FRAGMENTATION_LOW),
        reserved(allocated + margin, persistent, FRAGMENTATION_HIGH),
    )
