"""GPT-OSS: attention sinks, alternating sliding windows, and experts with biases and a clamped SwiGLU.

Source: `transformers/models/gpt_oss/modeling_gpt_oss.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.architecture.config import Config
from planner.architecture.families.moe_parts import (
    Experts,
    MoeProgram,
    experts_of,
    grouped_experts,
    moe_blocks,
    router,
    uncovered,
)
from planner.architecture.families.olmo2 import rms_norm
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
    require_pairs,
)
from planner.architecture.families.windows import FULL, SLIDING, layer_kinds, require_window
from planner.architecture.modules import Architecture, Module, norm
from planner.architecture.program import Forward
from planner.tape import Tensor, layers, moe, ops
from planner.tape.norms import subtract


@dataclass(frozen=True, slots=True)
class GptOssProgram(MoeProgram):
    """Norms apply their weight before the cast back; the rotary tables are half as wide as a head."""

    @property
    def rotary_width(self) -> int:
        return self.heads.head_dim // 2

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        attention, _, _ = kind.partition(" ")
        x = ops.add(x, self.attention(forward, attention, rms_norm(forward, "input_layernorm", x)))
        return ops.add(x, self.sparse(forward, rms_norm(forward, "post_attention_layernorm", x)))

    def attention(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        q, k, v = self.project(forward, x)
        q, k = self.rotate(forward, kind, q, k)
        out = forward.attention(
            q,
            k,
            v,
            self.heads,
            dropout=self.attention_dropout,
            window=self.window if kind == SLIDING else None,
            sinks=forward.parameter("self_attn.sinks"),
        )
        return forward.linear("self_attn.o_proj", out)

    def rotate(self, forward: Forward, kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        q_embed = _rotate_halves(forward, q)
        k_embed = _rotate_halves(forward, k)
        return q_embed, k_embed

    def sparse(self, forward: Forward, x: Tensor) -> Tensor:
        _, scores, indices = self.route(forward, x)
        return grouped_experts(
            forward, "mlp.experts", x, indices, scores, self.experts, gate=clamped_swiglu, biased=True
        )

    def route(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`GptOssTopKRouter`: the softmax is over the chosen logits alone."""
        weight, bias = forward.parameter("mlp.router.weight"), forward.parameter("mlp.router.bias")
        logits = layers.linear(x, weight, bias, op="router logits")
        chosen, indices = moe.top_k(logits, self.experts.per_token)
        return logits, ops.softmax(chosen, chosen.dtype), indices

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return rms_norm(forward, "model.norm", x)


def _rotate_halves(forward: Forward, x: Tensor) -> Tensor:
    """`_apply_rotary_emb`: the halves of each head, times tables of half its width."""
    cos, sin = forward.rotary_tables
    first_half, second_half = ops.split(x, [x.cols // 2, x.cols // 2])
    first = subtract(ops.mul(first_half, cos), ops.mul(second_half, sin))
    second = ops.add(ops.mul(second_half, cos), ops.mul(first_half, sin))
    return ops.cat([first, second])


def clamped_swiglu(gate_up: Tensor) -> Tensor:
    """`GptOssExperts._apply_gate`: (clamp(up) + 1) * gate * sigmoid(alpha * gate), with a clamped gate."""
    gate, up = ops.narrow(gate_up, gate_up.cols // 2), ops.narrow(gate_up, gate_up.cols // 2)
    gate = moe.clamp(gate, bounds=1)
    up = moe.clamp(up, bounds=2)
    glu = ops.mul(gate, ops.saves_output(ops.scale(gate), "sigmoid"))
    return ops.mul(ops.shift(up), glu)


def build(config: Config) -> Architecture:
    """The architecture of a `GptOssConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    head_dim = default_head_dim(config, hidden, query_heads) if config.states("head_dim") else 64
    require_pairs(config, head_dim)
    heads = attention_heads(config, query_heads, head_dim, missing=8)
    experts = experts_of(
        config, ("num_local_experts", "num_experts"), hidden=hidden, inner=inner, count=128, per_token=4
    )
    biased = config.bool("attention_bias", default=True)
    window = config.int("sliding_window", minimum=1, default=None if config.states("sliding_window") else 128)
    kinds = layer_kinds(config, [SLIDING if (layer + 1) % 2 else FULL for layer in range(count)])
    require_window(config, window, kinds)
    modules = (
        Module("self_attn", "other", (("sinks", (query_heads,)),)),
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        router("mlp.router", experts, bias=True),
        _biased_stack("mlp.experts", experts),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    reason = uncovered(config)
    architecture = decoder(
        config,
        hidden=hidden,
        blocks=moe_blocks(kinds, [True] * count, moe=modules, dense=()),
        program=None if reason else GptOssProgram(heads, dropout, "silu", window, experts),
        no_program_reason=reason,
        kv_width=heads.kv_heads * heads.head_dim,
        # both masks are made even where no layer uses one of them
        attention_windows=(None, window),
    )
    return replace(architecture, attention=("eager",))


def _biased_stack(name: str, experts: Experts) -> Module:
    """Experts stored in x out, with a bias each."""
    return Module(
        name,
        "experts",
        (
            ("gate_up_proj", (experts.count, experts.hidden, 2 * experts.inner)),
            ("gate_up_proj_bias", (experts.count, 2 * experts.inner)),
            ("down_proj", (experts.count, experts.inner, experts.hidden)),
            ("down_proj_bias", (experts.count, experts.hidden)),
        ),
    )
