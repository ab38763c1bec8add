"""PEFT's `adapter_config.json`, with its base model."""

from __future__ import annotations

from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.peft.keys import VERSION
from planner.trainer_configs.formats.peft.own_targets import SOURCE, own_lora_targets
from planner.trainer_configs.formats.peft.settings import read_adapter

__all__ = ["FORMAT", "SOURCE", "VERSION", "own_lora_targets"]


def _signs(document: Document) -> tuple[str, ...]:
    names = ("peft_type", "base_model_name_or_path", "inference_mode", "task_type")
    return tuple(name for name in names if name in document.settings) if "peft_type" in document.settings else ()


FORMAT = ConfigFormat(name="peft", title="PEFT", version=VERSION, signs=_signs, read=read_adapter)
