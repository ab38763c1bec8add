"""OLMoE: RMS norms over all heads of q and of k at once, and experts in every layer.

Source: `transformers/models/olmoe/modeling_olmoe.py` (5.23).
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
    uncovered,
)
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
)
from planner.architecture.families.windows import FULL
from planner.architecture.modules import Architecture, norm
from planner.architecture.program import Forward
from planner.tape import Tensor


@dataclass(frozen=True, slots=True)
class OlmoeProgram(MoeProgram):
    """Mistral's block with norms over the whole of q and k."""

    def project(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = forward.rms_norm("self_attn.q_norm", forward.linear("self_attn.q_proj", x))
        k = forward.rms_norm("self_attn.k_norm", forward.linear("self_attn.k_proj", x))
        return q, k, forward.linear("self_attn.v_proj", x)


def build(config: Config) -> Architecture:
    """The architecture of an `OlmoeConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads))
    experts = experts_of(
        config,
        ("num_experts", "num_local_experts"),
        hidden=hidden,
        inner=config.int("intermediate_size", minimum=1, default=2048),
        count=64,
        per_token=8,
    )
    biased = config.bool("attention_bias", default=False)
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        norm("self_attn.q_norm", hidden),
        norm("self_attn.k_norm", hidden // query_heads * heads.kv_heads),
        router("mlp.gate", experts),
        expert_stack("mlp.experts", experts),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    normalized = config.bool("norm_topk_prob", default=False)
    program = OlmoeProgram(heads, dropout, experts.activation, None, experts, normalized)
    reason = uncovered(config)
    if config.float("clip_qkv", default=None) is not None:
        reason = reason or "clip_qkv is not covered"
    return decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks([FULL] * count, [True] * count, moe=modules, dense=()),
        program=None if reason else program,
        no_program_reason=reason,
        activation=experts.activation,
        kv_width=heads.kv_heads * heads.head_dim,
    )
