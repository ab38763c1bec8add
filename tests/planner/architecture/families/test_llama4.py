"""Llama 4's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters, measured_peak, predicted_peak

TINY: dict[str, Any] = {
    "model_type": "llama4_text",
    "hidden_size": 64,
    "intermediate_size": 96,
    "intermediate_size_mlp": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "num_local_experts": 4,
    "interleave_moe_layer_step": 2,
}
MULTIMODAL: dict[str, Any] = {
    "model_type": "llama4",
    "text_config": TINY,
    "vision_config": {
        "model_type": "llama4_vision_model",
        "hidden_size": 32,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
        "vision_output_dim": 24,
        "projector_input_dim": 24,
        "projector_output_dim": 24,
    },
}
WITHOUT_ROUTERS = r".*(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        TINY | {"attention_bias": True, "tie_word_embeddings": True},
        TINY | {"interleave_moe_layer_step": 1},
        TINY | {"moe_layers": [1, 2], "no_rope_layers": [1, 0, 0, 1]},
        MULTIMODAL,
    ],
    ids=["alternating", "biased", "all experts", "listed", "multimodal"],
)
def test_parameters_are_those_of_transformers(config: dict[str, Any]) -> None:
    assert_same_parameters(config)


@pytest.mark.parametrize(
    ("changes", "dtype", "checkpointing", "attention"),
    [
        ({}, "float32", False, "sdpa"),
        ({}, "bfloat16", True, "eager"),
        ({"vocab_size": 8}, "bfloat16", False, "sdpa"),
        ({"vocab_size": 8}, "bfloat16", True, "sdpa"),
        ({"vocab_size": 8, "attention_chunk_size": 16}, "bfloat16", False, "sdpa"),
        ({"vocab_size": 8, "interleave_moe_layer_step": 1, "use_qk_norm": False}, "float32", False, "eager"),
        ({"num_experts_per_tok": 2, "attn_temperature_tuning": False}, "bfloat16", False, "sdpa"),
    ],
    ids=str,
)
def test_full_step_peak(changes: dict[str, Any], dtype: str, checkpointing: bool, attention: str) -> None:
    config = TINY | changes
    run = TrainingRun(
        model="tiny",
        method="full",
        base_dtype=dtype,
        mixed_precision="no",
        attention=attention,
        gradient_checkpointing=checkpointing,
        packing=True,
        sequence_length=48,
    )
    assert predicted_peak(config, run) == pytest.approx(measured_peak(config, run), rel=0.003)


@pytest.mark.parametrize("config", [TINY, MULTIMODAL], ids=["text", "multimodal"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_step_peak(config: dict[str, Any], checkpointing: bool) -> None:
    # all-linear fails in PEFT 0.21: it wraps the router, a Linear whose result is a pair
    run = TrainingRun(
        model="tiny",
        method="lora",
        rank=4,
        dropout=0.1,
        target_modules=WITHOUT_ROUTERS,
        mixed_precision="no",
        gradient_checkpointing=checkpointing,
        packing=True,
        sequence_length=48,
    )
    adapter = peft.LoraConfig(r=4, target_modules=WITHOUT_ROUTERS, lora_dropout=0.1, task_type="CAUSAL_LM")
    assert predicted_peak(config, run) == pytest.approx(measured_peak(config, run, peft=adapter), rel=0.003)


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"no_rope_layers": [1]}, "no_rope_layers"), ({"num_experts_per_tok": 5}, "num_experts_per_tok")],
)
def test_wrong_values(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=key):
        architecture_of(TINY | changes)
