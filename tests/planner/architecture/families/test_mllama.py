"""Llama 3.2 Vision's modules and its step on text, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters, measured_peak, predicted_peak

TEXT: dict[str, Any] = {
    "model_type": "mllama_text_model",
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "cross_attention_layers": [1, 3],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION: dict[str, Any] = {
    "model_type": "mllama_vision_model",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_global_layers": 1,
    "attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "vision_output_dim": 64,
    "intermediate_layers_indices": [0],
}


def config_of(text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None) -> dict[str, Any]:
    parts = {"text_config": TEXT | (text or {}), "vision_config": VISION | (vision or {})}
    return {"model_type": "mllama", **parts}


@pytest.mark.parametrize(
    "config",
    [
        config_of(),
        config_of({"cross_attention_layers": [0, 4]}),
        config_of(vision={"supported_aspect_ratios": [[1, 1], [1, 2]], "max_num_tiles": 2}),
    ],
    ids=["plain", "other layers", "other tiles"],
)
def test_parameters_are_those_of_transformers(config: dict[str, Any]) -> None:
    assert_same_parameters(config)


@pytest.mark.parametrize(
    ("vocabulary", "dtype", "checkpointing", "attention"),
    [
        (512, "float32", False, "sdpa"),
        (512, "bfloat16", True, "eager"),
        (8, "bfloat16", False, "sdpa"),
        (8, "bfloat16", True, "sdpa"),
    ],
)
def test_full_step_peak(vocabulary: int, dtype: str, checkpointing: bool, attention: str) -> None:
    config = config_of({"vocab_size": vocabulary})
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


@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_step_peak(checkpointing: bool) -> None:
    config = config_of()
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


def test_cross_attention_everywhere_leaves_nothing_to_run() -> None:
    with pytest.raises(InputError, match="cross_attention_layers"):
        architecture_of(config_of({"cross_attention_layers": [0, 1, 2, 3, 4]}))
