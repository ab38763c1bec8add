"""The text of `PYTORCH_ALLOC_CONF` (formerly `PYTORCH_CUDA_ALLOC_CONF`), as PyTorch reads it.

c10/core/AllocatorConfig.cpp and c10/cuda/CUDAAllocatorConfig.cpp, torch 2.13.
"""

from __future__ import annotations

import re
from typing import Any

from planner.errors import Abstention, InputError
from planner.names import did_you_mean
from profiler.simulate.allocator.rounding import POWER2_INTERVALS
from profiler.simulate.allocator.settings import AllocatorSettings

WITHOUT_EFFECT = (
    "graph_capture_record_stream_reuse",
    "pinned_free_catch_all",
    "pinned_max_cached_size_mb",
    "pinned_max_round_threshold_mb",
    "pinned_num_register_threads",
    "pinned_reserve_segment_size_mb",
    "pinned_use_background_threads",
    "pinned_use_cuda_host_register",
    "release_lock_on_cudamalloc",
    "throw_on_cudamalloc_oom",
)
"""Settings of host memory, of locks and of CUDA graphs: read, and of no consequence here."""
WHOLE = ("max_split_size_mb", "max_non_split_rounding_mb", "large_segment_size_mb")
FRACTIONS = ("garbage_collection_threshold", "per_process_memory_fraction")
KEYS = (*WHOLE, *FRACTIONS, *WITHOUT_EFFECT, "backend", "expandable_segments", "roundup_power2_divisions")

_ENTRY = re.compile(r"([^:,\[\]]+):(\[[^\[\]]*\]|[^:,\[\]]+)(?:,|$)")


def parse_allocator_conf(text: str) -> AllocatorSettings:
    """Settings from a text such as `max_split_size_mb:128,roundup_power2_divisions:[256:1,>:4]`.

    Raises `InputError` for what PyTorch refuses, and `Abstention` for the cudaMallocAsync backend.
    """
    values: dict[str, Any] = {}
    for key, value in _entries("".join(text.split())):
        if key in WHOLE:
            values[key] = _whole(key, value)
        elif key in FRACTIONS:
            values[key] = _fraction(key, value)
        elif key == "expandable_segments":
            values[key] = _true_or_false(key, value)
        elif key == "roundup_power2_divisions":
            values[key] = _divisions(value)
        elif key == "backend":
            _check_backend(value)
        elif key not in WITHOUT_EFFECT:
            raise InputError(f"the allocator settings have no {key!r}{did_you_mean(key, KEYS)}")
    return AllocatorSettings(**values)


def _entries(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        entry = _ENTRY.match(text, position)
        if entry is None:
            raise InputError(
                f"the allocator settings cannot be read at {text[position:]!r}; write key:value pairs between commas"
            )
        found.append((entry[1], entry[2]))
        position = entry.end()
    return found


def _whole(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise InputError(f"{key} is {value!r} in the allocator settings; give a whole number")
    return int(value)


def _fraction(key: str, value: str) -> float:
    try:
        fraction = float(value)
    except ValueError:
        fraction = 0.0
    if fraction == 0:
        raise InputError(f"{key} is {value!r} in the allocator settings; give a number between 0 and 1")
    return fraction


def _true_or_false(key: str, value: str) -> bool:
    if value not in ("True", "False"):
        raise InputError(f"{key} is {value!r} in the allocator settings; give True or False")
    return value == "True"


def _check_backend(value: str) -> None:
    if value == "cudaMallocAsync":
        raise Abstention(
            "the cudaMallocAsync backend leaves caching to the CUDA driver, whose rules are not published",
            way_out="drop backend:cudaMallocAsync",
        )
    if value != "native":
        raise InputError(f"backend is {value!r} in the allocator settings; give native or cudaMallocAsync")


def _divisions(value: str) -> int | tuple[int, ...]:
    """One number, or a list: `64:8` is for [64, 128) MiB, the first also for all below, `>` for the rest."""
    key = "roundup_power2_divisions"
    if not value.startswith("["):
        if value == "0":
            raise InputError(f"{key} is 0 in the allocator settings; leave it out, or give a power of 2")
        return _whole(key, value)
    divisions = [0] * POWER2_INTERVALS
    last: int | None = None
    for entry in filter(None, value[1:-1].split(",")):
        start, _, parts_text = entry.partition(":")
        parts = _whole(key, parts_text)
        if start == ">":
            first_left = 1 if last is None else last + 1
            divisions[first_left:] = [parts] * (POWER2_INTERVALS - first_left)
            continue
        boundary = _whole(key, start)
        if boundary == 0 or boundary & (boundary - 1):
            raise InputError(f"{key} has the size {start} in the allocator settings; give powers of 2, in MiB")
        interval = min(boundary.bit_length() - 1, POWER2_INTERVALS - 1)
        if last is None:
            divisions[:interval] = [parts] * interval
        divisions[interval] = parts
        last = interval
    return tuple(divisions)
