"""OPT: learned positions (two more rows than positions), biases, ReLU, dropout; post-norm in the 350M model.

Source: `transformers/models/opt/modeling_opt.py` (5.23).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.architecture.config import Config
from planner.architecture.families.gpt_parts import even_head_dim, gpt_decoder, lm_head
from planner.architecture.modules import Architecture, Block, Module, embedding, linear, norm
from planner.architecture.program import Forward
from planner.tape import TOKENS, Tensor, layers, ops
from planner.tape.activations import activation
from planner.tape.attention import Heads


@dataclass(frozen=True, slots=True)
class OptProgram:
    """Attention and MLP, each dropped out and added, normed before (most) or after."""

    heads: Heads
    activation: str
    dropout: float
    attention_dropout: float
    norm_first: bool
    final_norm: bool
    projected: bool
    rotary_width: int = 0

    def embed(self, forward: Forward) -> Tensor:
        weight = forward.parameter("model.decoder.embed_tokens.weight")
        tokens = layers.embedding(forward.tape, weight, TOKENS)
        weight = forward.parameter("model.decoder.embed_positions.weight")
        positions = layers.embedding(forward.tape, weight, TOKENS)
        forward.hold(positions)
        if self.projected:
            tokens = forward.linear("model.decoder.project_in", tokens)
        x = ops.add(tokens, positions)
        if self.norm_first or forward.tape.autocast is None:
            return x
        # under autocast a post-norm block returns float32: only the input of the first one is smaller
        return ops.to(x, "float32")

    def block(self, forward: Forward, kind: str, x: Tensor) -> Tensor:
        residual = x
        if self.norm_first:
            x = forward.layer_norm("self_attn_layer_norm", x)
        x = self.attention(forward, x)
        x = ops.dropout(x, self.dropout)
        x = ops.add(residual, x)
        if not self.norm_first:
            x = forward.layer_norm("self_attn_layer_norm", x)
        residual = x
        if self.norm_first:
            x = forward.layer_norm("final_layer_norm", x)
        x = forward.linear("fc1", x)
        x = activation(self.activation, x)
        x = forward.linear("fc2", x)
        x = ops.dropout(x, self.dropout)
        x = ops.add(residual, x)
        return x if self.norm_first else forward.layer_norm("final_layer_norm", x)

    def attention(self, forward: Forward, x: Tensor) -> Tensor:
        q = ops.scale(forward.linear("self_attn.q_proj", x))
        k = forward.linear("self_attn.k_proj", x)
        v = forward.linear("self_attn.v_proj", x)
        out = forward.attention(q, k, v, self.heads, dropout=self.attention_dropout)
        return forward.linear("self_attn.out_proj", out)

    def final(self, forward: Forward, x: Tensor) -> Tensor:
        if self.final_norm:
            x = forward.layer_norm("model.decoder.final_layer_norm", x)
        return forward.linear("model.decoder.project_out", x) if self.projected else x

    def logits(self, forward: Forward, x: Tensor) -> Tensor:
        return forward.linear("lm_head", x)


def build(config: Config) -> Architecture:
    """The architecture of an `OPTConfig`."""
    hidden = config.int("hidden_size", minimum=1)
    inner = config.int("ffn_dim", minimum=1)
    heads = config.int("num_attention_heads", minimum=1)
    count = config.int("num_hidden_layers", minimum=1)
    vocab = config.int("vocab_size", minimum=1)
    positions = config.int("max_position_embeddings", minimum=1, default=2048)
    width = config.int("word_embed_proj_dim", minimum=1, default=hidden)
    biased = config.bool("enable_bias", default=True)
    affine = config.bool("layer_norm_elementwise_affine", default=True)
    norm_first = config.bool("do_layer_norm_before", default=True)
    final_norm = norm_first and not config.bool("_remove_final_layer_norm", default=False)
    head_dim = even_head_dim(config, hidden, heads)

    def layer_norm(name: str) -> Module:
        return norm(name, hidden, bias=True) if affine else Module(name, "norm", ())

    block = Block(
        "decoder",
        (
            linear("self_attn.k_proj", hidden, hidden, bias=biased),
            linear("self_attn.v_proj", hidden, hidden, bias=biased),
            linear("self_attn.q_proj", hidden, hidden, bias=biased),
            linear("self_attn.out_proj", hidden, hidden, bias=biased),
            layer_norm("self_attn_layer_norm"),
            linear("fc1", hidden, inner, bias=biased),
            linear("fc2", inner, hidden, bias=biased),
            layer_norm("final_layer_norm"),
        ),
        tuple(range(count)),
    )
    # two more positions than it says (`OPTLearnedPositionalEmbedding`)
    rest = [embedding("model.decoder.embed_positions", positions + 2, hidden)]
    if width != hidden:
        rest.append(linear("model.decoder.project_out", hidden, width))
        rest.append(linear("model.decoder.project_in", width, hidden))
    if final_norm:
        rest.append(layer_norm("model.decoder.final_layer_norm"))
    program = OptProgram(
        Heads(heads, heads, head_dim, head_dim),
        activation=config.str("activation_function", default="relu"),
        dropout=config.float("dropout", minimum=0.0, maximum=1.0, default=0.1),
        attention_dropout=config.float("attention_dropout", minimum=0.0, maximum=1.0, default=0.0),
        norm_first=norm_first,
        final_norm=final_norm,
        projected=width != hidden,
    )
    return gpt_decoder(
        config,
        hidden=hidden,
        blocks=(block,),
        block_prefix="model.decoder.layers",
        embed=embedding("model.decoder.embed_tokens", vocab, width),
        rest=rest,
        head=lm_head(width, vocab),
        tied=True,
        positions=positions,
        program=program if affine else None,
        no_program_reason="" if affine else "its layer norms without parameters are in no table",
        activation=program.activation,
        kv_width=hidden,
    )
