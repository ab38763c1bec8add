"""Gemma 2's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.planner.architecture.families.test_gemma import TINY as GEMMA
from tests.support.families import architecture_of, assert_same_parameters, measured_peak, predicted_peak

TINY: dict[str, Any] = GEMMA | {"model_type": "gemma2", "num_key_value_heads": 2, "sliding_window": 16}
TYPES = ["full_attention", "full_attention", "sliding_attention", "full_attention"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": False}, {"attention_bias": True}, {"layer_types": TYPES}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize(
    ("changes", "dtype", "checkpointing"),
    [
        ({}, "float32", False),
        ({}, "bfloat16", True),
        ({"vocab_size": 8}, "bfloat16", False),
        ({"vocab_size": 8}, "bfloat16", True),
        ({"vocab_size": 8, "layer_types": TYPES}, "float32", True),
    ],
    ids=str,
)
def test_full_step_peak(changes: dict[str, Any], dtype: str, checkpointing: bool) -> None:
    config = TINY | changes
    run = TrainingRun(
        model="tiny",
        method="full",
        base_dtype=dtype,
        mixed_precision="no",
        attention="eager",
        gradient_checkpointing=checkpointing,
        packing=True,
    )
    assert predicted_peak(config, run) == pytest.approx(measured_peak(config, run), rel=0.003)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_step_peak(checkpointing: bool) -> None:
    run = TrainingRun(
        model="tiny",
        method="lora",
        rank=4,
        dropout=0.1,
        mixed_precision="no",
        attention="eager",
        gradient_checkpointing=checkpointing,
        packing=True,
    )
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1, task_type="CAUSAL_LM")
    assert predicted_peak(TINY, run) == pytest.approx(measured_peak(TINY, run, peft=adapter), rel=0.003)


def test_soft_capping_rules_out_sdpa() -> None:
    default = TrainingRun(model="tiny", method="full")
    eager = TrainingRun(model="tiny", method="full", attention="eager")
    assert predicted_peak(TINY, default) == predicted_peak(TINY, eager)
    with pytest.raises(InputError, match="use eager or flash_attention_2"):
        predicted_peak(TINY, TrainingRun(model="tiny", method="full", attention="sdpa"))


@pytest.mark.parametrize("types", [TYPES[:2], ["local"] * 4], ids=str)
def test_layer_types_that_are_wrong(types: list[str]) -> None:
    with pytest.raises(InputError, match="layer_types"):
        architecture_of(TINY | {"layer_types": types})
