"""Phi 3.5 MoE: layer norms, biases, and two experts per token chosen by SparseMixer.

Source: `transformers/models/phimoe/modeling_phimoe.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.moe_parts import (
    MoeProgram,
    expert_stack,
    experts_of,
    grouped_experts,
    moe_blocks,
    uncovered,
)
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
)
from planner.architecture.families.windows import FULL, SLIDING
from planner.architecture.modules import Architecture, linear, norm
from planner.architecture.program import Forward
from planner.errors import InputError
from planner.tape import Tensor, ops
from planner.tape.sparsemixer import sparsemixer

ROUTER_NOTE = (
    "PhiMoE's router is an nn.Linear that returns three tensors: PEFT's all-linear wraps it, and the forward "
    "pass then fails; name the attention's projections as targets."
)


@dataclass(frozen=True, slots=True)
class PhimoeProgram(MoeProgram):
    """Mistral's block with layer norms."""

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        attention, _, _ = kind.partition(" ")
        x = ops.add(x, self.attention(forward, attention, forward.layer_norm("input_layernorm", x)))
        return ops.add(x, self.sparse(forward, forward.layer_norm("post_attention_layernorm", x)))

    def sparse(self, forward: Forward, x: Tensor) -> Tensor:
        logits = forward.linear("mlp.router", x)
        weights, indices = sparsemixer(logits)
        return grouped_experts(forward, "mlp.experts", x, indices, weights, self.experts)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("model.norm", x)


def build(config: Config) -> Architecture:
    """The architecture of a `PhimoeConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=8)
    experts = experts_of(config, ("num_local_experts",), hidden=hidden, inner=inner, count=16, per_token=2)
    if experts.per_token != 2:
        raise InputError(
            f"num_experts_per_tok in {config.origin} is {experts.per_token}, but SparseMixer takes 2; write 2",
            field="model",
        )
    biased = config.bool("attention_bias", default=False)
    window = config.int("sliding_window", minimum=1, default=None)
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        linear("mlp.router", hidden, experts.count),
        expert_stack("mlp.experts", experts),
        norm("input_layernorm", hidden, bias=True),
        norm("post_attention_layernorm", hidden, bias=True),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    reason = uncovered(config, jitter="input_jitter_noise")
    return decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks([FULL if window is None else SLIDING] * count, [True] * count, moe=modules, dense=()),
        final_norm=norm("model.norm", hidden, bias=True),
        head_bias=config.bool("lm_head_bias", default=False),
        program=None if reason else PhimoeProgram(heads, dropout, experts.activation, window, experts),
        no_program_reason=reason,
        activation=experts.activation,
        kv_width=heads.kv_heads * heads.head_dim,
        attention_windows=(window,),
        notes=(ROUTER_NOTE,),
    )
