"""MPT: ALiBi, one fused projection, no biases.

Source: `transformers/models/mpt/modeling_mpt.py` (5.23), which knows the 7B and 30B models' shape only: it
ignores `expansion_ratio`, `no_bias`, `learned_pos_emb` and every `attn_config` field that changes parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim, gpt_decoder, lm_head
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.architecture.program import Forward
from planner.tape import ONE, TOKENS, Tensor, layers, ops
from planner.tape.attention import Heads, batched
from planner.tape.attention_variants import masked_fill, scores, weighted


@dataclass(frozen=True, slots=True)
class MptProgram:
    """Attention with ALiBi and MLP, each dropped out with the same probability and added."""

    heads: Heads
    positions: int
    dropout: float
    clipped: bool
    rotary_width: int = 0

    def embed(self, forward: Forward) -> Tensor:
        x = layers.embedding(forward.tape, forward.parameter("transformer.wte.weight"), TOKENS)
        forward.hold(forward.tape.new(ONE.times(self.positions), self.heads.heads, "float32", "ALiBi"))
        return x

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        normed = forward.layer_norm("norm_1", x)
        residual = x
        attended = self.attention(forward, normed)
        x = ops.add(ops.dropout(attended, self.dropout), residual)
        normed = forward.layer_norm("norm_2", x)
        residual = x
        return self.mlp(forward, normed, residual)

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        width = self.heads.heads * self.heads.head_dim
        qkv = forward.linear("attn.Wqkv", x)
        if self.clipped:
            qkv = ops.saves_input(qkv, "clamp")
        q, k, v = ops.split(qkv, (width, width, width))
        weights = ops.scale(scores(batched(q, width), batched(k, width), self.heads))
        # ALiBi is in float32, so what it is added to becomes that
        alibi = Tensor(forward.tape, ONE.times(self.positions), self.heads.heads, "float32")
        weights = ops.add(weights, alibi)
        if forward.mask is not None:
            weights = masked_fill(weights, forward.mask)
        masked = weights
        weights = ops.to(ops.softmax(masked), v.dtype)
        weights = ops.dropout(weights, self.dropout)
        forward.hold_in_block(weights)
        context = weighted(weights, batched(v, width), self.heads)
        context = ops.contiguous(context)
        return forward.linear("attn.out_proj", context)

    def mlp(self, forward: Forward, x: Tensor, residual: Tensor) -> Tensor:
        x = ops.saves_input(forward.linear("ffn.up_proj", x), "gelu")
        out = forward.linear("ffn.down_proj", x)
        out = ops.dropout(out, self.dropout)
        return ops.add(out, residual)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("transformer.norm_f", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of an `MptConfig`."""
    hidden = config.int("d_model", "hidden_size", minimum=1)
    heads = config.int("n_heads", "num_attention_heads", minimum=1)
    count = config.int("n_layers", "num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    positions = config.int("max_seq_len", minimum=1, default=2048)
    head_dim = even_head_dim(config, hidden, heads)
    block = Block(
        "decoder",
        (
            norm("norm_1", hidden),
            linear("attn.Wqkv", hidden, 3 * hidden),
            linear("attn.out_proj", hidden, hidden),
            norm("norm_2", hidden),
            linear("ffn.up_proj", hidden, 4 * hidden),
            linear("ffn.down_proj", 4 * hidden, hidden),
        ),
        tuple(range(count)),
    )
    attention = config.sub("attn_config") if config.has("attn_config") else Config({}, config.origin)
    program = MptProgram(
        Heads(heads, heads, head_dim, head_dim),
        positions,
        dropout=attention.float("attn_pdrop", minimum=0.0, maximum=1.0, default=0.0),
        clipped=attention.float("clip_qkv", default=0.0) != 0.0,
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="transformer.blocks",
        embed=embedding("transformer.wte", vocab, hidden),
        rest=(norm("transformer.norm_f", hidden),),
        head=lm_head(hidden, vocab),
        tied=True,
        positions=positions,
        program=program,
        kv_width=hidden,
        attention=("eager",),
        mask="boolean",
        returns_weights=True,
    )
