"""The catalogue of GPUs: 35 cards, what they hold, what of it is left for PyTorch, and how fast they are."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.catalogue.spelling import shown, squash, squash_gpu
from planner.errors import InputError
from planner.names import did_you_mean
from planner.units import GB, MIB

DATA = Path(__file__).parent / "data"

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. Sizes in bytes; rates are dense (never with sparsity), None where the card has none."""

    name: str
    vendor: str
    architecture: str

    marketing_gb: float
    """Gigabytes on the box; what they are in bytes differs from vendor to vendor."""

    memory_bytes: int
    """All of it, as the driver reports it (nvidia-smi, NVML)."""

    memory_basis: str
    """How `memory_bytes` and `torch_total_bytes` are known."""

    torch_total_bytes: int
    """What CUDA lets programs see (`torch.cuda.mem_get_info`): `memory_bytes` less what the driver keeps."""

    context_bytes: int
    """The CUDA context of one training process: driver structures and loaded kernels.

    cuBLAS workspaces are not in it: PyTorch takes them from its own allocator.
    """

    context_basis: str
    """How `context_bytes` is known."""

    usable_bytes: int
    """What PyTorch's allocator can reserve: `torch_total_bytes` less `context_bytes`."""

    compute_capability: str
    """`8.0`; for AMD the name of the instruction set, `gfx942`."""

    native_bf16: bool

    bandwidth: float | None
    """Memory bandwidth in bytes per second."""

    bf16_tflops: float | None
    """Dense, with float32 accumulation, in 10**12 FLOP per second; so are the others."""

    fp16_tflops: float | None
    tf32_tflops: float | None
    fp8_tflops: float | None

    int8_tops: float | None
    """Dense, in 10**12 operations per second."""

    fp32_tflops: float | None
    """Of the shader cores, without tensor cores."""

    link: str
    """What joins several of them: NVLink and its generation, `PCIe only`, `none`."""

    link_bandwidth: float | None
    """Of `link`, both directions together, in bytes per second."""

    pcie: str
    tdp_watts: float | None
    source: str
    confidence: str
    note: str


@dataclass(frozen=True, slots=True)
class GpuMatch:
    """The card that a name stands for, and what to tell the user where it could stand for others."""

    gpu: Gpu
    note: str | None


def find_gpu(name: str) -> GpuMatch:
    """The card of that name, as people type it: `a100-80`, `rtx4090`, `NVIDIA A100-SXM4-80GB`.

    Raises `InputError` with the nearest name where there is none.
    """
    key = squash_gpu(name)
    if key in _names_by_key():
        return GpuMatch(_gpus()[_names_by_key()[key]], None)
    row = _aliases_by_key().get(key)
    if row is None:
        known = (*_gpus(), *(row["alias"] for row in _aliases_by_key().values()))
        raise InputError(
            f"GPU '{shown(name)}' is not known; give a name that `lora-plan gpus` lists, or a card of your "
            f"own by its memory or a file{did_you_mean(name, known)}",
            field="gpu",
        )
    note = f"'{shown(name)}' is ambiguous ({row['ambiguity']}): {row['gpu']} is taken"
    return GpuMatch(_gpus()[row["gpu"]], note if row["ambiguity"] else None)


def list_gpus(query: str | None = None) -> list[Gpu]:
    """The cards whose name, vendor or architecture holds each word of `query`; all of them without one."""
    words = [squash(word) for word in (query or "").split()]
    return [gpu for gpu in _gpus().values() if all(word in _described(gpu) for word in words)]


def largest_driver_share() -> float:
    """The largest share of its memory that a card's driver keeps from programs, of those reported."""
    return max(
        1 - gpu.torch_total_bytes / gpu.memory_bytes
        for gpu in _gpus().values()
        if read_rows("memory.csv")[gpu.name]["torch_basis"].startswith("reported")
    )


def context_of(compute_capability: str) -> tuple[int, str]:
    """Bytes of the CUDA context on a card of that compute capability, and how they are known.

    Of one that is not in `data/contexts.csv` (or an empty one), the largest known context.
    """
    rows = read_rows("contexts.csv")
    row = rows.get(compute_capability)
    if row is not None:
        return int(row["context_mib"]) * MIB, row["basis"]
    largest = max(rows.values(), key=lambda row: int(row["context_mib"]))
    basis = f"assumed: the largest known, that of compute capability {largest['compute_capability']}"
    return int(largest["context_mib"]) * MIB, basis


@cache
def read_rows(file: str) -> dict[str, Row]:
    """The rows of a CSV file of `data/`, by their first column."""
    with (DATA / file).open(encoding="utf-8", newline="") as lines:
        return {next(iter(row.values())): row for row in csv.DictReader(lines)}


@cache
def _gpus() -> dict[str, Gpu]:
    return {name: _gpu(row, read_rows("memory.csv")[name]) for name, row in read_rows("gpus.csv").items()}


@cache
def _names_by_key() -> dict[str, str]:
    return {squash_gpu(name): name for name in read_rows("gpus.csv")}


@cache
def _aliases_by_key() -> dict[str, Row]:
    return {squash_gpu(alias): row for alias, row in read_rows("gpu_aliases.csv").items()}


def _gpu(row: Row, memory: Row) -> Gpu:
    if row["nvidia_smi_mib"]:
        driver_mib, driver_basis = row["nvidia_smi_mib"], f"reported: {row['nvidia_smi_source']}"
    else:
        driver_mib, driver_basis = memory["driver_mib"], memory["driver_basis"]
    torch_total = int(memory["torch_total_mib"]) * MIB
    context, context_basis = context_of(row["compute_capability"])
    bandwidth, link_bandwidth = _number(row["mem_bandwidth_gb_s"]), _number(row["gpu_link_gb_s_bidir"])
    return Gpu(
        name=row["gpu"],
        vendor=row["vendor"],
        architecture=row["arch"],
        marketing_gb=float(row["memory_gb_marketing"]),
        memory_bytes=int(driver_mib) * MIB,
        memory_basis=f"driver's total {driver_basis}; PyTorch's total {memory['torch_basis']}",
        torch_total_bytes=torch_total,
        context_bytes=context,
        context_basis=context_basis,
        usable_bytes=torch_total - context,
        compute_capability=row["compute_capability"],
        native_bf16=row["native_bf16"] == "yes",
        bandwidth=bandwidth * GB if bandwidth is not None else None,
        bf16_tflops=_number(row["bf16_tflops_dense"]),
        fp16_tflops=_number(row["fp16_tflops_dense_fp32acc"]),
        tf32_tflops=_number(row["tf32_tflops_dense"]),
        fp8_tflops=_number(row["fp8_tflops_dense_fp32acc"]),
        int8_tops=_number(row["int8_tops_dense"]),
        fp32_tflops=_number(row["fp32_tflops"]),
        link=row["gpu_link"],
        link_bandwidth=link_bandwidth * GB if link_bandwidth is not None else None,
        pcie=row["pcie"],
        tdp_watts=_number(row["tdp_w"]),
        source=row["source"],
        confidence=row["confidence"],
        note=row["note"],
    )


def _described(gpu: Gpu) -> str:
    return " ".join((squash(gpu.name), squash(gpu.vendor), squash(gpu.architecture)))


def _number(text: str) -> float | None:
    return float(text) if text else None
