"""The dtypes that a run's settings stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.run import TrainingRun

_AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}


def autocast_dtype(run: TrainingRun) -> str | None:
    """The dtype of `torch.autocast`; None outside it."""
    return _AUTOCAST.get(run.mixed_precision)


def compute_dtype(run: TrainingRun) -> str:
    """The dtype of a run's matrix products: autocast's or, without it, the base model's.

    `bnb_4bit_compute_dtype` is taken to be it, which is what QLoRA scripts set. transformers' own default is float32,
    and bitsandbytes 0.50 obeys it (`Linear4bit.compute_type_is_set`).
    """
    return autocast_dtype(run) or run.base_dtype
