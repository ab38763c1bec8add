"""What a family allows of a run: attention implementations that transformers refuses for it."""

from __future__ import annotations

from planner.architecture.modules import Architecture
from planner.errors import InputError
from planner.run import TrainingRun


def with_supported_attention(architecture: Architecture, run: TrainingRun) -> TrainingRun:
    """The run with the attention implementation that transformers takes for this family.

    A run that does not name one gets eager attention where there is no SDPA, as `from_pretrained` does
    (`PreTrainedModel.get_correct_attn_implementation`). Raises `InputError` for one it refuses.
    """
    if run.attention in architecture.attention:
        return run
    if "attention" in run.defaulted:
        return run.replace(attention="eager")
    raise InputError(
        f"attention '{run.attention}' is not supported by transformers for '{architecture.model_type}'; "
        f"use {' or '.join(architecture.attention)}",
        field="attention",
    )
