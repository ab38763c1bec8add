"""StarCoder 2.

Source: `transformers/models/starcoder2/modeling_starcoder2.py` (5.23).
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
)
from planner.architecture.families.windows import FULL, SLIDING
from planner.architecture.modules import Architecture, Block, linear, norm
from planner.architecture.program import Forward
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.activations import activation


@dataclass(frozen=True, slots=True)
class Starcoder2Program(MistralProgram):
    """Pre-norm attention and a plain MLP, with layer norms, biases and dropout after each."""

    embedding_dropout: float
    residual_dropout: float

    def embed(self, forward: Forward) -> Tensor:
        weight = forward.parameter("model.embed_tokens.weight")
        return ops.dropout(layers.embedding(forward.tape, weight, TOKENS), self.embedding_dropout)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        attended = self.attention(forward, kind, forward.layer_norm("input_layernorm", x))
        x = ops.add(x, ops.dropout(attended, self.residual_dropout))
        del attended
        normed = forward.layer_norm("post_attention_layernorm", x)
        return ops.add(x, self.mlp(forward, normed))

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        x = forward.linear("mlp.c_fc", x)
        x = activation(self.activation, x)
        x = forward.linear("mlp.c_proj", x)
        return ops.dropout(x, self.residual_dropout)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("model.norm", x)


def build(config: Config) -> Architecture:
    """The architecture of a `Starcoder2Config`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads), missing=2)
    biased = config.bool("use_bias", default=True)
    act = config.str("hidden_act", default="gelu_pytorch_tanh")
    window = config.int("sliding_window", minimum=1, default=None)
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        linear("mlp.c_fc", hidden, inner, bias=biased),
        linear("mlp.c_proj", inner, hidden, bias=biased),
        norm("input_layernorm", hidden, bias=True),
        norm("post_attention_layernorm", hidden, bias=True),
    )
    program = Starcoder2Program(
        heads,
        config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
        act,
        window,
        config.float("embedding_dropout", minimum=0.0, maximum=1.0, default=0.0),
        config.float("residual_dropout", minimum=0.0, maximum=1.0, default=0.0),
    )
    return decoder(
        config,
        hidden=hidden,
        blocks=(Block(FULL if window is None else SLIDING, modules, tuple(range(count))),),
        program=program,
        kv_width=heads.kv_heads * heads.head_dim,
        final_norm=norm("model.norm", hidden, bias=True),
        tied=True,
        activation=act,
        attention_windows=(window,),
    )
