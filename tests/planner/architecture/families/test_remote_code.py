"""Families that transformers does not have: counts against published ones, and what their names are."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from tests.support.families import architecture_of

QWEN_7B: dict[str, Any] = {
    "model_type": "qwen",
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "kv_channels": 128,
    "vocab_size": 151936,
    "no_bias": True,
}
INTERNLM2_5_7B: dict[str, Any] = {
    "model_type": "internlm2",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 92544,
    "bias": False,
}
BAICHUAN2_7B: dict[str, Any] = {
    "model_type": "baichuan",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 125696,
}
PHI_3_SMALL: dict[str, Any] = {
    "model_type": "phi3small",
    "hidden_size": 4096,
    "ff_intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 100352,
}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (QWEN_7B, 7_721_324_544),  # safetensors.total of Qwen/Qwen-7B on the Hub
        (INTERNLM2_5_7B, 7_737_708_544),  # the same of internlm/internlm2_5-7b-chat
        # no count is published; transformers' Llama of the same shape has
        (BAICHUAN2_7B, 7_505_973_248),
        # the total published on the Hub counts 32 rotary buffers of 64 as well
        (PHI_3_SMALL, 7_392_274_432 - 32 * 64),
    ],
    ids=["qwen", "internlm2", "baichuan", "phi3small"],
)
def test_parameters(config: dict[str, Any], parameters: int) -> None:
    architecture = architecture_of(config)
    assert architecture.parameters == parameters
    assert architecture.program is None
    assert "remote" in architecture.no_program_reason


@pytest.mark.parametrize(
    ("config", "fused"),
    [
        (QWEN_7B, "transformer.h.0.attn.c_attn"),
        (INTERNLM2_5_7B, "model.layers.0.attention.wqkv"),
        (BAICHUAN2_7B, "model.layers.0.self_attn.W_pack"),
        (PHI_3_SMALL, "model.layers.0.self_attn.query_key_value"),
    ],
    ids=["qwen", "internlm2", "baichuan", "phi3small"],
)
def test_the_fused_projection_has_the_name_adapters_target(config: dict[str, Any], fused: str) -> None:
    architecture = architecture_of(config)
    assert dict(architecture.modules())[fused].out_features == 4096 + 2 * architecture.kv_width


@pytest.mark.parametrize(
    "config",
    [
        QWEN_7B | {"intermediate_size": 3},
        INTERNLM2_5_7B | {"num_attention_heads": 3},
        BAICHUAN2_7B | {"num_attention_heads": 3},
        PHI_3_SMALL | {"ff_intermediate_size": None},
    ],
    ids=["qwen", "internlm2", "baichuan", "phi3small"],
)
def test_a_broken_config_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(config)
