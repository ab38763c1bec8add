"""Command R, R+, R7B and Aya: `model_type` cohere and cohere2.

Source: `transformers/models/cohere/modeling_cohere.py`, `cohere2/modeling_cohere2.py` (5.23).
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
from planner.architecture.modules import Architecture, Module, norm
from planner.architecture.program import Forward
from planner.tape import Tensor, ops
from planner.tape.norms import cohere_layer_norm


@dataclass(frozen=True, slots=True)
class CohereProgram(MistralProgram):
    """One norm, then attention and MLP side by side; rotation in float32; scaled logits.

    With a window (Cohere 2), only the layers that slide are rotated.
    """

    qk_norm: bool

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        normed = layer_norm(forward, "input_layernorm", x)
        attended = self.attention(forward, kind, normed)
        out = self.mlp(forward, normed)
        return ops.add(ops.add(x, attended), out)

    def project(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = forward.linear("self_attn.q_proj", x)
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        if self.qk_norm:
            q = layer_norm(forward, "self_attn.q_norm", q, groups=self.heads.heads)
            k = layer_norm(forward, "self_attn.k_norm", k, groups=self.heads.kv_heads)
        return q, k, v

    def rotate(self, forward: Forward, kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        if self.window is not None and kind != SLIDING:
            return q, k
        dtype = q.dtype
        q, k = ops.to(q, "float32"), ops.to(k, "float32")
        q_embed, k_embed = forward.rotary(q), forward.rotary(k)
        return ops.to(q_embed, dtype), ops.to(k_embed, dtype)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return layer_norm(forward, "model.norm", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return ops.scale(forward.linear("lm_head", x))


def layer_norm(forward: Forward, name: str, x: Tensor, *, groups: int = 1) -> Tensor:
    """`CohereLayerNorm` with the weight of module `name`."""
    with forward.tape.module(name):
        return cohere_layer_norm(x, forward.parameter(f"{name}.weight"), groups=groups)


def build(config: Config) -> Architecture:
    """The architecture of a `CohereConfig` or a `Cohere2Config`."""
    second = config.str("model_type") == "cohere2"
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads))
    biased = config.bool("attention_bias", default=False)
    activation = config.str("hidden_act", default="silu")
    qk_norm = not second and config.bool("use_qk_norm", default=False)
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        *((_head_norm("q", heads.heads, heads.head_dim),) if qk_norm else ()),
        *((_head_norm("k", heads.kv_heads, heads.head_dim),) if qk_norm else ()),
        *gated_projections(hidden, inner),
        norm("input_layernorm", hidden),
    )
    window, kinds = None, (FULL,) * count
    if second:
        window = config.int("sliding_window", minimum=1, default=4096)
        pattern = config.int("sliding_window_pattern", minimum=1, default=4)
        default = [SLIDING if (layer + 1) % pattern else FULL for layer in range(count)]
        kinds = layer_kinds(config, default)
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    return decoder(
        config,
        hidden=hidden,
        blocks=blocks_of(kinds, modules),
        program=CohereProgram(heads, dropout, activation, window, qk_norm),
        kv_width=heads.kv_heads * heads.head_dim,
        tied=True,
        activation=activation,
        attention_windows=(None,) if window is None else (None, window),
    )


def _head_norm(which: str, heads: int, head_dim: int) -> Module:
    """`q_norm` or `k_norm`: a weight of its own for each head."""
    return Module(f"self_attn.{which}_norm", "norm", (("weight", (heads, head_dim)),))
