"""What a job takes besides its steps, and on what each figure stands. None of these was measured by this project."""

from __future__ import annotations

from dataclasses import dataclass

from planner.run import TrainingRun
from planner.units import GB, MIB


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with its low and high end."""

    low: float
    expected: float
    high: float


START_UP_ONE_GPU_S = Range(180, 240, 300)
"""Seconds from ordering an instance of one GPU to using it: Lambda's documentation has 3 to 5 minutes. Containers on
hosts that already run, as RunPod's, take less where their image is cached. The image is taken to hold the libraries."""

START_UP_SEVERAL_GPUS_S = Range(600, 750, 900)
"""The same for an instance of several GPUs: Lambda's documentation has 10 to 15 minutes."""

DOWNLOAD_BYTES_PER_S = Range(50e6, 125e6, 500e6)
"""From the Hugging Face hub: an assumption, 1 Gbit/s, of which slow hosts have 0.4 and fast ones 4."""

LOAD_BYTES_PER_S = Range(0.5 * GB, 1 * GB, 3 * GB)
"""From the file to the GPU: an assumption, the rate of one NVMe disk or of a file that is still in the page cache."""

DISK_BYTES_PER_S = Range(125 * MIB, 354 * MIB, 1000 * MIB)
"""Writing to disk. The ends are the baseline and the largest throughput that AWS documented for a gp3 volume at its
launch in 2020; what is expected is their geometric mean."""


def forward_share(run: TrainingRun) -> float:
    """The forward pass's share of a training step, by FLOPs for each parameter and token.

    2 forward, 2 backward for the gradient of what goes in, 2 more for that of the weights where the base is trained,
    and 2 to recompute the forward pass under gradient checkpointing. An assumption where other work than the matrices'
    counts.
    """
    backward = 4 if run.method == "full" else 2
    return 2 / (2 + backward + (2 if run.gradient_checkpointing else 0))


def start_up(num_gpus: int) -> Range:
    """Seconds until an instance can be used."""
    return START_UP_ONE_GPU_S if num_gpus == 1 else START_UP_SEVERAL_GPUS_S


def seconds(size: float, rate: Range) -> Range:
    """How long `size` bytes take: at the high rate, the expected and the low one."""
    return Range(size / rate.high, size / rate.expected, size / rate.low)
