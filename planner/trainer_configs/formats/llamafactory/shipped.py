"""The DeepSpeed configs that lie in LLaMA-Factory's own repository, which its users name and seldom copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from planner.trainer_configs.document import find_file
from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import Json

KEY = "deepspeed"

_SHIPPED: dict[str, tuple[int, tuple[str, ...]]] = {
    "ds_z0_config.json": (0, ()),
    "ds_z2_config.json": (2, ()),
    "ds_z2_offload_config.json": (2, ("offload_optimizer",)),
    "ds_z3_config.json": (3, ()),
    "ds_z3_offload_config.json": (3, ("offload_optimizer", "offload_param")),
}
"""File in `examples/deepspeed` (0.9.5) -> its ZeRO stage, and what it keeps in host memory. In all of them precision,
batch and clipping are `auto`; the sizes of buffers are left out, which are uncounted with the stage."""


def fill_in_shipped(reader: Reader) -> None:
    """Put the settings of one of these files in the place of its name, where no such file is here."""
    name = reader.raw(KEY)
    if not isinstance(name, str) or Path(name).name not in _SHIPPED:
        return
    if find_file(name, reader.document.folder) is not None:
        return
    stage, offloads = _SHIPPED[Path(name).name]
    on_host: dict[str, Json] = {offload: {"device": "cpu"} for offload in offloads}
    settings: dict[str, Json] = {
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_optimization": {"stage": stage, **on_host},
    }
    reader.document = replace(reader.document, settings={**reader.document.settings, KEY: settings})
    reader.note(
        f"{Path(name).name}, which {KEY} names, is not here and taken to be that of LLaMA-Factory's examples/deepspeed"
    )
