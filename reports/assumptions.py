"""What the user left open: the fields that were defaulted, with the values they got."""

from __future__ import annotations

from typing import cast

from planner.run import TrainingRun
from reports.page import Page

GROUPS: dict[str, tuple[str, ...]] = {
    "method": (
        "method", "rank", "alpha", "dropout", "target_modules", "target_parameters", "modules_to_save",
        "bias", "use_dora", "use_rslora", "num_virtual_tokens", "prefix_projection", "encoder_hidden_size",
        "encoder_num_layers", "trainable_token_count",
    ),
    "precision": (
        "base_dtype", "mixed_precision", "adapter_dtype", "quantization", "double_quant", "group_size", "gptq_kernel",
        "prepare_kbit",
    ),
    "batch": (
        "micro_batch_size", "sequence_length", "gradient_accumulation_steps", "packing", "eval_batch_size",
    ),
    "memory": (
        "gradient_checkpointing", "checkpoint_every", "use_reentrant", "checkpoint_offload", "attention",
        "kernels", "chunked_loss",
    ),
    "optimizer": ("optimizer", "max_grad_norm"),
    "libraries": ("trainer", "empty_cache", "transformers_version", "peft_version"),
    "GPUs": ("num_gpus", "strategy"),
}  # fmt: skip

OFF = "off"
_GLUE = "\u00a0"
"""Keeps a field and its value on one line."""


def assumptions_section(run: TrainingRun, page: Page) -> list[str]:
    """One wrapped line per group of fields, and one for all that is off."""
    groups = assumed(run)
    label_width = max(map(len, (*GROUPS, OFF))) + 2
    lines = [
        line.replace(_GLUE, " ")
        for label, values in groups.items()
        for line in page.wrap(
            ", ".join(value.replace(" ", _GLUE) for value in values), first=f"  {label.ljust(label_width)}"
        )
    ]
    return [page.heading("Assumed, as nothing else was said"), *lines] if lines else []


def assumed(run: TrainingRun) -> dict[str, list[str]]:
    """Group -> the fields of it that were defaulted with their values, `rank 16`; those that are off by name alone."""
    off = [field for field in run.defaulted if _is_off(getattr(run, field))]
    groups = {
        label: [_assumed(run, field) for field in fields if field in run.defaulted and field not in off]
        for label, fields in GROUPS.items()
    }
    groups[OFF] = off
    return {label: values for label, values in groups.items() if values}


def _is_off(value: object) -> bool:
    return value is False or value == () or value == "none"


def _assumed(run: TrainingRun, field: str) -> str:
    return f"{field} {_shown(field, getattr(run, field))}"


def _shown(field: str, value: object) -> str:
    if value is True:
        return "on"
    if value is None and field.endswith("_version"):
        return "the newest"
    if value is None:
        return "the model's own"
    if isinstance(value, tuple):
        return " ".join(cast("tuple[str, ...]", value))
    return f"{value:g}" if isinstance(value, float) else str(value)
