"""NCCL's own memory: of the process, and outside PyTorch's allocator.

NCCL takes its channels' buffers from CUDA itself, when a communicator is first used. They are neither allocated nor
reserved, but what is left of the card for the allocator is less by them.
"""

from __future__ import annotations

from planner.catalogue import Gpu
from planner.run import TrainingRun
from planner.units import MIB

PAIR = 544 * MIB
"""A communicator of two GPUs."""

GROUP = 688 * MIB
"""A communicator of more: its size goes by the channels and links of a GPU, and no longer by how many there are.

Source of both: NVIDIA/nccl issue 964, four A100 with NVLink, after one all-reduce. That it grows with the bandwidth
that channels have to fill, and not beyond two nodes: a maintainer in issue 864 (quoted in 986). On eight H100 1.06 GB
were taken beside PyTorch before the first all-to-all, the context among them (issue 1685).
"""


def communicator_bytes(run: TrainingRun) -> int:
    """What NCCL allocates on one GPU: all collectives of DDP and FSDP go through one communicator."""
    if run.num_gpus == 1:
        return 0
    return PAIR if run.num_gpus == 2 else GROUP


def outside_allocator(gpu: Gpu, run: TrainingRun) -> int:
    """What the process has on the card beside what PyTorch's allocator holds: the CUDA context, and NCCL's buffers."""
    return gpu.context_bytes + communicator_bytes(run)


def usable_bytes(gpu: Gpu, run: TrainingRun) -> int:
    """What PyTorch's allocator can reserve of the card in this run."""
    return gpu.usable_bytes - communicator_bytes(run)
