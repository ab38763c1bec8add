"""Gemma 1's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters, measured_peak, predicted_peak

TINY: dict[str, Any] = {
    "model_type": "gemma",
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 512,
    "max_position_embeddings": 256,
}


@pytest.mark.parametrize(
    "changes", [{}, {"tie_word_embeddings": False}, {"attention_bias": True}, {"hidden_act": "gelu"}], ids=str
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


def test_missing_keys_are_those_of_the_config_class() -> None:
    few = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers")
    assert_same_parameters({key: TINY[key] for key in few})


@pytest.mark.parametrize(
    ("vocabulary", "dtype", "checkpointing", "attention"),
    [
        (512, "float32", False, "sdpa"),
        (512, "bfloat16", True, "eager"),
        (8, "bfloat16", False, "sdpa"),
        (8, "bfloat16", True, "sdpa"),
        (8, "bfloat16", False, "eager"),
        (8, "float32", True, "eager"),
    ],
)
def test_full_step_peak(vocabulary: int, dtype: str, checkpointing: bool, attention: str) -> None:
    config = TINY | {"vocab_size": vocabulary}
    run = TrainingRun(
        model="tiny",
        method="full",
        base_dtype=dtype,
        mixed_precision="no",
        attention=attention,
        gradient_checkpointing=checkpointing,
        packing=True,
    )
    assert predicted_peak(config, run) == pytest.approx(measured_peak(config, run), rel=0.003)


@pytest.mark.parametrize("vocabulary", [512, 8])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_step_peak(vocabulary: int, checkpointing: bool) -> None:
    config = TINY | {"vocab_size": vocabulary}
    run = TrainingRun(
        model="tiny",
        method="lora",
        rank=4,
        dropout=0.1,
        mixed_precision="no",
        gradient_checkpointing=checkpointing,
        packing=True,
    )
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1, task_type="CAUSAL_LM")
    assert predicted_peak(config, run) == pytest.approx(measured_peak(config, run, peft=adapter), rel=0.003)


def test_heads_that_do_not_group() -> None:
    with pytest.raises(InputError, match="not a multiple of num_key_value_heads"):
        architecture_of(TINY | {"num_key_value_heads": 3})
