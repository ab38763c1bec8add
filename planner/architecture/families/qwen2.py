"""Qwen 1.5, 2 and 2.5 (dense) and others of `model_type` qwen2.

Source: `transformers/models/qwen2/modeling_qwen2.py` (5.23).
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
    gated_projections,
)
from planner.architecture.families.windows import attention_windows, blocks_of, window_of_last_layers
from planner.architecture.modules import Architecture, norm


def build(config: Config) -> Architecture:
    """The architecture of a `Qwen2Config`: biases on q, k and v, which no field of it turns off."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=32)
    activation = config.str("hidden_act", default="silu")
    window, kinds = window_of_last_layers(config)
    modules = (
        *attention_projections(hidden, heads, bias=True),
        *gated_projections(hidden, inner),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    return decoder(
        config,
        hidden=hidden,
        blocks=blocks_of(kinds, modules),
        program=MistralProgram(heads, dropout, activation, window),
        kv_width=heads.kv_heads * heads.head_dim,
        activation=activation,
        attention_windows=attention_windows(window, kinds),
    )
