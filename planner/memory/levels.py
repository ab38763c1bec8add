"""The three levels of a peak beside the ledgers: library workspaces, and how far off a figure may be."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from planner.catalogue import Gpu
from planner.units import MIB

DATA = Path(__file__).parent / "data"

COVERAGE = 0.90
"""The share of runs that an interval is to hold."""

SHARDED_RESERVED = 0.22
"""`widths` of the reserved level where a strategy has streams of its own: what its streams have freed and other ones
cannot use is known less well. Fitted: it holds 129 of 144 published runs under FSDP, 8 by their reserved peak and 136
of fms-acceleration by what nvidia-smi showed beyond context and NCCL (half of them are within 3.6 %; those beyond
reserve more: mixtures of experts in 4 bits, and logits of 128 k entries)."""

LASTING = ("base_weights", "adapters", "optimizer_states", "runtime")
"""Components that are counted exactly: alive all along, or gathered whole, whatever the batch."""

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


def held_on_card(reserved: float, allocated: float, usable: float) -> float:
    """What the allocator holds on a card with so many usable bytes, if it would hold `reserved` on a larger one.

    Before it fails it gives back what is cached and tries again (`release_cached_blocks`). Where live tensors alone are
    too many it is the larger card's figure.
    """
    return reserved if allocated > usable else min(reserved, usable)


def uncertain(level: str, predicted: float, components: Mapping[str, int]) -> float:
    """What can be wrong of a predicted peak, in bytes: the unit of `widths`.

    level: `allocated` or `reserved`. components: the ledger at the peak. Weights and states are counted exactly, so
    that of live tensors only the rest is uncertain; holes in what the allocator holds are not the rest's alone.
    """
    if level == "reserved":
        return predicted
    return predicted - sum(components.get(name, 0) for name in LASTING)


def interval(
    level: str, predicted: float, components: Mapping[str, int], *, sharded: bool = False
) -> tuple[float, float]:
    """The range in which `COVERAGE` of the runs peak whose settings are all known. Arguments as of `uncertain`.

    sharded: whether a strategy has streams of its own.
    """
    reach = _width(level, sharded=sharded) * uncertain(level, predicted, components)
    return predicted - reach, predicted + reach


def room(persistent: float, usable: float, *, sharded: bool = False) -> float:
    """What the allocator may be predicted to hold beside the persistent bytes if the interval's high end is to fit."""
    return usable / (1 + _width("reserved", sharded=sharded)) - persistent


def _width(level: str, *, sharded: bool) -> float:
    return SHARDED_RESERVED if sharded and level == "reserved" else widths()[level]


@cache
def widths() -> dict[str, float]:
    """Level -> how far its interval reaches to either side, in parts of what can be wrong.

    From data/interval.csv, which `python -m profiler.validate.calibrate --write` makes of published and simulated runs.
    """
    with (DATA / "interval.csv").open(encoding="utf-8", newline="") as file:
        return {row["level"]: float(row["width"]) for row in csv.DictReader(file)}
