"""Mixtral: Mistral's attention, and experts in the place of its MLP.

Source: `transformers/models/mixtral/modeling_mixtral.py` (5.23).
"""

from __future__ import annotations

from planner.architecture.config import Config
from planner.architecture.families.moe_parts import (
    MoeProgram,
    expert_stack,
    experts_of,
    moe_blocks,
    router,
    uncovered,
)
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
)
from planner.architecture.families.windows import FULL, SLIDING
from planner.architecture.modules import Architecture, norm


def build(config: Config) -> Architecture:
    """The architecture of a `MixtralConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=8)
    experts = experts_of(config, ("num_local_experts", "num_experts"), hidden=hidden, inner=inner, count=8, per_token=2)
    window = config.int("sliding_window", minimum=1, default=None)
    modules = (
        *attention_projections(hidden, heads),
        router("mlp.gate", experts),
        expert_stack("mlp.experts", experts),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    program = MoeProgram(heads, dropout, experts.activation, window, experts, cast_weights=False)
    reason = uncovered(config)
    return decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks([FULL if window is None else SLIDING] * count, [True] * count, moe=modules, dense=()),
        program=None if reason else program,
        no_program_reason=reason,
        activation=experts.activation,
        kv_width=heads.kv_heads * heads.head_dim,
        attention_windows=(window,),
    )
