"""Several GPUs: FSDP, DeepSpeed, and the sizes of what they share out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from planner.trainer_configs.document import find_file
from planner.trainer_configs.formats.accelerate import read_fsdp_config
from planner.trainer_configs.formats.axolotl.adapters import fsdp_version
from planner.trainer_configs.formats.axolotl.values import ignores_given
from planner.trainer_configs.formats.deepspeed import read_deepspeed
from planner.trainer_configs.launcher import read_launcher
from planner.trainer_configs.reader import Reader, is_off
from planner.trainer_configs.types import Json

_HOST: Json = {"device": "cpu"}
_AUTO: Json = {"enabled": "auto"}

BUNDLED: dict[str, dict[str, Json]] = {
    "zero1.json": {"zero_optimization": {"stage": 1}, "bf16": _AUTO, "fp16": _AUTO},
    "zero2.json": {"zero_optimization": {"stage": 2, "offload_optimizer": _HOST}, "bf16": _AUTO, "fp16": _AUTO},
    "zero3.json": {"zero_optimization": {"stage": 3}, "bf16": _AUTO, "fp16": _AUTO},
    "zero3_bf16.json": {"zero_optimization": {"stage": 3}, "bf16": {"enabled": True}},
    "zero3_bf16_cpuoffload_params.json": {
        "zero_optimization": {"stage": 3, "offload_param": _HOST},
        "bf16": {"enabled": True},
    },
    "zero3_bf16_cpuoffload_all.json": {
        "zero_optimization": {"stage": 3, "offload_optimizer": _HOST, "offload_param": _HOST},
        "bf16": {"enabled": True},
    },
}
"""Configs of Axolotl's own folder `deepspeed_configs`, which people name without having them: what moves memory."""

_SIZES = ("dp_shard_size", "dp_replicate_size", "tensor_parallel_size", "context_parallel_size")


def read_gpus(reader: Reader) -> None:
    """Take the settings of what runs on several GPUs; precision and batch are to be read before."""
    _fsdp(reader)
    _deepspeed(reader)
    _parallel(reader)
    read_launcher(reader, mixed_precision=False)


def _fsdp(reader: Reader) -> None:
    listed, config = reader.raw("fsdp"), reader.raw("fsdp_config")
    if is_off(listed) and is_off(config):
        keys = ("fsdp", "fsdp_config", "fsdp_version")
        ignores_given(reader, keys, why="counts with fsdp_config")
        return
    if reader.mapping("fsdp_config"):
        read_fsdp_config(reader, "fsdp_config")
    if reader.has("fsdp_version"):
        if reader.gives("strategy") is None:
            reader.becomes("fsdp_version", strategy="fsdp2" if str(fsdp_version(reader)) == "2" else "fsdp")
        reader.ignores("fsdp_version")
    if reader.gives("strategy") is None:
        # version 1 where none is given: axolotl/utils/schemas/validation.py, check_fsdp_version_in_fsdp_config
        reader.becomes("fsdp" if reader.has("fsdp") else "fsdp_config", strategy="fsdp")
    words = listed if isinstance(listed, list) else str(listed or "").replace(",", " ").split()
    if others := [str(word) for word in words if word not in ("full_shard", "auto_wrap", True)]:
        reader.uncounted("fsdp", f"{' '.join(others)} is planned as full_shard")
    if reader.has("fsdp"):
        reader.ignores("fsdp", why="fsdp_config decides")
    if reader.has("fsdp_config") and not config:
        reader.ignores("fsdp_config")


def _deepspeed(reader: Reader) -> None:
    written = reader.raw("deepspeed")
    if is_off(written):
        if reader.has("deepspeed"):
            reader.ignores("deepspeed")
        return
    name = Path(written).name if isinstance(written, str) else ""
    if name in BUNDLED and find_file(str(written), reader.document.folder) is None:
        settings: dict[str, Json] = {**reader.document.settings, "deepspeed": dict(BUNDLED[name])}
        reader.document = replace(reader.document, settings=settings)
        reader.note(f"deepspeed: {name} is taken for the file of that name that Axolotl brings")
    if reader.include("deepspeed"):
        read_deepspeed(reader, "deepspeed")
    elif reader.has("deepspeed") and not isinstance(written, str):
        raise reader.wrong("deepspeed", "a file, or a mapping")


def _parallel(reader: Reader) -> None:
    sizes = {key: reader.whole(key) or 1 for key in (*_SIZES, "sequence_parallel_degree")}
    if reader.has("sequence_parallel_degree") and not reader.has("context_parallel_size"):
        sizes["context_parallel_size"] = sizes["sequence_parallel_degree"]
    shares = {
        "tensor_parallel_size": "each layer is split over GPUs, and planned whole",
        "context_parallel_size": "each sequence is split over GPUs, and planned whole",
        "sequence_parallel_degree": "each sequence is split over GPUs, and planned whole",
    }
    for key, why in shares.items():
        if reader.has(key) and sizes[key] > 1:
            reader.uncounted(key, why)
    gpus = math.prod(sizes[name] for name in _SIZES)
    if sizes["dp_shard_size"] > 1:
        reader.becomes("dp_shard_size", num_gpus=gpus)
    if sizes["dp_replicate_size"] > 1:
        reader.uncounted("dp_replicate_size", "shards are of a group of GPUs, and planned as of all of them")
        reader.default("axolotl/utils/distributed.py: build_parallelism_config", num_gpus=gpus)
    ignores_given(reader, sizes)
    if reader.flag("use_ray") and reader.has("ray_num_workers"):
        reader.becomes("ray_num_workers", num_gpus=reader.whole("ray_num_workers"))
    ignores_given(reader, ("use_ray", "ray_num_workers"))
