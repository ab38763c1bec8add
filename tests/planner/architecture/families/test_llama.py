"""Llama's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.run import TrainingRun
from tests.support.families import assert_same_parameters, measured_peak, predicted_peak

TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True}, {"attention_bias": True, "mlp_bias": True}, {"head_dim": 32}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", [512, 8], ids=["loss decides", "blocks decide"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_full_step_peak(vocabulary: int, attention: str, dtype: str, checkpointing: bool) -> None:
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


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj")])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_step_peak(targets: Any, dropout: float, checkpointing: bool) -> None:
    run = TrainingRun(
        model="tiny",
        method="lora",
        rank=4,
        target_modules=targets,
        dropout=dropout,
        mixed_precision="no",
        gradient_checkpointing=checkpointing,
        packing=True,
    )
    adapter = peft.LoraConfig(
        r=4,
        target_modules=targets if isinstance(targets, str) else list(targets),
        lora_dropout=dropout,
        task_type="CAUSAL_LM",
    )
    assert predicted_peak(TINY, run) == pytest.approx(measured_peak(TINY, run, peft=adapter), rel=0.003)
