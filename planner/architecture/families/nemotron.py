"""Nemotron 3 8B, 4 15B and 340B, Minitron and Nemotron Mini: `model_type` nemotron.

Source: `transformers/models/nemotron/modeling_nemotron.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.glm import rotate_partly
from planner.architecture.families.gpt_parts import rotary_width
from planner.architecture.families.mistral import MistralProgram
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    default_head_dim,
)
from planner.architecture.families.windows import FULL
from planner.architecture.modules import Architecture, Block, linear, norm
from planner.architecture.program import Forward
from planner.tape import Tensor, ops
from planner.tape.activations import activation
from planner.tape.norms import layer_norm_1p


@dataclass(frozen=True, slots=True)
class NemotronProgram(MistralProgram):
    """Pre-norm attention and a plain MLP, with layer norms around one and partly rotated heads."""

    rotated: int
    """Columns of a head that are rotated."""

    @property
    def rotary_width(self) -> int:
        return self.rotated

    @property
    def head_major(self) -> bool:
        return True

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        x = ops.add(x, self.attention(forward, kind, layer_norm(forward, "input_layernorm", x)))
        return ops.add(x, self.mlp(forward, layer_norm(forward, "post_attention_layernorm", x)))

    def rotate(self, forward: Forward, kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = forward.rotary_tables
        return rotate_partly(q, k, cos, sin, self.rotated, self.heads.head_dim)

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("mlp.down_proj", activation(self.activation, forward.linear("mlp.up_proj", x)))

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return layer_norm(forward, "model.norm", x)


def layer_norm(forward: Forward, name: str, x: Tensor) -> Tensor:
    """`NemotronLayerNorm1P` with the parameters of module `name`."""
    with forward.tape.module(name):
        return layer_norm_1p(x, forward.parameter(f"{name}.weight"), forward.parameter(f"{name}.bias"))


def build(config: Config) -> Architecture:
    """The architecture of a `NemotronConfig`; its `num_key_value_heads` has no default."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    config.int("num_key_value_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads))
    biased = config.bool("attention_bias", default=False)
    mlp_biased = config.bool("mlp_bias", default=False)
    act = config.str("hidden_act", default="relu2")
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        linear("mlp.up_proj", hidden, inner, bias=mlp_biased),
        linear("mlp.down_proj", inner, hidden, bias=mlp_biased),
        norm("input_layernorm", hidden, bias=True),
        norm("post_attention_layernorm", hidden, bias=True),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    rotated = rotary_width(config, heads.head_dim, 0.5)
    return decoder(
        config,
        hidden=hidden,
        blocks=(Block(FULL, modules, tuple(range(count))),),
        program=NemotronProgram(heads, dropout, act, None, rotated),
        kv_width=heads.kv_heads * heads.head_dim,
        final_norm=norm("model.norm", hidden, bias=True),
        activation=act,
    )
