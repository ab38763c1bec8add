"""StableLM 3B, StableLM 2 1.6B and 12B.

Source: `transformers/models/stablelm/modeling_stablelm.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.glm import rotate_partly
from planner.architecture.families.gpt_parts import even_head_dim, rotary_width
from planner.architecture.families.llama import mlp
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    gated_projections,
)
from planner.architecture.families.windows import FULL
from planner.architecture.modules import Architecture, Block, norm
from planner.architecture.program import Forward
from planner.tape import Tensor, ops


@dataclass(frozen=True, slots=True)
class StableLmProgram(MistralProgram):
    """Attention and SwiGLU with layer norms, one after the other or side by side; partly rotated heads."""

    rotated: int
    """Columns of a head that are rotated."""
    qk_norm: bool
    parallel: bool
    hidden_dropout: float

    @property
    def rotary_width(self) -> int:
        return self.rotated

    @property
    def head_major(self) -> bool:
        return True

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        normed = forward.layer_norm("input_layernorm", x)
        attended = self.attention(forward, kind, normed)
        if self.parallel:
            out = ops.dropout(mlp(forward, normed, self.activation), self.hidden_dropout)
            return ops.add(ops.add(x, attended), out)
        x = ops.add(x, attended)
        out = mlp(forward, forward.layer_norm("post_attention_layernorm", x), self.activation)
        out = ops.dropout(out, self.hidden_dropout)
        return ops.add(x, out)

    def project(self, forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = forward.linear("self_attn.q_proj", x)
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        if self.qk_norm:
            q = norm_per_head(forward, "self_attn.q_layernorm", q, self.heads.heads)
            k = norm_per_head(forward, "self_attn.k_layernorm", k, self.heads.kv_heads)
        return q, k, v

    def rotate(self, forward: Forward, kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = forward.rotary_tables
        return rotate_partly(q, k, cos, sin, self.rotated, self.heads.head_dim)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("model.norm", x)


def norm_per_head(forward: Forward, name: str, x: Tensor, heads: int) -> Tensor:
    """`StableLmLayerNormPerHead`: a layer norm of its own for each head."""
    parts = ops.split(x, [x.cols // heads] * heads)
    return ops.cat([forward.layer_norm(f"{name}.norms.{head}", part) for head, part in enumerate(parts)])


def build(config: Config) -> Architecture:
    """The architecture of a `StableLmConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    head_dim = even_head_dim(config, hidden, query_heads)
    heads = attention_heads(config, query_heads, head_dim, missing=32)
    act = config.str("hidden_act", default="silu")
    qk_norm = config.bool("qk_layernorm", default=False)
    parallel = config.bool("use_parallel_residual", default=False)
    head_norms = [f"q_layernorm.norms.{head}" for head in range(heads.heads)]
    head_norms += [f"k_layernorm.norms.{head}" for head in range(heads.kv_heads)]
    modules = (
        *attention_projections(hidden, heads, bias=config.bool("use_qkv_bias", default=False)),
        *(norm(f"self_attn.{name}", head_dim) for name in head_norms if qk_norm),
        *gated_projections(hidden, inner),
        norm("input_layernorm", hidden, bias=True),
        *(() if parallel else (norm("post_attention_layernorm", hidden, bias=True),)),
    )
    program = StableLmProgram(
        heads,
        config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
        act,
        None,
        rotary_width(config, head_dim, 0.25),
        qk_norm,
        parallel,
        config.float("hidden_dropout", minimum=0.0, maximum=1.0, default=0.0),
    )
    return decoder(
        config,
        hidden=hidden,
        blocks=(Block(FULL, modules, tuple(range(count))),),
        program=program,
        kv_width=heads.kv_heads * heads.head_dim,
        final_norm=norm("model.norm", hidden, bias=True),
        activation=act,
    )
