"""OLMo 2 and OLMo 3.

Source: `transformers/models/olmo2/modeling_olmo2.py`, `olmo3/modeling_olmo3.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
    gated_projections,
)
from planner.architecture.families.windows import FULL, SLIDING, blocks_of, layer_kinds
from planner.architecture.modules import Architecture, norm
from planner.architecture.program import Forward
from planner.tape import Tensor, layers, ops


@dataclass(frozen=True, slots=True)
class OlmoProgram(MistralProgram):
    """Norms after attention and MLP, none before; norms over the whole of q and k; rotation in float32."""

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        x = ops.add(x, rms_norm(forward, "post_attention_layernorm", self.attention(forward, kind, x)))
        return ops.add(x, rms_norm(forward, "post_feedforward_layernorm", self.mlp(forward, x)))

    def project(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = rms_norm(forward, "self_attn.q_norm", forward.linear("self_attn.q_proj", x))
        k = rms_norm(forward, "self_attn.k_norm", forward.linear("self_attn.k_proj", x))
        return q, k, forward.linear("self_attn.v_proj", x)

    def rotate(self, forward: Forward, kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        q_embed, k_embed = forward.rotary(q), forward.rotary(k)
        return ops.to(q_embed, q.dtype), ops.to(k_embed, k.dtype)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return rms_norm(forward, "model.norm", x)


def rms_norm(forward: Forward, name: str, x: Tensor) -> Tensor:
    """`Olmo2RMSNorm`: the weight is applied before the cast back."""
    with forward.tape.module(name):
        return layers.rms_norm(x, forward.parameter(f"{name}.weight"), weight_first=False)


def build(config: Config) -> Architecture:
    """The architecture of an `Olmo2Config` or an `Olmo3Config`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads))
    biased = config.bool("attention_bias", default=False)
    activation = config.str("hidden_act", default="silu")
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        norm("self_attn.q_norm", heads.heads * heads.head_dim),
        norm("self_attn.k_norm", heads.kv_heads * heads.head_dim),
        *gated_projections(hidden, inner),
        norm("post_attention_layernorm", hidden),
        norm("post_feedforward_layernorm", hidden),
    )
    window, kinds = None, (FULL,) * count
    if config.str("model_type") == "olmo3":
        window = config.int("sliding_window", minimum=1, default=4096)
        kinds = layer_kinds(config, [FULL if (layer + 1) % 4 == 0 else SLIDING for layer in range(count)])
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    return decoder(
        config,
        hidden=hidden,
        blocks=blocks_of(kinds, modules),
        program=OlmoProgram(heads, dropout, activation, window),
        kv_width=heads.kv_heads * heads.head_dim,
        activation=activation,
        attention_windows=(None,) if window is None else (None, window),
        rotary_dtype="float32",
        rotary_sets=len(set(kinds)),
    )
