"""GPT-NeoX: Pythia, GPT-NeoX-20B, StableLM-alpha, Dolly, RedPajama-INCITE.

Source: `transformers/models/gpt_neox/modeling_gpt_neox.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim, gpt_decoder, lm_head, rotary_width
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.architecture.program import Forward
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads


@dataclass(frozen=True, slots=True)
class GptNeoxProgram:
    """Attention and MLP on the same input (parallel) or one after the other; heads are rotated in part."""

    heads: Heads
    rotary_width: int
    activation: str
    parallel: bool
    hidden_dropout: float
    attention_dropout: float

    def embed(self, forward: Forward) -> Tensor:
        x = layers.embedding(forward.tape, forward.parameter("gpt_neox.embed_in.weight"), TOKENS)
        return ops.dropout(x, self.hidden_dropout)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        attended = self.attention(forward, forward.layer_norm("input_layernorm", x))
        attended = ops.dropout(attended, self.hidden_dropout)
        # what a module is called with lives until it returns: the call holds it
        if self.parallel:
            normed = forward.layer_norm("post_attention_layernorm", x)
            fed = self.mlp(forward, normed)
            del normed
            fed = ops.dropout(fed, self.hidden_dropout)
            return ops.add(ops.add(fed, attended), x)
        attended = ops.add(attended, x)
        normed = forward.layer_norm("post_attention_layernorm", attended)
        fed = self.mlp(forward, normed)
        del normed
        fed = ops.dropout(fed, self.hidden_dropout)
        return ops.add(fed, attended)

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        width = self.heads.heads * self.heads.head_dim
        qkv = forward.linear("attention.query_key_value", x)
        q, k, v = ops.split(qkv, (width, width, width))
        q, k = self.rotated(forward, q, k)
        out = forward.attention(q, k, v, self.heads, dropout=self.attention_dropout, head_major=True)
        return forward.linear("attention.dense", out)

    def rotated(self, forward: Forward, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        width = self.heads.heads * self.rotary_width
        q_rot, q_pass = rotary_split(q, width)
        k_rot, k_pass = rotary_split(k, width)
        q_embed = forward.rotary(q_rot)
        k_embed = forward.rotary(k_rot)
        q_embed = ops.cat([q_embed, q_pass])
        k_embed = ops.cat([k_embed, k_pass])
        return q_embed, k_embed

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        x = forward.linear("mlp.dense_h_to_4h", x)
        x = activation(self.activation, x)
        return forward.linear("mlp.dense_4h_to_h", x)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("gpt_neox.final_layer_norm", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def rotary_split(x: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The first `width` columns (in all heads), which are rotated, and the rest, which may be empty."""
    return x if width == x.cols else ops.narrow(x, width), ops.narrow(x, x.cols - width)


def build(config: Config) -> Architecture:
    """The architecture of a `GPTNeoXConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    heads = config.int("num_attention_heads", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    biased = config.bool("attention_bias", default=True)
    head_dim = even_head_dim(config, hidden, heads)
    block = Block(
        "decoder",
        (
            norm("input_layernorm", hidden, bias=True),
            norm("post_attention_layernorm", hidden, bias=True),
            linear("attention.query_key_value", hidden, 3 * hidden, bias=biased),
            linear("attention.dense", hidden, hidden, bias=biased),
            linear("mlp.dense_h_to_4h", hidden, inner, bias=True),
            linear("mlp.dense_4h_to_h", inner, hidden, bias=True),
        ),
        tuple(range(count)),
    )
    program = GptNeoxProgram(
        Heads(heads, heads, head_dim, head_dim),
        rotary_width=rotary_width(config, head_dim, 0.25, "rotary_pct"),
        activation=config.str("hidden_act", default="gelu"),
        parallel=config.bool("use_parallel_residual", default=True),
        hidden_dropout=config.float("hidden_dropout", minimum=0.0, maximum=1.0, default=0.0),
        attention_dropout=config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="gpt_neox.layers",
        embed=embedding("gpt_neox.embed_in", vocab, hidden),
        rest=(norm("gpt_neox.final_layer_norm", hidden, bias=True),),
        head=lm_head(hidden, vocab),
        tied=False,
        positions=config.int("max_position_embeddings", minimum=1, default=2048),
        program=program,
        activation=program.activation,
        kv_width=hidden,
    )
