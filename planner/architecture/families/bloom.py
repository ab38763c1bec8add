"""BLOOM and BLOOMZ: ALiBi, a layer norm after the embedding, biases everywhere.

Source: `transformers/models/bloom/modeling_bloom.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim, gpt_decoder, lm_head
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.architecture.program import Forward
from planner.tape import SCORES, TOKENS, Tensor, layers, ops
from planner.tape.activations import bloom_gelu
from planner.tape.attention import Heads, batched
from planner.tape.attention_variants import baddbmm, weighted


@dataclass(frozen=True, slots=True)
class BloomProgram:
    """Attention with ALiBi and MLP, each dropped out and added to the residual stream."""

    heads: Heads
    post_norm_residual: bool
    hidden_dropout: float
    attention_dropout: float
    rotary_width: int = 0

    def embed(self, forward: Forward) -> Tensor:
        x = layers.embedding(forward.tape, forward.parameter("transformer.word_embeddings.weight"), TOKENS)
        x = forward.layer_norm("transformer.word_embeddings_layernorm", x)
        forward.hold(forward.tape.new(TOKENS, self.heads.heads, x.dtype, "ALiBi"))
        return x

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        normed = forward.layer_norm("input_layernorm", x)
        residual = normed if self.post_norm_residual else x
        attended = self.attention(forward, normed, residual)
        normed = forward.layer_norm("post_attention_layernorm", attended)
        residual = normed if self.post_norm_residual else attended
        return self.mlp(forward, normed, residual)

    def attention(self, forward: Forward, x: Tensor, residual: Tensor) -> Tensor:
        width = self.heads.heads * self.heads.head_dim
        qkv = forward.linear("self_attention.query_key_value", x)
        q, k, v = ops.narrow(qkv, width), ops.narrow(qkv, width), ops.narrow(qkv, width)
        q, k, v = (batched(x, width) for x in (q, k, v))
        # as in `BloomAttention.forward`, whose variables hold every step of it
        scores = baddbmm(q, k, SCORES, self.heads.heads)
        weights = ops.add(scores, forward.mask) if forward.mask is not None else scores
        probabilities = ops.to(ops.softmax(weights, "float32"), q.dtype)
        probabilities = ops.dropout(probabilities, self.attention_dropout)
        forward.hold_in_block(probabilities)
        context = weighted(probabilities, v, self.heads)
        context = ops.contiguous(context)
        out = forward.linear("self_attention.dense", context)
        return ops.add(residual, ops.dropout(out, self.hidden_dropout))

    def mlp(self, forward: Forward, x: Tensor, residual: Tensor) -> Tensor:
        x = bloom_gelu(forward.linear("mlp.dense_h_to_4h", x))
        out = forward.linear("mlp.dense_4h_to_h", x)
        return ops.add(residual, ops.dropout(out, self.hidden_dropout))

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("transformer.ln_f", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `BloomConfig`."""
    hidden = config.int("n_embed", "hidden_size", minimum=1)
    heads = config.int("n_head", "num_attention_heads", minimum=1)
    count = config.int("n_layer", "num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    head_dim = even_head_dim(config, hidden, heads)
    block = Block(
        "decoder",
        (
            norm("input_layernorm", hidden, bias=True),
            linear("self_attention.query_key_value", hidden, 3 * hidden, bias=True),
            linear("self_attention.dense", hidden, hidden, bias=True),
            norm("post_attention_layernorm", hidden, bias=True),
            linear("mlp.dense_h_to_4h", hidden, 4 * hidden, bias=True),
            linear("mlp.dense_4h_to_h", 4 * hidden, hidden, bias=True),
        ),
        tuple(range(count)),
    )
    split = config.bool("slow_but_exact", default=False) and config.int("pretraining_tp", default=1) > 1
    program = BloomProgram(
        Heads(heads, heads, head_dim, head_dim),
        post_norm_residual=config.bool("apply_residual_connection_post_layernorm", default=False),
        hidden_dropout=config.float("hidden_dropout", minimum=0.0, maximum=1.0, default=0.0),
        attention_dropout=config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="transformer.h",
        embed=embedding("transformer.word_embeddings", vocab, hidden),
        rest=(
            norm("transformer.word_embeddings_layernorm", hidden, bias=True),
            norm("transformer.ln_f", hidden, bias=True),
        ),
        head=lm_head(hidden, vocab),
        tied=True,
        positions=None,
        program=None if split else program,
        no_program_reason="its slow_but_exact products are in no table" if split else "",
        kv_width=hidden,
        attention=("eager",),
        returns_weights=True,
    )
