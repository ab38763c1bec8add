"""A card of the user's own: by its memory, or by a file."""

from __future__ import annotations

import math
from pathlib import Path

from planner.catalogue.gpus import Gpu, context_of, largest_driver_share
from planner.catalogue.spelling import shown, shown_path
from planner.errors import InputError
from planner.names import did_you_mean
from planner.run import read_mapping
from planner.units import GB, GIB

LARGEST_MEMORY_GIB = 4096
SMALLEST_MEMORY_GIB = 1

_TEXTS = {"name": "custom", "vendor": "NVIDIA", "architecture": "", "compute_capability": "", "note": ""}
_RATES = (
    "bandwidth_gb_s",
    "bf16_tflops",
    "fp16_tflops",
    "tf32_tflops",
    "fp8_tflops",
    "int8_tops",
    "fp32_tflops",
    "tdp_watts",
)
_WITHOUT_BF16 = ("5.", "6.", "7.")
"""Compute capabilities before Ampere (8.0), the first with bfloat16 arithmetic."""

_FIELDS = ("memory_gib", "usable_gib", "native_bf16", *_TEXTS, *_RATES)


def own_gpu(memory_gib: object, name: object = "custom", **fields: object) -> Gpu:
    """A card with `memory_gib` GiB as its driver reports them (nvidia-smi), from 1 to 4096.

    Other fields, all optional: `usable_gib` (what PyTorch can reserve; without it, the memory less the
    largest share that a driver is known to keep, less the CUDA context), `compute_capability` (`"8.9"`),
    `native_bf16`, `vendor`, `architecture`, `note`, `bandwidth_gb_s` (GB = 10**9), `tdp_watts`, and the dense
    rates `bf16_tflops`, `fp16_tflops`, `tf32_tflops`, `fp8_tflops`, `int8_tops`, `fp32_tflops`.

    Raises `InputError` for a field that is unknown or out of range.
    """
    return _gpu({"memory_gib": memory_gib, "name": name, **fields}, "the card's")


def read_gpu_file(path: str | Path) -> Gpu:
    """A card from a YAML, TOML or JSON file with the fields of `own_gpu`; `memory_gib` has to be there.

    Raises `InputError` for a file that cannot be read, and as `own_gpu` does.
    """
    return _gpu(read_mapping(path), f"{shown_path(path)}:")


def _gpu(fields: dict[str, object], where: str) -> Gpu:
    for key in fields:
        if key not in _FIELDS:
            raise InputError(
                f"{where} field '{shown(key)}' is unknown; the fields are {', '.join(_FIELDS)}"
                f"{did_you_mean(key, _FIELDS)}",
                field="gpu",
            )
    texts = {key: _text(fields, key, where) for key in _TEXTS}
    memory_gib = _number(fields, "memory_gib", where, SMALLEST_MEMORY_GIB, LARGEST_MEMORY_GIB)
    if memory_gib is None:
        raise InputError(f"{where} memory_gib is missing; write the card's memory in GiB", field="gpu")
    memory = int(memory_gib * GIB)
    context, context_basis = context_of(texts["compute_capability"])
    usable_gib = _number(fields, "usable_gib", where, 0.5, memory_gib)
    if usable_gib is not None:
        usable = int(usable_gib * GIB)
        context = min(context, memory - usable)
        torch_total = usable + context
        basis = "given by the user"
    else:
        share = largest_driver_share()
        torch_total = int(memory * (1 - share))
        usable = torch_total - context
        basis = f"given by the user; the driver is taken to keep {share:.1%} of it, the most that is known"
    bf16 = fields.get("native_bf16")
    if bf16 is not None and not isinstance(bf16, bool):
        raise _error(where, "native_bf16", bf16, "true or false")
    rates = {key: _number(fields, key, where, 0, 10**6) for key in _RATES}
    bandwidth = rates.pop("bandwidth_gb_s")
    return Gpu(
        name=texts["name"],
        vendor=texts["vendor"],
        architecture=texts["architecture"],
        marketing_gb=memory / GB,
        memory_bytes=memory,
        memory_basis=basis,
        torch_total_bytes=torch_total,
        context_bytes=context,
        context_basis=context_basis,
        usable_bytes=usable,
        compute_capability=texts["compute_capability"],
        native_bf16=bf16 if bf16 is not None else not texts["compute_capability"].startswith(_WITHOUT_BF16),
        bandwidth=bandwidth * GB if bandwidth is not None else None,
        **rates,
        link="",
        link_bandwidth=None,
        pcie="",
        source="given by the user",
        confidence="user",
        note=texts["note"],
    )


def _text(fields: dict[str, object], key: str, where: str) -> str:
    value = fields.get(key)
    if value is None:
        return _TEXTS[key]
    if not isinstance(value, str) or len(value) > 200 or not (value.strip() or not _TEXTS[key]):
        raise _error(where, key, value, "a text of up to 200 characters, in quotes")
    return value


def _number(fields: dict[str, object], key: str, where: str, lowest: float, highest: float) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    wanted = f"a number from {lowest:g} to {highest:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _error(where, key, value, wanted)
    if not lowest <= value <= highest or not math.isfinite(value):
        raise _error(where, key, value, wanted)
    return float(value)


def _error(where: str, key: str, value: object, wanted: str) -> InputError:
    # Python refuses to write out integers of more than 4300 digits
    huge = isinstance(value, int) and value.bit_length() > 200
    return InputError(f"{where} {key} is {'huge' if huge else shown(repr(value))}; write {wanted}", field="gpu")
