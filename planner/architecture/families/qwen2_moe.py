"""Qwen 1.5 and 2 MoE: experts beside one shared expert with a gate of its own.

Source: `transformers/models/qwen2_moe/modeling_qwen2_moe.py` (5.23).
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
from planner.architecture.families.windows import (
    FULL,
    SLIDING,
    attention_windows,
    layer_kinds,
    require_window,
)
from planner.architecture.modules import Architecture, linear, norm
from planner.architecture.program import Forward
from planner.tape import Tensor, ops


@dataclass(frozen=True, slots=True)
class Qwen2MoeProgram(MoeProgram):
    """The shared expert runs first, and its result waits for the others."""

    def sparse(self, forward: Forward, x: Tensor) -> Tensor:
        shared = forward.linear(
            "mlp.shared_expert.down_proj",
            forward.gated(
                "mlp.shared_expert.gate_proj",
                "mlp.shared_expert.up_proj",
                x,
                activation=self.activation,
            ),
        )
        _, weights, indices = self.route(forward, x)
        out = grouped_experts(forward, "mlp.experts", x, indices, weights, self.experts)
        gate = ops.saves_output(forward.linear("mlp.shared_expert_gate", x), "sigmoid")
        shared = ops.mul(gate, shared)
        return ops.add(out, shared)


def build(config: Config) -> Architecture:
    """The architecture of a `Qwen2MoeConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=16)
    experts = experts_of(
        config,
        ("num_experts",),
        hidden=hidden,
        inner=config.int("moe_intermediate_size", minimum=1, default=1408),
        count=60,
        per_token=4,
    )
    shared_inner = config.int("shared_expert_intermediate_size", minimum=1, default=5632)
    window, kinds = _windows(config, count)
    shared = (
        *attention_projections(hidden, heads, bias=config.bool("qkv_bias", default=True)),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    moe = (
        *shared,
        router("mlp.gate", experts),
        expert_stack("mlp.experts", experts),
        linear("mlp.shared_expert.gate_proj", hidden, shared_inner),
        linear("mlp.shared_expert.up_proj", hidden, shared_inner),
        linear("mlp.shared_expert.down_proj", shared_inner, hidden),
        linear("mlp.shared_expert_gate", hidden, 1),
    )
    dense = gated_projections(hidden, config.int("intermediate_size", minimum=1, default=5632))
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    normalized = config.bool("norm_topk_prob", default=False)
    program = Qwen2MoeProgram(heads, dropout, experts.activation, window, experts, normalized)
    reason = uncovered(config)
    return decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks(kinds, sparse_layers(config, count), moe=moe, dense=(*shared, *dense)),
        program=None if reason else program,
        no_program_reason=reason,
        activation=experts.activation,
        kv_width=heads.kv_heads * heads.head_dim,
        attention_windows=attention_windows(window, kinds),
    )


def _windows(config: Config, count: int) -> tuple[int | None, tuple[str, ...]]:
    """Window and kinds of layers: with `use_sliding_window`, every other one below `max_window_layers`."""
    window = None
    if config.bool("use_sliding_window", default=False):
        missing = None if config.states("sliding_window") else 4096
        window = config.int("sliding_window", minimum=1, default=missing)
    last = 0 if window is None else config.int("max_window_layers", minimum=0, default=28)
    default = [SLIDING if (layer + 1) % 2 and layer < last else FULL for layer in range(count)]
    kinds = layer_kinds(config, default)
    require_window(config, window, kinds)
    return window, kinds
