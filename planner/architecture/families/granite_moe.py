"""Granite 3 MoE: `model_type` granitemoe.

Source: `transformers/models/granitemoe/modeling_granitemoe.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.granite import GraniteProgram
from planner.architecture.families.moe_parts import (
    Experts,
    expert_stack,
    experts_of,
    grouped_experts,
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
from planner.tape import Tensor, layers, moe, ops


@dataclass(frozen=True, slots=True)
class GraniteMoeProgram(GraniteProgram):
    """Granite's block with experts in the place of the MLP."""

    experts: Experts

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        _, weights, indices = self.route(forward, x)
        return grouped_experts(forward, "block_sparse_moe.experts", x, indices, weights, self.experts)

    def route(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`GraniteMoeTopKRouter`: the softmax is over the chosen logits alone."""
        weight = forward.parameter("block_sparse_moe.router.weight")
        logits = ops.to(layers.linear(x, weight, op="router logits"), "float32")
        chosen, indices = moe.top_k(logits, self.experts.per_token)
        return logits, ops.to(ops.softmax(chosen), x.dtype), indices


def build(config: Config) -> Architecture:
    """The architecture of a `GraniteMoeConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads))
    experts = experts_of(config, ("num_local_experts",), hidden=hidden, inner=inner, count=8, per_token=2)
    biased = config.bool("attention_bias", default=False)
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
        router("block_sparse_moe.router", experts),
        expert_stack("block_sparse_moe.experts", experts),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    reason = uncovered(config)
    return decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks([FULL] * count, [True] * count, moe=modules, dense=()),
        program=None if reason else GraniteMoeProgram(heads, dropout, experts.activation, None, experts),
        no_program_reason=reason,
        activation=experts.activation,
        kv_width=heads.kv_heads * heads.head_dim,
    )
