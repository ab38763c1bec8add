"""DeepSpeed, FSDP and accelerate, as `TrainingArguments` takes them."""

from __future__ import annotations

from collections.abc import Collection

from planner.trainer_configs.formats.accelerate import read_fsdp_config
from planner.trainer_configs.formats.deepspeed import read_deepspeed
from planner.trainer_configs.formats.hf_arguments.keys import SPLIT
from planner.trainer_configs.reader import Reader, is_off

_FSDP_VERSION = ("fsdp_config.version", "fsdp_config.fsdp_version")

_FULL_SHARD = ("full_shard", "auto_wrap", "true", "1", "yes", "on")
"""Words of `fsdp` that ask for no more than FSDP as it is planned."""

_ACCELERATOR = (
    "dispatch_batches",
    "even_batches",
    "gradient_accumulation_kwargs",
    "non_blocking",
    "use_configured_state",
    "use_seedable_sampler",
)
"""Of `accelerator_config`, what moves neither memory nor time (`AcceleratorConfig`, transformers/trainer_utils.py)."""


def read_sharding(reader: Reader, besides: Collection[str], fsdp_version: int) -> None:
    """Take the settings that spread a run over GPUs; precision and batch have to be read before.

    fsdp_version: which FSDP it is without a version (`TrainingArguments._process_fsdp_args`).
    """
    if "deepspeed" not in besides and reader.has("deepspeed"):
        if is_off(reader.raw("deepspeed")):
            reader.ignores("deepspeed")
        elif reader.include("deepspeed"):
            read_deepspeed(reader, "deepspeed")
    if "fsdp" not in besides:
        _fsdp(reader, fsdp_version)
    if reader.has("accelerator_config") and reader.include("accelerator_config"):
        reader.moves({"accelerator_config.split_batches": SPLIT})
        reader.ignores(*(f"accelerator_config.{name}" for name in _ACCELERATOR))
        if not reader.raw("accelerator_config"):
            reader.ignores("accelerator_config")


def _fsdp(reader: Reader, by_default: int) -> None:
    former = ("fsdp_config", "fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap")
    asked = reader.raw("fsdp")
    if is_off(asked):
        reader.ignores("fsdp")
        reader.ignores(*former, why="counts with fsdp, which is off")
        return
    if reader.has("fsdp_config") and reader.include("fsdp_config"):
        read_fsdp_config(reader, "fsdp_config")
    version = next((reader.whole(key) for key in _FSDP_VERSION if reader.has(key)), by_default)
    reader.becomes("fsdp", strategy="fsdp" if version == 1 else "fsdp2")
    words = (" ".join(map(str, asked)) if isinstance(asked, list) else str(asked)).lower().split()
    if other := [word for word in words if word not in _FULL_SHARD]:
        reader.uncounted("fsdp", f"{' '.join(other)} is planned as full_shard")
    reader.ignores("fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap", why="the units planned are blocks")
