"""Phi-1, Phi-1.5 and Phi-2: attention and MLP in parallel on one layer norm, biases everywhere.

Source: `transformers/models/phi/modeling_phi.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_neox import rotary_split
from planner.architecture.families.gpt_parts import even_head_dim, gpt_decoder, lm_head, rotary_width
from planner.architecture.modules import Architecture, Block, embedding, linear, norm
from planner.architecture.program import Forward
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads


@dataclass(frozen=True, slots=True)
class PhiProgram:
    """Attention and MLP read the same normed input; both are dropped out and added to the residual stream."""

    heads: Heads
    rotary_width: int
    activation: str
    embd_pdrop: float
    attention_dropout: float
    resid_pdrop: float

    def embed(self, forward: Forward) -> Tensor:
        x = layers.embedding(forward.tape, forward.parameter("model.embed_tokens.weight"), TOKENS)
        return ops.dropout(x, self.embd_pdrop)

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        residual = x
        x = forward.layer_norm("input_layernorm", x)
        attended = self.attention(forward, x)
        attended = ops.dropout(attended, self.resid_pdrop)
        fed = ops.dropout(self.mlp(forward, x), self.resid_pdrop)
        return ops.add(ops.add(attended, fed), residual)

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        heads = self.heads
        q = forward.linear("self_attn.q_proj", x)
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        q_rot, q_pass = rotary_split(q, heads.heads * self.rotary_width)
        k_rot, k_pass = rotary_split(k, heads.kv_heads * self.rotary_width)
        q_rot, k_rot = forward.rotary(q_rot), forward.rotary(k_rot)
        q = ops.cat([q_rot, q_pass])
        k = ops.cat([k_rot, k_pass])
        out = forward.attention(q, k, v, heads, dropout=self.attention_dropout, head_major=True)
        return forward.linear("self_attn.dense", out)

    def mlp(self, forward: Forward, x: Tensor) -> Tensor:
        x = forward.linear("mlp.fc1", x)
        x = activation(self.activation, x)
        return forward.linear("mlp.fc2", x)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.layer_norm("model.final_layernorm", x)

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of a `PhiConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("intermediate_size", minimum=1)
    heads = config.int("num_attention_heads", minimum=1)
    kv_heads = config.int("num_key_value_heads", minimum=1, default=heads)
    count = config.int("num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    head_dim = config.int("head_dim", minimum=1, default=None) or even_head_dim(config, hidden, heads)
    qk_norms = config.bool("qk_layernorm", default=False)
    normed = hidden // heads
    block = Block(
        "decoder",
        (
            linear("self_attn.q_proj", hidden, heads * head_dim, bias=True),
            linear("self_attn.k_proj", hidden, kv_heads * head_dim, bias=True),
            linear("self_attn.v_proj", hidden, kv_heads * head_dim, bias=True),
            linear("self_attn.dense", heads * head_dim, hidden, bias=True),
            *(norm(f"self_attn.{x}_layernorm", normed, bias=True) for x in ("q", "k") if qk_norms),
            linear("mlp.fc1", hidden, inner, bias=True),
            linear("mlp.fc2", inner, hidden, bias=True),
            norm("input_layernorm", hidden, bias=True),
        ),
        tuple(range(count)),
    )
    program = PhiProgram(
        Heads(heads, kv_heads, head_dim, head_dim),
        rotary_width=rotary_width(config, head_dim, 0.5),
        activation=config.str("hidden_act", default="gelu_new"),
        embd_pdrop=config.float("embd_pdrop", minimum=0.0, maximum=1.0, default=0.0),
        attention_dropout=config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
        resid_pdrop=config.float("resid_pdrop", minimum=0.0, maximum=1.0, default=0.0),
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="model.layers",
        embed=embedding("model.embed_tokens", vocab, hidden),
        rest=(norm("model.final_layernorm", hidden, bias=True),),
        head=lm_head(hidden, vocab, bias=True),
        tied=False,
        positions=config.int("max_position_embeddings", minimum=1, default=2048),
        program=None if qk_norms else program,
        no_program_reason="its q and k layer norms are in no table" if qk_norms else "",
        activation=program.activation,
        kv_width=kv_heads * head_dim,
    )
