"""The steps by which families are compared with transformers: full fine-tuning and LoRA, run each way."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.run import TrainingRun
from tests.support.families import measured_peak, predicted_peak

DECODER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
"""A tiny decoder; a family's test adds `model_type`."""

VOCABULARIES = {"loss decides": 512, "blocks decide": 8}


def _full(dtype: str, attention: str, checkpointing: bool) -> TrainingRun:
    return TrainingRun(
        model="tiny",
        method="full",
        base_dtype=dtype,
        mixed_precision="no",
        attention=attention,
        gradient_checkpointing=checkpointing,
        packing=True,
    )


def _lora(checkpointing: bool) -> TrainingRun:
    return TrainingRun(
        model="tiny",
        method="lora",
        rank=4,
        target_modules="all-linear",
        mixed_precision="no",
        gradient_checkpointing=checkpointing,
        packing=True,
    )


RUNS: dict[str, TrainingRun] = {
    "full float32": _full("float32", "sdpa", False),
    "full bfloat16": _full("bfloat16", "sdpa", False),
    "full bfloat16 checkpointed": _full("bfloat16", "sdpa", True),
    "full bfloat16 eager": _full("bfloat16", "eager", False),
    "full float32 eager checkpointed": _full("float32", "eager", True),
    "lora bfloat16": _lora(False),
    "lora bfloat16 checkpointed": _lora(True),
}


def measured(config: dict[str, Any], run: TrainingRun) -> int:
    """Bytes of the real step's peak on the CPU, the adapter included where the run has one."""
    adapter = None
    if run.method == "lora":
        adapter = peft.LoraConfig(r=run.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return measured_peak(config, run, peft=adapter)


def assert_same_peak(config: dict[str, Any], run: TrainingRun, *, rel: float = 0.003) -> None:
    """The planned peak of a step is the real one within `rel`; token positions are not planned."""
    assert predicted_peak(config, run) == pytest.approx(measured(config, run), rel=rel)
