"""Gemma 3's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.errors import Abstention, InputError
from planner.memory.step import profile_step
from planner.run import TrainingRun
from tests.planner.architecture.families.test_gemma import TINY as GEMMA
from tests.support.families import architecture_of, assert_same_parameters, measured_peak, predicted_peak

TINY: dict[str, Any] = GEMMA | {
    "model_type": "gemma3_text",
    "num_key_value_heads": 2,
    "sliding_window": 64,
    "sliding_window_pattern": 2,
}
MULTIMODAL: dict[str, Any] = {
    "model_type": "gemma3",
    "text_config": TINY,
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
        "vision_use_head": False,
    },
    "mm_tokens_per_image": 4,
    "image_token_index": 5,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": False}, {"attention_bias": True}, {"num_hidden_layers": 7}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vision", [{}, {"vision_use_head": True}], ids=str)
@pytest.mark.parametrize("tied", [True, False])
def test_multimodal_parameters_are_those_of_transformers(vision: dict[str, Any], tied: bool) -> None:
    changes = {"vision_config": MULTIMODAL["vision_config"] | vision, "tie_word_embeddings": tied}
    assert_same_parameters(MULTIMODAL | changes)


@pytest.mark.parametrize("window", [64, 16], ids=["window not reached", "window reached"])
@pytest.mark.parametrize(
    ("vocabulary", "dtype", "checkpointing", "attention"),
    [
        (512, "float32", False, "sdpa"),
        (512, "bfloat16", True, "eager"),
        (8, "bfloat16", False, "sdpa"),
        (8, "bfloat16", True, "sdpa"),
    ],
)
def test_full_step_peak(window: int, vocabulary: int, dtype: str, checkpointing: bool, attention: str) -> None:
    config = TINY | {"vocab_size": vocabulary, "sliding_window": window}
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
    run = TrainingRun(
        model="tiny",
        method="lora",
        rank=4,
        dropout=0.1,
        mixed_precision="no",
        gradient_checkpointing=checkpointing,
        packing=True,
        sequence_length=48,
    )
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1, task_type="CAUSAL_LM")
    assert predicted_peak(config, run) == pytest.approx(measured_peak(config, run, peft=adapter), rel=0.003)


def test_attention_in_both_directions_abstains() -> None:
    architecture = architecture_of(TINY | {"use_bidirectional_attention": True})
    with pytest.raises(Abstention, match="both directions"):
        profile_step(architecture, TrainingRun(model="tiny", method="full"))


def test_multimodal_config_without_its_text_part() -> None:
    with pytest.raises(InputError, match="text_config"):
        architecture_of({"model_type": "gemma3"})
