"""Gemma 1 and CodeGemma.

Source: `transformers/models/gemma/modeling_gemma.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.llama import mlp
from planner.architecture.families.parts import (
    attention_heads,
    attention_projections,
    decoder,
    gated_projections,
)
from planner.architecture.modules import Architecture, Block, Module, norm
from planner.architecture.program import Forward
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.attention import Heads


@dataclass(frozen=True, slots=True)
class GemmaProgram:
    """Llama's block with Gemma's norm, a GELU gate and scaled embeddings."""

    heads: Heads
    attention_dropout: float
    activation: str
    embed_name: str = "model.embed_tokens"
    norm_name: str = "model.norm"

    @property
    def rotary_width(self) -> int:
        return self.heads.head_dim

    def embed(self, forward: Forward) -> Tensor:
        weight = forward.parameter(f"{self.embed_name}.weight")
        return layers.embedding(forward.tape, weight, TOKENS, scaled=True)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        x = ops.add(x, self.attention(forward, forward.offset_rms_norm("input_layernorm", x)))
        out = mlp(forward, forward.offset_rms_norm("post_attention_layernorm", x), self.activation)
        return ops.add(x, out)

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        q = forward.linear("self_attn.q_proj", x)
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        q, k = forward.rotary(q), forward.rotary(k)
        out = forward.attention(q, k, v, self.heads, dropout=self.attention_dropout)
        return forward.linear("self_attn.o_proj", out)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.offset_rms_norm(self.norm_name, x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `GemmaConfig`."""
    hidden = config.int("hidden_size")
    heads = read_heads(config, heads=16, kv_heads=16, head_dim=256)
    # GemmaConfig takes the published "gelu" for the tanh approximation; both are one kernel
    activation = config.str("hidden_act", default="gelu_pytorch_tanh")
    norms = (norm("input_layernorm", hidden), norm("post_attention_layernorm", hidden))
    block = Block(
        "decoder",
        (*projections(config, hidden, heads), *norms),
        tuple(range(config.int("num_hidden_layers"))),
    )
    return decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        program=GemmaProgram(heads, attention_dropout(config), activation),
        activation=activation,
        kv_width=heads.kv_heads * heads.head_dim,
        vocab=256_000,
        tied=True,
    )


def read_heads(config: Config, *, heads: int, kv_heads: int, head_dim: int) -> Heads:
    """The head counts of a config, with the defaults of its class."""
    return attention_heads(
        config,
        config.int("num_attention_heads", default=heads),
        config.int("head_dim", default=head_dim),
        missing=kv_heads,
    )


def projections(config: Config, hidden: int, heads: Heads) -> tuple[Module, ...]:
    """The linear layers of a block: attention, with biases where `attention_bias` says so, and the MLP."""
    biased = config.bool("attention_bias", default=False)
    return (
        *attention_projections(hidden, heads, bias=biased, out_bias=biased),
        *gated_projections(hidden, config.int("intermediate_size")),
    )


def attention_dropout(config: Config) -> float:
    """`attention_dropout`, 0 where the config does not say."""
    return config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0)
