"""Granite 3 (dense) and PowerLM: `model_type` granite.

Source: `transformers/models/granite/modeling_granite.py` (5.23).
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
from planner.architecture.families.windows import FULL
from planner.architecture.modules import Architecture, Block, norm
from planner.architecture.program import Forward
from planner.tape import TOKENS, Tensor, layers, ops


@dataclass(frozen=True, slots=True)
class GraniteProgram(MistralProgram):
    """Llama's block with scaled embeddings, residual branches and logits."""

    def embed(self, forward: Forward) -> Tensor:
        weight = forward.parameter("model.embed_tokens.weight")
        return ops.scale(layers.embedding(forward.tape, weight, TOKENS))

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        x = ops.add(x, ops.scale(self.attention(forward, kind, forward.rms_norm("input_layernorm", x))))
        return ops.add(x, ops.scale(self.mlp(forward, forward.rms_norm("post_attention_layernorm", x))))

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return ops.scale(forward.linear("lm_head", x))


def build(config: Config) -> Architecture:
    """The architecture of a `GraniteConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    heads = attention_heads(config, query_heads, default_head_dim(config, hidden, query_heads))
    biased = config.bool("attention_bias", default=False)
    activation = config.str("hidden_act", default="silu")
    modules = (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        *gated_projections(hidden, inner, bias=config.bool("mlp_bias", default=False)),
        norm("input_layernorm", hidden),
        norm("post_attention_layernorm", hidden),
    )
    dropout = config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
    return decoder(
        config,
        hidden=hidden,
        blocks=(Block(FULL, modules, tuple(range(count))),),
        program=GraniteProgram(heads, dropout, activation, None),
        kv_width=heads.kv_heads * heads.head_dim,
        activation=activation,
    )
