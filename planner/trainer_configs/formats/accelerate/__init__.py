"""accelerate's configs, as `accelerate config` writes them, and the FSDP settings that trainers share with it."""

from __future__ import annotations

from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.accelerate.fsdp import VERSION, read_fsdp_config
from planner.trainer_configs.formats.accelerate.launcher import read_launcher

__all__ = ["FORMAT", "VERSION", "read_fsdp_config"]


def _signs(document: Document) -> tuple[str, ...]:
    names = ("compute_environment", "distributed_type", "main_training_function", "machine_rank", "num_machines")
    found = tuple(name for name in names if name in document.settings)
    return found if "distributed_type" in found or "compute_environment" in found else ()


FORMAT = ConfigFormat(name="accelerate", title="Accelerate", version=VERSION, signs=_signs, read=read_launcher)
