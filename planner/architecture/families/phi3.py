"""Phi-3, Phi-3.5 and Phi-4 (dense): Llama with fused projections and a partial rotary embedding.

Source: `transformers/models/phi3/modeling_phi3.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_neox import rotary_split
from planner.architecture.families.gpt_parts import rotary_width
from planner.architecture.families.parts import attention_heads, decoder, default_head_dim
from planner.architecture.modules import Architecture, Block, linear, norm
from planner.architecture.program import Forward
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads


@dataclass(frozen=True, slots=True)
class Phi3Program:
    """Pre-norm attention and SwiGLU, each dropped out and added to the residual stream."""

    heads: Heads
    rotary_width: int
    activation: str
    attention_dropout: float
    resid_pdrop: float
    sliding_window: int | None

    def embed(self, forward: Forward) -> Tensor:
        return layers.embedding(forward.tape, forward.parameter("model.embed_tokens.weight"), TOKENS)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        residual = x
        x = forward.rms_norm("input_layernorm", x)
        x = self.attention(forward, x)
        x = ops.add(residual, ops.dropout(x, self.resid_pdrop))
        residual = x
        x = forward.rms_norm("post_attention_layernorm", x)
        x = self.mlp(forward, x)
        return ops.add(residual, ops.dropout(x, self.resid_pdrop))

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        heads = self.heads
        qkv = forward.linear("self_attn.qkv_proj", x)
        q = ops.narrow(qkv, heads.heads * heads.head_dim)
        k = ops.narrow(qkv, heads.kv_heads * heads.head_dim)
        v = ops.narrow(qkv, heads.kv_heads * heads.head_dim)
        q, k = self.rotated(forward, q, k)
        out = forward.attention(
            q, k, v, heads, dropout=self.attention_dropout, window=self.sliding_window, head_major=True
        )
        return forward.linear("self_attn.o_proj", out)

    def rotated(self, forward: Forward, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        q_rot, q_pass = rotary_split(q, self.heads.heads * self.rotary_width)
        k_rot, k_pass = rotary_split(k, self.heads.kv_heads * self.rotary_width)
        q_embed = ops.cat([forward.rotary(q_rot), q_pass])
        k_embed = ops.cat([forward.rotary(k_rot), k_pass])
        return q_embed, k_embed

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        up = forward.linear("mlp.gate_up_proj", x)
        gate, up = ops.split(up, (up.cols // 2, up.cols // 2))
        up = ops.mul(up, activation(self.activation, gate))
        return forward.linear("mlp.down_proj", up)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.rms_norm("model.norm", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `Phi3Config`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    query_heads = config.int("num_attention_heads", minimum=1)
    head_dim = default_head_dim(config, hidden, query_heads)
    heads = attention_heads(config, query_heads, head_dim)
    count = config.int("num_hidden_layers", minimum=1)
    sliding_window = config.int("sliding_window", minimum=1, default=None)
    block = Block(
        "decoder",
        (
            linear("self_attn.o_proj", heads.heads * head_dim, hidden),
            linear("self_attn.qkv_proj", hidden, (heads.heads + 2 * heads.kv_heads) * head_dim),
            linear("mlp.gate_up_proj", hidden, 2 * inner),
            linear("mlp.down_proj", inner, hidden),
            norm("input_layernorm", hidden),
            norm("post_attention_layernorm", hidden),
        ),
        tuple(range(count)),
    )
    program = Phi3Program(
        heads,
        rotary_width=rotary_width(config, head_dim, 1.0),
        activation=config.str("hidden_act", default="silu"),
        attention_dropout=config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
        resid_pdrop=config.float("resid_pdrop", minimum=0.0, maximum=1.0, default=0.0),
        sliding_window=sliding_window,
    )
    return decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        program=program,
        activation=program.activation,
        kv_width=heads.kv_heads * head_dim,
        attention_windows=(sliding_window,),
    )
