"""GPT-J: attention without biases and MLP in parallel on one layer norm, a head with a bias.

Source: `transformers/models/gptj/modeling_gptj.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_neox import rotary_split
from planner.architecture.families.gpt_parts import Dropouts, gpt_decoder, lm_head, read_dropouts, read_sizes
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.architecture.program import Forward
from planner.errors import InputError
from planner.tape import ONE, SEQUENCE, TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads, batched, rotate_half
from planner.tape.attention_variants import scores, weighted


@dataclass(frozen=True, slots=True)
class GptJProgram:
    """Attention, whose blocks each make their own rotary tables, and MLP; both are added to the stream."""

    heads: Heads
    rotated: int
    positions: int
    activation: str
    dropouts: Dropouts
    rotary_width: int = 0

    def embed(self, forward: Forward) -> Tensor:
        x = layers.embedding(forward.tape, forward.parameter("transformer.wte.weight"), TOKENS)
        return ops.dropout(x, self.dropouts.embd)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        residual = x
        x = forward.layer_norm("ln_1", x)
        attended = self.attention(forward, x)
        fed = self.mlp(forward, x)
        return ops.add(ops.add(attended, fed), residual)

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        width = self.heads.heads * self.rotated
        q = forward.linear("attn.q_proj", x)
        k = forward.linear("attn.k_proj", x)
        v = forward.linear("attn.v_proj", x)
        table = forward.tape.new(ONE.times(self.positions), self.rotated, "float32", "embed_positions")
        indices = forward.tape.new(SEQUENCE, self.rotated, "int64", "repeated position_ids")
        sincos = ops.to(forward.tape.new(SEQUENCE, self.rotated, "float32", "sin and cos"), k.dtype)
        k_rot, k_pass = rotary_split(k, width)
        q_rot, q_pass = rotary_split(q, width)
        k_rot = self.rotary(k_rot, sincos)
        q_rot = self.rotary(q_rot, sincos)
        k = ops.cat([k_rot, k_pass])
        q = ops.cat([q_rot, q_pass])
        if forward.eager:
            out = self.eager_attention(forward, q, k, v)
            out = ops.contiguous(out)
        else:
            out = forward.attention(q, k, v, self.heads, dropout=self.dropouts.attn)
        del table, indices
        return ops.dropout(forward.linear("attn.out_proj", out), self.dropouts.resid)

    def rotary(self, x: Tensor, sincos: Tensor) -> Tensor:
        """`apply_rotary_pos_emb`: sin and cos are repeated anew for q and for k."""
        sin = x.tape.new(SEQUENCE, self.rotated, sincos.dtype, "sin")
        cos = x.tape.new(SEQUENCE, self.rotated, sincos.dtype, "cos")
        return ops.add(ops.mul(x, cos), ops.mul(rotate_half(x), sin))

    def eager_attention(self, forward: Forward, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`_attn`: scores and softmax in float32."""
        q = ops.to(q, "float32")
        k = ops.to(k, "float32")
        weights = scores(batched(q, q.cols), batched(k, k.cols), self.heads)
        weights = ops.scale(weights)
        if forward.mask is not None:
            weights = ops.add(weights, forward.mask)
        weights = ops.softmax(weights)
        weights = ops.to(weights, v.dtype)
        weights = ops.dropout(weights, self.dropouts.attn)
        forward.hold_in_block(weights)
        return weighted(weights, batched(v, v.cols), self.heads)

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        x = forward.linear("mlp.fc_in", x)
        x = activation(self.activation, x)
        x = forward.linear("mlp.fc_out", x)
        return ops.dropout(x, self.dropouts.resid)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("transformer.ln_f", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `GPTJConfig`."""
    hidden, heads, count, positions, inner, vocab, head_dim = read_sizes(config, positions=2048)
    block = Block(
        "decoder",
        (
            norm("ln_1", hidden, bias=True),
            linear("attn.k_proj", hidden, hidden),
            linear("attn.v_proj", hidden, hidden),
            linear("attn.q_proj", hidden, hidden),
            linear("attn.out_proj", hidden, hidden),
            linear("mlp.fc_in", hidden, inner, bias=True),
            linear("mlp.fc_out", inner, hidden, bias=True),
        ),
        tuple(range(count)),
    )
    rotated = config.int("rotary_dim", minimum=2, default=64)
    if rotated > head_dim or rotated % 2:
        raise InputError(
            f"rotary_dim {rotated} in {config.origin} is odd or more than the {head_dim} columns of a head; correct it",
            field="model",
        )
    program = GptJProgram(
        Heads(heads, heads, head_dim, head_dim),
        rotated=rotated,
        positions=positions,
        activation=config.str("activation_function", default="gelu_new"),
        dropouts=read_dropouts(config, 0.0),
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="transformer.h",
        embed=embedding("transformer.wte", vocab, hidden),
        rest=(norm("transformer.ln_f", hidden, bias=True),),
        head=lm_head(hidden, vocab, bias=True),
        tied=False,
        positions=positions,
        program=program,
        activation=program.activation,
        kv_width=hidden,
        attention=("eager", "flash_attention_2", "flash_attention_3"),
        returns_weights=True,
    )
