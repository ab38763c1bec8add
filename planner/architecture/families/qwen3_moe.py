"""Qwen 3 MoE.

Source: `transformers/models/qwen3_moe/modeling_qwen3_moe.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.moe_parts import (
    MoeProgram,
    expert_stack,
    experts_of,
    moe_blocks,
    router,
    sparse_layers,
    uncovered,
)
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
    gated_projections,
)
from planner.architecture.families.qwen3 import project_normed
from planner.architecture.families.windows import FULL, SLIDING
from planner.architecture.modules import Architecture, norm
from planner.architecture.program import Forward
from planner.tape import Tensor


@dataclass(frozen=True, slots=True)
class Qwen3MoeProgram(MoeProgram):
    """Qwen 3's attention."""

    def project(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return project_normed(forward, x, self.heads.heads, self.heads.kv_heads)


def build(config: Config) -> Architecture:
    """The architecture of a `Qwen3MoeConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=4)
    experts = experts_of(
        config,
        ("num_experts", "num_local_experts"),
        hidden=hidden,
        inner=config.int("moe_intermediate_size", minimum=1, default=768),
        count=128,
        per_token=8,
    )
    biased = config.bool("attention_bias", default=False)
    window = None
    if config.bool("use_sliding_window", default=False):
        missing = None if config.states("sliding_window") else 4096
        window = config.int("sliding_window", minimum=1, default=missing)
    shared = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        norm("self_attn.q_norm", heads.head_dim),
        norm("self_attn.k_norm", heads.head_dim),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dense = gated_projections(hidden, config.int("intermediate_size", minimum=1, default=6144))
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    normalized = config.bool("norm_topk_prob", default=False)
    program = Qwen3MoeProgram(heads, dropout, experts.activation, window, experts, normalized)
    reason = uncovered(config)
    return decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks(
            [FULL if window is None else SLIDING] * count,
            sparse_layers(config, count),
            moe=(*shared, expert_stack("mlp.experts", experts), router("mlp.gate", experts)),
            dense=(*shared, *dense),
        ),
        program=None if reason else program,
        no_program_reason=reason,
        activation=experts.activation,
        kv_width=heads.kv_heads * heads.head_dim,
        attention_windows=(window,),
    )
