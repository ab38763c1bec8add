"""Qwen 3 (dense).

Source: `transformers/models/qwen3/modeling_qwen3.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    gated_projections,
)
from planner.architecture.families.windows import attention_windows, blocks_of, window_of_last_layers
from planner.architecture.modules import Architecture, norm
from planner.architecture.program import Forward
from planner.tape import Tensor


@dataclass(frozen=True, slots=True)
class Qwen3Program(MistralProgram):
    """Qwen 2's block with an RMS norm on each head of q and k."""

    def project(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return project_normed(forward, x, self.heads.heads, self.heads.kv_heads)


def project_normed(forward: Forward, x: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, with `q_norm` on each of `heads` heads and `k_norm` on each of `kv_heads`."""
    q = forward.rms_norm("self_attn.q_norm", forward.linear("self_attn.q_proj", x), groups=heads)
    k = forward.rms_norm("self_attn.k_norm", forward.linear("self_attn.k_proj", x), groups=kv_heads)
    return q, k, forward.linear("self_attn.v_proj", x)


def build(config: Config) -> Architecture:
    """The architecture of a `Qwen3Config`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    head_dim = config.int("head_dim", minimum=1, default=128)
    heads = attention_heads(config, config.int("num_attention_heads", minimum=1), head_dim, missing=32)
    biased = config.bool("attention_bias", default=False)
    activation = config.str("hidden_act", default="silu")
    window, kinds = window_of_last_layers(config)
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        norm("self_attn.q_norm", head_dim),
        norm("self_attn.k_norm", head_dim),
        *gated_projections(hidden, inner),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    return decoder(
        config,
        hidden=hidden,
        blocks=blocks_of(kinds, modules),
        program=Qwen3Program(heads, dropout, activation, window),
        kv_width=heads.kv_heads * heads.head_dim,
        activation=activation,
        attention_windows=attention_windows(window, kinds),
    )
